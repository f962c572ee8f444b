/// Masks bytes, or takes their mask off (RFC 6455 §5.3). `at` is how far into the payload they begin.
pub(crate) fn mask(bytes: &mut [u8], key: [u8; 4], at: usize) {
    let [a, b, c, d] = std::array::from_fn(|index| key[(at + index) % 4]);
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn bytes_are_masked_from_wherever_they_begin() {
        let key = [1, 2, 4, 8];
        for length in 0..40 {
            for at in 0..9 {
                let mut bytes: Vec<u8> = (0..length).collect();
                mask(&mut bytes, key, at);
                let expected: Vec<u8> =
                    (0..length).map(|byte| byte ^ key[(at + usize::from(byte)) % 4]).collect();
                assert_eq!(bytes, expected);
            }
        }
    }
}
