#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strongroom_fuzz::ring_file(data));
