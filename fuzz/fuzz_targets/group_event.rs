#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    logkey_fuzz::group_event::run(data);
});
