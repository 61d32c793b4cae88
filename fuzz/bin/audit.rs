//! libFuzzer over `sutazai_fuzz::audit`.

#![no_main]
#![allow(missing_docs, reason = "what the macro makes")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sutazai_fuzz::seeds_if_asked(sutazai_fuzz::audit::seeds);
    sutazai_fuzz::audit::run(data);
});
