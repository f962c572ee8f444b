//! The Huffman code of HPACK (RFC 7541, appendix B).

const LONGEST: usize = 30;

/// How many bits the code of each symbol has. The code is canonical: shorter ones come first, then smaller symbols, so
/// that the lengths say all.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The code of each symbol, and how many bits it has.
const CODES: [(u32, u8); 257] = {
    let mut codes = [(0, 0); 257];
    let mut place = 0;
    while place < codes.len() {
        let symbol = SYMBOLS[place] as usize;
        let length = LENGTHS[symbol];
        let (first, before, _) = RANGES[length as usize];
        codes[symbol] = (first + place as u32 - before, length);
        place += 1;
    }
    codes
};

/// For each number of bits: the first code, how many codes are shorter, and how many there are.
const RANGES: [(u32, u32, u32); LONGEST + 1] = {
    let mut ranges = [(0, 0, 0); LONGEST + 1];
    let mut length = 1;
    while length <= LONGEST {
        let (first, before, count) = ranges[length - 1];
        let (mut symbol, mut own) = (0, 0);
        while symbol < LENGTHS.len() {
            own += (LENGTHS[symbol] as usize == length) as u32;
            symbol += 1;
        }
        ranges[length] = ((first + count) << 1, before + count, own);
        length += 1;
    }
    ranges
};

/// The symbols in the order of their codes.
const SYMBOLS: [u16; 257] = {
    let mut symbols = [0; 257];
    let (mut place, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[place] = symbol as u16;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

/// How many bytes the text takes in this code.
pub(super) fn encoded_length(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum::<usize>().div_ceil(8)
}

pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0_u64, 0);
    for byte in text {
        let (code, length) = CODES[usize::from(*byte)];
        bits = bits << length | u64::from(code);
        count += u32::from(length);
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        // The rest is filled with the beginning of the symbol that ends, which is all ones.
        out.push((bits << (8 - count)) as u8 | 0xff >> count);
    }
}

/// The text, or `None` where it is none in this code.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut code, mut length) = (0_u32, 0_usize);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        (code, length) = (code << 1 | u32::from(bit), length + 1);
        let (first, place, count) = *RANGES.get(length)?;
        if code >= first && code - first < count {
            // Nobody sends the symbol that ends.
            text.push(u8::try_from(SYMBOLS[(place + code - first) as usize]).ok()?);
            (code, length) = (0, 0);
        }
    }
    let filling = length < 8 && code == (1 << length) - 1;
    filling.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 7541, appendix C.
    #[test]
    fn encodes_as_the_standard_shows() {
        for (text, code) in [
            (
                "www.example.com",
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
            ),
            ("no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
            ("302", &[0x64, 0x02]),
        ] {
            let mut out = Vec::new();
            encode(text.as_bytes(), &mut out);
            assert_eq!(out, code);
            assert_eq!(encoded_length(text.as_bytes()), code.len());
            assert_eq!(decode(code).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn every_byte_is_read_as_it_was_written() {
        let text: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        encode(&text, &mut out);
        assert_eq!(decode(&out).unwrap(), text);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(decode(&[0x00, 0x00, 0x00]).map(|text| text.len()), None);
    }
}
