//! Random schedules, mangled tokens, and verifiers that race with a revocation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use sutazai_core::Code;
use sutazai_core::security::token::{Grant, Issued, Revocation, fuzz_token};

use super::{T, at, code, config, fresh, refresh_of};

/// What happens in a random schedule.
#[derive(Clone, Debug)]
enum Step {
    Wait(u16),
    Issue(u8),
    Verify(u8),
    RevokeToken(u8),
    RevokeSubject(u8),
    RevokeAll,
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..400_u16).prop_map(Step::Wait),
        3 => (0..3_u8).prop_map(Step::Issue),
        8 => any::<u8>().prop_map(Step::Verify),
        1 => any::<u8>().prop_map(Step::RevokeToken),
        1 => (0..3_u8).prop_map(Step::RevokeSubject),
        1 => Just(Step::RevokeAll),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_cache_never_outlives_expiry_or_revocation(steps in prop::collection::vec(step(), 1..60)) {
        let mut config = config();
        config.cache = 64;
        config.leeway = Duration::ZERO;
        let tokens = fresh(config);
        let mut now = T;
        // Each token with what a plain reading says of it.
        let mut issued: Vec<(Issued, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(secs) => now += i64::from(secs),
                Step::Issue(who) => {
                    now += 1;
                    issued.push((tokens.issue(&Grant::new(format!("s{who}")), at(now)).unwrap(), false));
                }
                Step::Verify(which) if !issued.is_empty() => {
                    let (token, revoked) = &issued[usize::from(which) % issued.len()];
                    let good = !revoked && at(now) < token.claims.exp;
                    prop_assert_eq!(tokens.verify(&token.access, at(now)).is_ok(), good);
                }
                Step::RevokeToken(which) if !issued.is_empty() => {
                    let at_index = usize::from(which) % issued.len();
                    let (token, revoked) = &mut issued[at_index];
                    let id = token.claims.jti.clone();
                    let expires = token.claims.exp;
                    *revoked = true;
                    tokens.revoke(&Revocation::Token { id, subject: None, expires }, "root", at(now)).unwrap();
                }
                Step::RevokeSubject(who) => {
                    let subject = format!("s{who}");
                    for (token, revoked) in &mut issued {
                        *revoked |= token.claims.sub == subject;
                    }
                    let what = Revocation::Subject { subject, before: at(now) };
                    tokens.revoke(&what, "root", at(now)).unwrap();
                }
                Step::RevokeAll => {
                    issued.iter_mut().for_each(|(_, revoked)| *revoked = true);
                    tokens.revoke(&Revocation::Everything { before: at(now) }, "root", at(now)).unwrap();
                }
                Step::Sweep => drop(tokens.sweep(at(now)).unwrap()),
                Step::Verify(_) | Step::RevokeToken(_) => {}
            }
        }
    }

    #[test]
    fn mangled_tokens_are_refused(position in any::<prop::sample::Index>(), with in "\\PC{0,3}", cut in any::<bool>()) {
        let tokens = fresh(config());
        let issued = tokens.login(&Grant::new("alice"), at(T)).unwrap();
        for token in [issued.access.to_string(), refresh_of(&issued).to_owned()] {
            let position = position.index(token.len());
            let mut other = token.clone();
            if cut {
                other.truncate(position);
                other.push_str(&with);
            } else {
                other.replace_range(position..=position, &with);
            }
            if other != token {
                prop_assert!(tokens.verify(&other, at(T)).is_err());
                prop_assert!(tokens.refresh(&other, at(T)).is_err());
                prop_assert_eq!(fuzz_token(other.as_bytes()), 0);
            }
        }
    }

    #[test]
    fn anything_is_no_token(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(fuzz_token(&bytes), 0);
        prop_assert_eq!(fuzz_token(String::from_utf8_lossy(&bytes).as_bytes()), 0);
    }
}

#[test]
fn a_revocation_beats_verifiers_that_race_with_it() {
    let tokens = fresh(config());
    for round in 0..50 {
        let issued = tokens.issue(&Grant::new("alice"), at(T + round)).unwrap();
        let revoked = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        // Read before: what began after the revocation returned must fail.
                        let after = revoked.load(Ordering::SeqCst);
                        let good = tokens.verify(&issued.access, at(T + round)).is_ok();
                        assert!(!(after && good));
                    }
                });
            }
            let id = issued.claims.jti.clone();
            let what = Revocation::Token { id, subject: None, expires: issued.claims.exp };
            tokens.revoke(&what, "root", at(T + round)).unwrap();
            revoked.store(true, Ordering::SeqCst);
        });
        assert_eq!(code(tokens.verify(&issued.access, at(T + round))), Code::TOKEN_REVOKED);
    }
}
