use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH + SECOND * u32::try_from(seconds).unwrap()
}

fn id(number: u64) -> KeyId {
    KeyId::from_bytes(number.to_be_bytes())
}

fn material() -> Secret {
    Secret::new(vec![7; 32])
}

fn schedule(lead: u32, active: Option<u32>, decrypt_only: Option<u32>) -> Schedule {
    Schedule {
        lead: SECOND * lead,
        active: active.map(|s| SECOND * s),
        decrypt_only: decrypt_only.map(|s| SECOND * s),
    }
}

fn keyset(schedule: Schedule) -> Keyset {
    Keyset::new("k", Purpose::Encrypt, Algorithm::Aes256Gcm, schedule, (id(0), material()), at(0))
}

/// Does what is due, as the service does; how many steps it took.
fn tick(set: &mut Keyset, now: Timestamp, next: &mut u64) -> usize {
    for step in 0..KEYS_MAX + 2 {
        match set.due(now) {
            None => return step,
            Some(Due::Make(starts)) => {
                *next += 1;
                assert!(set.make(id(*next), material(), starts, now).unwrap());
            }
            Some(Due::Activate(id)) => assert!(set.activate(id, now)),
            Some(Due::Destroy(id)) => set.destroy(id, now).unwrap(),
        }
    }
    panic!("it never comes to rest");
}

fn states(set: &Keyset) -> Vec<KeyState> {
    set.keys.iter().map(|key| key.state).collect()
}

#[test]
fn a_key_goes_through_its_life_by_schedule() {
    use KeyState::*;
    let mut set = keyset(schedule(10, Some(100), Some(50)));
    let mut next = 0;
    assert_eq!(set.due_at(), Some(at(90)));
    assert_eq!(tick(&mut set, at(89), &mut next), 0);
    assert_eq!(tick(&mut set, at(90), &mut next), 1);
    assert_eq!(states(&set), [Active, PreActive]);
    assert_eq!(set.due_at(), Some(at(100)));
    tick(&mut set, at(100), &mut next);
    assert_eq!(states(&set), [DecryptOnly, Active]);
    assert_eq!(set.due_at(), Some(at(150)));
    tick(&mut set, at(150), &mut next);
    assert_eq!(states(&set), [Destroyed, Active]);
    assert!(set.keys[0].material.is_none());
}

#[test]
fn a_successor_that_is_made_late_is_still_known_for_its_lead() {
    let mut set = keyset(schedule(10, Some(100), None));
    tick(&mut set, at(1000), &mut 0);
    assert_eq!(states(&set), [KeyState::Active, KeyState::PreActive]);
    assert_eq!(set.due_at(), Some(at(1010)));
}

#[test]
fn a_long_sleep_does_not_destroy_what_was_active_until_now() {
    let mut set = keyset(schedule(0, Some(100), Some(50)));
    tick(&mut set, at(100_000), &mut 0);
    assert_eq!(states(&set), [KeyState::DecryptOnly, KeyState::Active]);
    assert_eq!(set.due_at(), Some(at(100_050)));
}

#[test]
fn nothing_happens_by_itself_without_a_schedule() {
    let mut set = keyset(Schedule::MANUAL);
    assert_eq!(set.due_at(), None);
    set.rotate(id(1), material(), at(5)).unwrap();
    assert_eq!((set.due_at(), set.due(at(1_000_000_000))), (None, None));
    assert_eq!(states(&set), [KeyState::DecryptOnly, KeyState::Active]);
}

#[test]
fn rotating_by_hand_does_not_trust_the_key_that_waits() {
    let mut set = keyset(schedule(10, Some(100), None));
    tick(&mut set, at(95), &mut 0);
    set.rotate(id(9), material(), at(96)).unwrap();
    assert_eq!(states(&set), [KeyState::DecryptOnly, KeyState::Destroyed, KeyState::Active]);
}

#[test]
fn the_active_key_and_destroyed_ones_are_not_destroyed() {
    let mut set = keyset(Schedule::MANUAL);
    assert_eq!(set.destroy(id(0), at(1)).unwrap_err().code(), Code::KEY_STATE);
    set.rotate(id(1), material(), at(1)).unwrap();
    set.destroy(id(0), at(2)).unwrap();
    assert_eq!(set.destroy(id(0), at(3)).unwrap_err().code(), Code::KEY_STATE);
    assert_eq!(set.destroy(id(5), at(3)).unwrap_err().code(), Code::KEY_UNKNOWN);
    assert!(!set.activate(id(0), at(4)));
}

#[test]
fn a_keyset_is_bounded() {
    let mut set = keyset(Schedule::MANUAL);
    for number in 1..KEYS_MAX as u64 {
        set.rotate(id(number), material(), at(number)).unwrap();
    }
    let full = set.rotate(id(1000), material(), at(1000)).unwrap_err();
    assert_eq!(full.code(), Code::KEYS_FULL);
    for number in 0..1000 {
        set.destroy(id(number), at(1000)).unwrap();
        set.rotate(id(KEYS_MAX as u64 + number), material(), at(1000)).unwrap();
    }
    assert!(set.is_sound());
    assert_eq!(set.keys.len(), KEYS_MAX + DESTROYED_MAX);
    assert_eq!(set.forgotten, 1000 - DESTROYED_MAX as u64);
}

/// What somebody does to a keyset, and how much later.
#[derive(Clone, Debug)]
enum Act {
    Tick,
    Rotate,
    Destroy(usize),
}

fn acts() -> impl Strategy<Value = Vec<(u32, bool, Act)>> {
    let act = prop_oneof![
        6 => Just(Act::Tick),
        1 => Just(Act::Rotate),
        1 => (0..20usize).prop_map(Act::Destroy),
    ];
    prop::collection::vec((0..200u32, prop::bool::weighted(0.05), act), 1..80)
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let period = || prop::option::weighted(0.8, 1..300u32);
    (0..400u32, period(), period()).prop_map(|(lead, active, decrypt_only)| {
        let lead = active.map_or(lead, |active| lead.min(active - 1));
        schedule(lead, active, decrypt_only)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_is_done_and_whenever_its_invariants_hold(schedule in schedules(), acts in acts()) {
        prop_assert!(schedule.check().is_ok());
        let mut set = keyset(schedule);
        let (mut now, mut next) = (0u64, 0u64);
        for (later, back, act) in acts {
            // Now and then the clock is set back.
            now = if back { now.saturating_sub(u64::from(later)) } else { now + u64::from(later) };
            let before = set.clone();
            let active = |set: &Keyset| set.in_state(KeyState::Active).map(|key| key.id);
            match act {
                Act::Tick => {
                    tick(&mut set, at(now), &mut next);
                    prop_assert_eq!(set.due(at(now)), None);
                    prop_assert!(set.due_at().is_none_or(|due| due > at(now)));
                }
                Act::Rotate => {
                    next += 1;
                    let had_room = set.live() < KEYS_MAX;
                    prop_assert_eq!(set.rotate(id(next), material(), at(now)).is_ok(), had_room);
                    if had_room {
                        prop_assert_eq!(active(&set), Some(id(next)));
                    }
                }
                Act::Destroy(which) => {
                    if let Some(key) = before.keys.get(which) {
                        let gone = set.destroy(key.id, at(now)).is_ok();
                        let may = matches!(key.state, KeyState::DecryptOnly | KeyState::PreActive);
                        prop_assert_eq!(gone, may);
                    }
                }
            }
            prop_assert!(set.is_sound(), "{:?}", set.info());
            // Nobody who was not retired long enough, by the clock of the day, was destroyed by schedule.
            for key in &before.keys {
                let Some(after) = set.key(key.id) else {
                    prop_assert_eq!(key.state, KeyState::Destroyed);
                    continue;
                };
                let rank = |state| match state {
                    KeyState::PreActive => 0,
                    KeyState::Active => 1,
                    KeyState::DecryptOnly => 2,
                    KeyState::Destroyed => 3,
                };
                prop_assert!(rank(after.state) >= rank(key.state), "a key lives backwards");
                if matches!(act, Act::Tick) && after.state == KeyState::Destroyed && key.state != KeyState::Destroyed {
                    let retired = Timestamp::from_nanos(key.retired.unwrap());
                    prop_assert!(retired + schedule.decrypt_only.unwrap() <= at(now));
                    prop_assert_eq!(key.state, KeyState::DecryptOnly);
                }
            }
            prop_assert!(set.version >= before.version);
        }
        // What it is survives being written down.
        let text = crate::security::keys::shelf::to_json(&set).unwrap();
        let again = crate::security::keys::shelf::from_json(&text).unwrap();
        prop_assert_eq!(again.info(), set.info());
    }
}
