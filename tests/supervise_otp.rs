//! The tree of supervisors against what a live Erlang/OTP supervisor did.
//!
//! The table was recorded by `tests/oracle/otp/record`; the README beside it describes it. Another table
//! is compared when `SUTAZAI_OTP_TABLE` names it (`./tests/run --long otp`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it fails by panicking")]

#[path = "supervise_otp/coverage.rs"]
mod coverage;
#[path = "supervise_otp/replay.rs"]
mod replay;
#[path = "supervise_otp/table.rs"]
mod table;

use coverage::Coverage;

/// The same starts and stops in the same order, the same answers and the same final states.
#[test]
fn supervisors_do_what_otp_does() {
    let (head, traces) = table::read();
    let mut coverage = Coverage::default();
    let mut different = Vec::new();
    for trace in &traces {
        coverage.count(trace);
        if let Err(difference) = replay::compare(trace, &mut coverage) {
            different.push(format!("{}\n  at {difference}", trace.text));
        }
    }
    println!("{coverage}");
    let shown = different.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{} traces differ:\n{shown}", different.len());
    coverage.assert(&head, std::env::var_os("SUTAZAI_OTP_TABLE").is_none());
}
