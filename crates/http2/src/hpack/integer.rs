use super::DecodeError;

/// The most bytes that an integer takes here: enough for every length and index that could be meant.
const MAX_CONTINUED_BYTES: u32 = 4;

/// Takes an integer with a prefix of so many bits off the front (RFC 7541 §5.1).
pub(super) fn decode(input: &mut &[u8], prefix: u32) -> Result<usize, DecodeError> {
    let mask = (1_u32 << prefix) - 1;
    let mut value = u32::from(take(input)?) & mask;
    if value < mask {
        return Ok(value as usize);
    }
    for number in 0..MAX_CONTINUED_BYTES {
        let byte = take(input)?;
        value += u32::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Ok(value as usize);
        }
    }
    Err(DecodeError::Malformed)
}

/// Writes an integer whose first byte has `flags` before the prefix.
pub(super) fn encode(value: usize, prefix: u32, flags: u8, out: &mut Vec<u8>) {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        return out.push(flags | low_byte(value));
    }
    out.push(flags | low_byte(mask));
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(0x80 | low_byte(rest & 0x7f));
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

fn take(input: &mut &[u8]) -> Result<u8, DecodeError> {
    let (byte, rest) = input.split_first().ok_or(DecodeError::Malformed)?;
    *input = rest;
    Ok(*byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        for (value, prefix, bytes) in
            [(10, 5, &[10][..]), (1_337, 5, &[31, 154, 10]), (42, 8, &[42]), (127, 7, &[127, 0])]
        {
            let mut out = Vec::new();
            encode(value, prefix, 0, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(decode(&mut &out[..], prefix), Ok(value));
        }
    }

    #[test]
    fn every_length_comes_back() {
        for prefix in 4..=7 {
            for value in (0..70_000).chain([1 << 20, (1 << 24) - 1, 1 << 28]) {
                let mut out = Vec::new();
                encode(value, prefix, 0, &mut out);
                let mut rest = &out[..];
                assert_eq!((decode(&mut rest, prefix), rest), (Ok(value), &[][..]));
            }
        }
    }

    #[test]
    fn cut_or_too_large() {
        for bytes in [&[][..], &[31], &[31, 0x80], &[31, 0x80, 0x80, 0x80, 0x80, 0]] {
            assert_eq!(decode(&mut &bytes[..], 5), Err(DecodeError::Malformed), "{bytes:?}");
        }
        assert_eq!(decode(&mut &[31, 0xff, 0xff, 0xff, 0x7f][..], 5), Ok(31 + (1 << 28) - 1));
    }
}
