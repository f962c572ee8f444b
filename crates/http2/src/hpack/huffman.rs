use super::DecodeError;

/// The length of each symbol's code in bits; the last one is EOS (RFC 7541 Appendix B). The codes follow from them: they
/// are numbered in the order of their lengths, and of symbols among those of one length.
static LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

const SYMBOLS: usize = 257;
const EOS: u16 = 256;
const LONGEST: usize = 30;
/// Codes up to this length are looked up; the others are searched for by length.
const SHORT_BITS: u32 = 8;

static TABLES: Tables = build();

struct Tables {
    codes: [u32; SYMBOLS],
    /// The symbols in the order of their codes.
    symbols: [u16; SYMBOLS],
    /// For each length: the first code at the top of 32 bits, what follows the last one, and where its symbol stands.
    first: [u64; LONGEST + 1],
    end: [u64; LONGEST + 1],
    place: [usize; LONGEST + 1],
    /// By the first eight bits: a symbol and the length of its code; 0 for none.
    short: [(u8, u8); 1 << SHORT_BITS],
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "symbols are at most 256, short ones less, lengths at most 30"
)]
const fn build() -> Tables {
    let mut tables = Tables {
        codes: [0; SYMBOLS],
        symbols: [0; SYMBOLS],
        first: [0; LONGEST + 1],
        end: [0; LONGEST + 1],
        place: [0; LONGEST + 1],
        short: [(0, 0); 1 << SHORT_BITS],
    };
    let (mut code, mut place, mut length) = (0_u64, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        let shift = 32 - length;
        tables.first[length] = code << shift;
        tables.place[length] = place;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                tables.codes[symbol] = code as u32;
                tables.symbols[place] = symbol as u16;
                if length <= SHORT_BITS as usize {
                    let spare = SHORT_BITS as usize - length;
                    let mut tail = 0;
                    while tail < 1 << spare {
                        tables.short[((code as usize) << spare) + tail] = (symbol as u8, length as u8);
                        tail += 1;
                    }
                }
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        tables.end[length] = code << shift;
        length += 1;
    }
    tables
}

/// Appends what a string stands for (RFC 7541 §5.2). It ends with less than a byte of ones.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    // The lowest `count` bits are still to be decoded.
    let (mut bits, mut count) = (0_u64, 0_u32);
    let mut bytes = input.iter();
    loop {
        while count <= 56
            && let Some(byte) = bytes.next()
        {
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        let ahead = if count >= 32 { bits >> (count - 32) } else { !(!bits << (32 - count)) };
        let (symbol, length) = symbol(ahead & 0xffff_ffff);
        if length > count {
            let padding = (1 << count) - 1;
            return if count < 8 && bits & padding == padding { Ok(()) } else { Err(DecodeError::Malformed) };
        }
        // EOS itself may not appear.
        out.push(u8::try_from(symbol).map_err(|_| DecodeError::Malformed)?);
        count -= length;
    }
}

/// The symbol whose code these 32 bits begin with, and its length.
fn symbol(ahead: u64) -> (u16, u32) {
    let (symbol, length) = TABLES.short[(ahead >> (32 - SHORT_BITS)) as usize];
    if length > 0 {
        return (symbol.into(), length.into());
    }
    for length in SHORT_BITS as usize + 1..=LONGEST {
        if ahead < TABLES.end[length] {
            let at = (ahead - TABLES.first[length]) >> (32 - length);
            let symbol = TABLES.symbols.get(TABLES.place[length] + at as usize);
            return (symbol.copied().unwrap_or(EOS), u32::try_from(length).unwrap_or(0));
        }
    }
    (EOS, 30)
}

/// How many bytes a string takes.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0_u64, 0_u32);
    for byte in text {
        let (code, length) = (TABLES.codes[usize::from(*byte)], u32::from(LENGTHS[usize::from(*byte)]));
        bits = bits << length | u64::from(code);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count).to_le_bytes()[0]);
        }
    }
    if count > 0 {
        let spare = 8 - count;
        out.push((bits << spare | ((1 << spare) - 1)).to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        assert_eq!(out.len(), encoded_len(text));
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // A shortest one, a longest one, the last one.
        for (symbol, code) in
            [(b'0', 0), (b'a', 3), (b'X', 0xfc), (b'\\', 0x7_fff0), (10, 0x3fff_fffc), (22, 0x3fff_fffe)]
        {
            assert_eq!(TABLES.codes[usize::from(symbol)], code, "{symbol}");
        }
        assert_eq!(TABLES.codes[256], 0x3fff_ffff);
    }

    #[test]
    fn strings_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        for text in [&b""[..], b"a", b"www.example.com", b"/topics/a?since=latest", &all, &all.repeat(3)] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Ok(text));
        }
        for first in 0..=255 {
            for second in 0..=255 {
                assert_eq!(decoded(&encoded(&[first, second])), Ok(vec![first, second]));
            }
        }
        assert_eq!(
            encoded(b"www.example.com"),
            [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]
        );
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        assert_eq!(decoded(&[0x1f]), Ok(b"a".to_vec()));
        for bytes in [&[0x1e][..], &[0x1f, 0xff], &[0xff], &[0xff; 4], &[0xff, 0xff, 0xff, 0xfc], &[0x18]] {
            assert_eq!(decoded(bytes), Err(DecodeError::Malformed), "{bytes:?}");
        }
    }
}
