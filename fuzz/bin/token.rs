//! libFuzzer over `sutazai_fuzz::token`.

#![no_main]
#![allow(missing_docs, reason = "what the macro makes")]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sutazai_fuzz::seeds_if_asked(sutazai_fuzz::token::seeds);
    sutazai_fuzz::token::run(data);
});
