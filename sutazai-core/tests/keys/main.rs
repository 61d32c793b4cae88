//! Keysets from outside: what they refuse, under load, through kills, in files.

#![cfg(feature = "security")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod files;
#[cfg(feature = "store")]
mod kill;
mod load;
mod portable;
#[cfg(feature = "post-quantum")]
mod post_quantum;
mod purpose;
mod stream;
mod tamper;

use sutazai_core::base::time::Timestamp;
use sutazai_core::security::keys::{Keys, Master, Purpose, Schedule, Secret, Spec};
use sutazai_core::store::Store;

const NOW: Timestamp = Timestamp::EPOCH;

fn master() -> Master {
    Master::key(Secret::new(vec![1; 32])).unwrap()
}

fn keys() -> Keys {
    Keys::open(Store::memory(&[]).unwrap(), &master(), None, NOW).unwrap()
}

fn manual(purpose: Purpose) -> Spec {
    Spec::new(purpose).schedule(Schedule::MANUAL)
}
