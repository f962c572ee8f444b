#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidings_http2::fuzzing::frames(input));
