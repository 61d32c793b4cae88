//! Keys rotate, by schedule and by hand, and are destroyed, while threads use them: nothing fails.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sutazai_core::Code;
use sutazai_core::security::keys::{KeyState, Keys, Purpose, Schedule, Spec};

use crate::{NOW, keys, master};

/// Seconds of the keys' own time: a key is active for 10, and decrypts for 50 more.
const ACTIVE: u32 = 10;
const DECRYPTS: u32 = 50;
const SECOND: Duration = Duration::from_secs(1);

/// When something was made, a ciphertext, a signature and a tag.
type Kept = (u64, Vec<u8>, Vec<u8>, Vec<u8>);

/// Encrypts, remembers, and opens what it remembers when it is 20 seconds old, now and then wrapped anew.
///
/// A thread that the machine lets sleep for so long that its key's time is over has lost rightly: that, and
/// nothing else, is let pass.
fn work(keys: &Keys, clock: &AtomicU64, stop: &AtomicBool, done: &AtomicU64) {
    let encryptor = keys.encryptor("e").unwrap();
    let (signing, mac) = (keys.signing("s").unwrap(), keys.mac("m").unwrap());
    let mut kept: VecDeque<Kept> = VecDeque::new();
    let mut round = 0u64;
    while !stop.load(Ordering::SeqCst) {
        round += 1;
        // Before the keys are taken: what is made is at least as young as this.
        let now = clock.load(Ordering::SeqCst);
        let sealed = encryptor.encrypt(b"c", &round.to_be_bytes()).unwrap();
        kept.push_back((
            now,
            sealed,
            signing.sign(b"c", b"m").unwrap(),
            mac.tag(b"c", b"m").unwrap(),
        ));
        while let Some((then, sealed, signature, tag)) =
            kept.pop_front_if(|(then, ..)| *then + 20 < now)
        {
            let opened = encryptor.decrypt(b"c", &sealed).and_then(|_| {
                let again = encryptor.rewrap(b"c", &sealed)?.unwrap_or(sealed);
                encryptor.decrypt(b"c", &again)?;
                signing.verify(b"c", b"m", &signature)?;
                mac.verify(b"c", b"m", &tag)
            });
            let later = clock.load(Ordering::SeqCst) + 1;
            if let Err(e) = opened {
                let over = later >= then + u64::from(DECRYPTS);
                assert!(
                    over && e.code() == Code::KEY_STATE,
                    "made at {then}, opened until {later}: {e}"
                );
            }
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_decryption_fails_while_keys_come_and_go() {
    let keys = keys();
    let schedule = Schedule {
        lead: SECOND * 2,
        active: Some(SECOND * ACTIVE),
        decrypt_only: Some(SECOND * DECRYPTS),
    };
    for (name, purpose) in [("e", Purpose::Encrypt), ("s", Purpose::Sign), ("m", Purpose::Mac)] {
        keys.create(name, Spec::new(purpose).schedule(schedule), "t", NOW).unwrap();
    }
    let (clock, done, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let mut events = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| work(&keys, &clock, &stop, &done));
        }
        for second in 1..=400u32 {
            let now = NOW + SECOND * second;
            let ticked = keys.tick("schedule", now);
            assert!(ticked.failures.is_empty(), "{ticked:?}");
            events.extend(ticked.events);
            if second % 37 == 0 {
                keys.rotate("e", "somebody", now).unwrap();
            }
            if second == 200 {
                keys.change_master(&master(), "somebody", now).unwrap();
            }
            clock.store(u64::from(second), Ordering::SeqCst);
            // Time goes on only when work was done, so that a second is never over in an
            // instant of the machine's.
            let until = done.load(Ordering::SeqCst) + 12;
            while done.load(Ordering::SeqCst) < until {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let info = keys.info("e").unwrap();
    let destroyed = info.keys.iter().filter(|key| key.state == KeyState::Destroyed).count();
    assert!(destroyed > 20 && events.len() > 100, "{destroyed} {}", events.len());
    println!("{} rounds, {} events, {destroyed} keys destroyed", done.into_inner(), events.len());
}

/// The check can fail: a ciphertext that nobody wraps anew is lost when its key's time is over.
#[test]
fn what_nobody_wraps_anew_is_lost_in_the_end() {
    let keys = keys();
    let schedule = Schedule {
        lead: Duration::ZERO,
        active: Some(SECOND * 10),
        decrypt_only: Some(SECOND * 50),
    };
    keys.create("e", Spec::new(Purpose::Encrypt).schedule(schedule), "t", NOW).unwrap();
    let encryptor = keys.encryptor("e").unwrap();
    let sealed = encryptor.encrypt(b"", b"").unwrap();
    let mut lost = None;
    for second in 1..100u32 {
        let due = keys.due().unwrap();
        keys.tick("t", NOW + SECOND * second);
        assert!(keys.due().unwrap() >= due);
        if let Err(e) = encryptor.decrypt(b"", &sealed) {
            assert_eq!(e.code(), Code::KEY_STATE);
            lost = Some(second);
            break;
        }
    }
    assert_eq!(lost, Some(60));
}

#[test]
fn a_ticked_event_says_what_happened_and_when() {
    let keys = keys();
    keys.create("e", Spec::new(Purpose::Encrypt), "t", NOW).unwrap();
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(keys.due(), Some(NOW + day * 83));
    assert!(keys.tick("t", NOW + day * 82).events.is_empty());
    let made = keys.tick("t", NOW + day * 83).events;
    let taken = keys.tick("t", keys.due().unwrap()).events;
    assert_eq!(made[0].change.action(), "keys.make");
    assert_eq!(taken[0].change.action(), "keys.activate");
    assert_eq!((made[0].key, made.len()), (taken[0].key, taken.len()));
    assert_eq!(taken[0].at, NOW + day * 90);
}
