use super::*;

const DAY: i64 = 86_400_000_000_000;
const NOON: i64 = 1_700_000_000_000_000_000;

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn clock(store: &Store) -> Clock {
    Clock::open(store.clone(), ClockPolicy::default()).unwrap()
}

#[test]
fn it_never_goes_back_but_goes_on() {
    let store = Store::memory(&[]).unwrap();
    let clock = clock(&store);
    assert_eq!(clock.observe(at(NOON)), at(NOON));
    assert_eq!(clock.observe(at(NOON - 5)), at(NOON), "another thread's order");
    assert_eq!(clock.steps_back(), 0);
    // Set back by a day: time goes on from the latest.
    assert_eq!(clock.observe(at(NOON - DAY)), at(NOON));
    assert_eq!(clock.observe(at(NOON - DAY + 7)), at(NOON + 7));
    assert_eq!(clock.observe(at(NOON - 2 * DAY)), at(NOON + 7), "and again");
    assert_eq!(clock.observe(at(NOON - 2 * DAY + 3)), at(NOON + 10));
    assert_eq!(clock.steps_back(), 2);
    // Set right.
    assert_eq!(clock.observe(at(NOON + 20)), at(NOON + 20));
    assert_eq!(clock.observe(at(NOON + 21)), at(NOON + 21));
}

#[test]
fn it_stands_where_it_stood_after_a_restart() {
    let store = Store::memory(&[]).unwrap();
    {
        let clock = clock(&store);
        clock.observe(at(NOON));
        clock.observe(at(NOON + 5));
        clock.persist().unwrap();
    }
    let again = clock(&store);
    assert_eq!(again.observe(at(NOON - DAY)), at(NOON + 5));
}

#[test]
fn what_is_killed_loses_an_interval_at_most() {
    let store = Store::memory(&[]).unwrap();
    let second = 1_000_000_000;
    {
        let clock = clock(&store);
        for tenth in 0..100 {
            clock.observe(at(NOON + tenth * second / 10));
        }
    }
    // The writes are in order in the store's queue; one that is waited for comes after them.
    store.put("test", "k", &Payload::from("v"), at(NOON), Durability::Process).wait().unwrap();
    let kept = clock(&store).latest().as_nanos();
    assert!(kept > NOON + 9_900_000_000 - second, "{kept}");
}

#[test]
fn a_leap_can_be_taken_back_and_nothing_else() {
    let store = Store::memory(&[]).unwrap();
    let clock = clock(&store);
    clock.observe(at(NOON));
    assert_eq!(clock.reset(at(NOON)).unwrap_err().code(), Code::CLOCK_RESET_REFUSED);
    clock.observe(at(NOON + 3650 * DAY));
    clock.observe(at(NOON + 3650 * DAY + 1));
    assert_eq!(clock.floor(), Some(at(NOON)));
    assert_eq!(clock.reset(at(NOON - 1)).unwrap_err().code(), Code::CLOCK_RESET_REFUSED);
    assert_eq!(clock.reset(at(NOON + 4000 * DAY)).unwrap_err().code(), Code::CLOCK_RESET_REFUSED);
    clock.reset(at(NOON + 9)).unwrap();
    assert_eq!(clock.observe(at(NOON + 10)), at(NOON + 10));
    assert_eq!(clock.reset(at(NOON + 9)).unwrap_err().code(), Code::CLOCK_RESET_REFUSED, "once");
    assert_eq!(Clock::open(store, ClockPolicy::default()).unwrap().latest(), at(NOON + 9));
}

#[test]
fn threads_see_it_go_one_way() {
    let store = Store::memory(&[]).unwrap();
    let clock = clock(&store);
    std::thread::scope(|scope| {
        for thread in 0..8_i64 {
            let clock = &clock;
            scope.spawn(move || {
                let mut last = i64::MIN;
                for step in 0..2_000_i64 {
                    let jump = if step % 97 == 0 { -DAY } else { 0 };
                    let seen = clock.observe(at(NOON + step * 1000 + thread + jump)).as_nanos();
                    assert!(seen >= last);
                    last = seen;
                }
            });
        }
    });
}
