//! Time does not tell whether somebody exists.
//!
//! Welch's t-test over interleaved tries, as "dudect" does it (Reparaz, Balasch, Verbauwhede, 2017): below 4.5
//! the two are not told apart. A control that returns early must be told apart by the same test.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, reason = "a test may panic, its helper functions too")]

use std::time::Instant;

use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuthProvider, AuthStep, Credential};
use sutazai_core::security::authn::{PasswordPolicy, Passwords};
use sutazai_core::store::Store;

/// Tries of each kind; 2,000 are wanted, and made where there is time.
fn tries() -> usize {
    if std::env::var_os("SUTAZAI_LONG").is_some() { 2_000 } else { 200 }
}

fn credential(who: &str) -> Credential {
    Credential::new("password", Some(who.to_owned()), b"not the password".to_vec())
}

/// |t| of the times of the two, tried in turn.
fn welch(mut one: impl FnMut(), mut other: impl FnMut()) -> f64 {
    let time = |f: &mut dyn FnMut()| {
        let begun = Instant::now();
        f();
        begun.elapsed().as_secs_f64()
    };
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for n in 0..tries() + 10 {
        // Now one comes first, now the other.
        let (a, b) = if n % 2 == 0 {
            let a = time(&mut one);
            (a, time(&mut other))
        } else {
            let b = time(&mut other);
            (time(&mut one), b)
        };
        // The first ones warm up.
        if n >= 10 {
            ones.push(a);
            others.push(b);
        }
    }
    // What the machine did meanwhile is cut off, on both sides by one bound.
    let mut all: Vec<f64> = ones.iter().chain(&others).copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    let bound = all[all.len() * 95 / 100];
    let of = |times: &[f64]| {
        let times: Vec<f64> = times.iter().copied().filter(|time| *time <= bound).collect();
        let n = times.len() as f64;
        let mean = times.iter().sum::<f64>() / n;
        (mean, times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (n - 1.0) / n)
    };
    let ((mean_a, error_a), (mean_b, error_b)) = (of(&ones), of(&others));
    ((mean_a - mean_b) / (error_a + error_b).sqrt()).abs()
}

#[test]
fn who_is_not_there_takes_as_long_as_who_is() {
    let policy = PasswordPolicy { memory_kib: 7168, passes: 5, ..PasswordPolicy::default() };
    let passwords = Passwords::new(Store::memory(&[]).unwrap(), policy).unwrap();
    passwords.set("ann", "correct horse battery", Timestamp::EPOCH).unwrap();
    let refused = |who: &str| {
        let step = passwords.authenticate(&credential(who), Timestamp::EPOCH).unwrap();
        assert!(matches!(step, AuthStep::Refused(_)));
    };
    let t = welch(|| refused("ann"), || refused("bob"));
    // The control: whoever is not there is refused before anything is hashed.
    let there = |who: &str| passwords.changed(who).unwrap().is_some();
    let early = welch(
        || refused("ann"),
        || {
            if there("bob") {
                refused("bob")
            }
        },
    );
    println!("Welch's |t| over 2 × {}: {t:.2}; with an early return: {early:.0}", tries());
    assert!(early > 4.5, "the test sees nothing: {early}");
    assert!(t < 4.5, "told apart: {t}");
}
