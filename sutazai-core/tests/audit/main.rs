//! The audit log from outside: proofs, tampering, kills, failing disks, many writers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(feature = "security")]

mod faults;
mod fuzz;
#[cfg(unix)]
mod kill;
mod life;
mod merkle;
mod subjects;
mod tamper;
mod witnesses;
mod writers;

use std::path::Path;
use std::sync::Arc;

use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuditClass, AuditEvent, AuditValue};
use sutazai_core::security::audit::{
    AuditLog, CheckpointSigner as _, Disk, Ed25519Signer, Options, Record, VerifierKey,
};

/// The key of every log here.
fn signer() -> Arc<Ed25519Signer> {
    Arc::new(Ed25519Signer::from_seed("test.example/audit", &[7; 32]).unwrap())
}

fn key() -> VerifierKey {
    signer().key().clone()
}

fn small() -> Options {
    let mut options = Options::default();
    options.segment_bytes = 128 << 10;
    options.segments = 4;
    options
}

fn open(dir: &Path) -> AuditLog {
    AuditLog::open_with(Arc::new(Disk::open(dir).unwrap()), signer(), small()).unwrap()
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + i64::try_from(n).unwrap() * 1_000_000)
}

/// Records `count` actions of `who`, numbered from `from`.
fn fill(log: &AuditLog, who: &str, from: u64, count: u64) {
    for n in from..from + count {
        let details = [("n", AuditValue::Int(i64::try_from(n).unwrap()))];
        let object = format!("object-{}", n % 7);
        let event = AuditEvent::new(AuditClass::Action, "agent.act", who, at(n))
            .object(&object)
            .details(&details);
        log.record(&event).unwrap();
    }
}

/// What number a record carries.
fn number(record: &Record) -> u64 {
    serde_json::to_value(&record.details["n"]).unwrap().as_u64().unwrap()
}
