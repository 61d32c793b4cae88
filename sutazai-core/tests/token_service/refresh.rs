//! Refresh tokens: used once, whoever comes first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use sutazai_core::Code;
use sutazai_core::security::token::Grant;
use sutazai_core::store::Store;

use super::{T, at, code, config, fresh, open, refresh_of};

#[test]
fn a_refresh_token_is_used_once() {
    let tokens = fresh(config());
    let first = tokens.login(&Grant::new("alice"), at(T)).unwrap();
    let second = tokens.refresh(refresh_of(&first), at(T + 60)).unwrap();
    assert_eq!(first.claims.fam, second.claims.fam);
    let third = tokens.refresh(refresh_of(&second), at(T + 120)).unwrap();
    // The first again: a thief's, or the client's after a thief.
    assert_eq!(code(tokens.refresh(refresh_of(&first), at(T + 130))), Code::REFRESH_REUSED);
    for issued in [&first, &second, &third] {
        assert_eq!(code(tokens.verify(&issued.access, at(T + 131))), Code::TOKEN_REVOKED);
        assert_eq!(code(tokens.refresh(refresh_of(issued), at(T + 131))), Code::REFRESH_INVALID);
    }
    // Another login of the same subject is another family.
    let other = tokens.login(&Grant::new("alice"), at(T + 140)).unwrap();
    assert!(tokens.verify(&other.access, at(T + 141)).is_ok());
}

#[test]
fn made_up_refresh_tokens_harm_nobody() {
    let tokens = fresh(config());
    let first = tokens.login(&Grant::new("alice"), at(T)).unwrap();
    let token = refresh_of(&first).to_owned();
    // Whoever knows the family, from an access token, cannot have it revoked.
    for position in [6, 20, 40, 60, 80, 100, token.len() - 1] {
        let mut other = token.clone();
        let with = if &token[position..=position] == "A" { "B" } else { "A" };
        other.replace_range(position..=position, with);
        assert_eq!(code(tokens.refresh(&other, at(T + 1))), Code::REFRESH_INVALID);
    }
    assert!(tokens.refresh(&token, at(T + 2)).is_ok());
}

#[test]
fn refresh_tokens_end() {
    let mut config = config();
    config.refresh.idle = Duration::from_secs(1000);
    config.refresh.absolute = Duration::from_secs(2500);
    let tokens = fresh(config);
    let idle = tokens.login(&Grant::new("alice"), at(T)).unwrap();
    assert_eq!(code(tokens.refresh(refresh_of(&idle), at(T + 1000))), Code::REFRESH_INVALID);
    let mut current = tokens.login(&Grant::new("alice"), at(T + 1000)).unwrap();
    for step in [1900, 2800, 3400] {
        current = tokens.refresh(refresh_of(&current), at(T + step)).unwrap();
    }
    assert_eq!(code(tokens.refresh(refresh_of(&current), at(T + 3500))), Code::REFRESH_INVALID);
    let left = tokens.login(&Grant::new("bob"), at(T + 3500)).unwrap();
    assert_eq!(tokens.sweep(at(T + 4499)).unwrap(), 0);
    assert_eq!(tokens.sweep(at(T + 4500)).unwrap(), 1);
    assert_eq!(code(tokens.refresh(refresh_of(&left), at(T + 4500))), Code::REFRESH_INVALID);
}

#[test]
fn families_are_bounded() {
    let mut config = config();
    config.refresh.per_subject = 2;
    config.refresh.families = 3;
    let tokens = fresh(config);
    let login = |subject: &str, secs| tokens.login(&Grant::new(subject), at(T + secs));
    let all: Vec<_> = (0..3).map(|n| login("alice", n).unwrap()).collect();
    assert_eq!(
        code(tokens.refresh(refresh_of(&all[0]), at(T + 9))),
        Code::REFRESH_INVALID,
        "the oldest"
    );
    let next = tokens.refresh(refresh_of(&all[1]), at(T + 9)).unwrap();
    login("bob", 10).unwrap();
    assert_eq!(code(login("carol", 11)), Code::OVERLOADED);
    assert_eq!(tokens.status().refresh.families, 3);
    assert!(tokens.refresh(refresh_of(&next), at(T + 12)).is_ok());
}

#[test]
fn of_64_threads_with_one_refresh_token_one_wins() {
    for grace in [Duration::ZERO, Duration::from_secs(10)] {
        let mut config = config();
        config.refresh.grace = grace;
        let tokens = fresh(config);
        let first = tokens.login(&Grant::new("alice"), at(T)).unwrap();
        let barrier = Barrier::new(64);
        let (won, answers) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    barrier.wait();
                    match tokens.refresh(refresh_of(&first), at(T + 1)) {
                        Ok(next) => {
                            won.fetch_add(1, Ordering::SeqCst);
                            answers.lock().unwrap().push(refresh_of(&next).to_owned());
                        }
                        Err(error) => {
                            assert!(matches!(
                                error.code(),
                                Code::REFRESH_REUSED | Code::REFRESH_INVALID
                            ));
                        }
                    }
                });
            }
        });
        assert_eq!(tokens.status().refresh.rotated, 1);
        let answers = answers.into_inner().unwrap();
        if grace.is_zero() {
            assert_eq!(won.into_inner(), 1);
            assert_eq!(tokens.status().refresh.reused, 1);
            assert_eq!(
                code(tokens.refresh(&answers[0], at(T + 2))),
                Code::REFRESH_INVALID,
                "revoked"
            );
        } else {
            assert_eq!(won.into_inner(), 64);
            assert!(answers.iter().all(|answer| *answer == answers[0]), "the same successor");
            assert_eq!(code(tokens.refresh(refresh_of(&first), at(T + 11))), Code::REFRESH_REUSED);
        }
    }
}

#[test]
fn families_outlive_the_process_and_so_does_what_was_used() {
    let store = Store::memory(&[]).unwrap();
    let (first, second) = {
        let tokens = open(config(), &store);
        let first = tokens.login(&Grant::new("alice").scope(["read"]), at(T)).unwrap();
        let second = tokens.refresh(refresh_of(&first), at(T + 1)).unwrap();
        (first, second)
    };
    let tokens = open(config(), &store);
    let third = tokens.refresh(refresh_of(&second), at(T + 2)).unwrap();
    assert_eq!(third.claims.scope, ["read"]);
    let tokens = open(config(), &store);
    assert_eq!(code(tokens.refresh(refresh_of(&first), at(T + 3))), Code::REFRESH_REUSED);
    let tokens = open(config(), &store);
    assert_eq!(code(tokens.verify(&third.access, at(T + 3))), Code::TOKEN_REVOKED);
}
