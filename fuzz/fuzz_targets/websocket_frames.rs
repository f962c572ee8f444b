#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidings_websocket::fuzzing::frames(input));
