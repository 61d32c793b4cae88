use super::*;
use proptest::prelude::*;

fn at(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

fn isolation(policy: IsolatePolicy) -> (Isolation, Arc<Mutex<Vec<IsolateChange>>>) {
    let isolation = Isolation::new(policy).unwrap();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&changes);
    isolation.on_change(Arc::new(move |change: &IsolateChange| list.lock().push(change.clone())));
    (isolation, changes)
}

fn crash(isolation: &Isolation, times: u32, now: Moment) {
    (0..times).for_each(|_| isolation.observe("a", Evidence::Crash, now).unwrap());
}

fn state(isolation: &Isolation, now: Moment) -> IsolateState {
    isolation.status("a", now).unwrap().state
}

#[test]
fn a_crash_loop_is_set_apart_by_way_of_suspicion() {
    let (isolation, changes) = isolation(IsolatePolicy::default());
    crash(&isolation, 1, at(0));
    assert_eq!(state(&isolation, at(0)), IsolateState::Healthy);
    crash(&isolation, 1, at(1));
    assert_eq!(state(&isolation, at(1)), IsolateState::Suspect);
    assert!(isolation.may_call("a", at(1)).is_ok(), "calls of a suspect pass");
    crash(&isolation, 1, at(2));
    assert_eq!(isolation.may_call("a", at(2)).unwrap_err().code(), Code::QUARANTINED);
    let last = changes.lock().pop().unwrap();
    assert_eq!(last.why, IsolateWhy::CrashLoop { crashes: 3, window_ms: 60_000 });
    assert_eq!((last.from, last.for_ms), (IsolateState::Suspect, Some(30_000)));
}

#[test]
fn crashes_that_are_far_apart_are_no_loop() {
    let (isolation, _) = isolation(IsolatePolicy::default());
    for n in 0..100 {
        crash(&isolation, 1, at(n * 30_000));
    }
    assert!(isolation.may_call("a", at(3_000_000)).is_ok());
}

#[test]
fn an_error_storm_counts_once_there_are_enough_calls() {
    let (isolation, changes) = isolation(IsolatePolicy::default());
    for n in 0..20 {
        assert!(isolation.may_call("a", at(n)).is_ok());
        isolation.observe("a", Evidence::Failure, at(n)).unwrap();
    }
    assert!(isolation.may_call("a", at(20)).is_err());
    let why = changes.lock().last().unwrap().why.clone();
    assert_eq!(why, IsolateWhy::ErrorStorm { failed: 20, calls: 20 });
}

#[test]
fn slow_calls_count_where_the_policy_says_so() {
    let mut policy = IsolatePolicy::default();
    (policy.error_storm.slow_rate, policy.error_storm.minimum) = (0.5, 4);
    let (isolation, changes) = isolation(policy);
    for evidence in [Evidence::Success, Evidence::Slow, Evidence::Success, Evidence::Slow] {
        isolation.observe("a", evidence, at(0)).unwrap();
    }
    assert_eq!(changes.lock()[0].why, IsolateWhy::SlowStorm { slow: 2, calls: 4 });
    assert_eq!(state(&isolation, at(0)), IsolateState::Quarantined);
}

#[test]
fn memory_is_bounded_by_size_and_by_growth() {
    let mut policy = IsolatePolicy::default();
    policy.memory.bytes = 1_000_000;
    let (by_size, _) = isolation(policy.clone());
    by_size.observe("a", Evidence::Memory(999_999), at(0)).unwrap();
    assert_eq!(state(&by_size, at(0)), IsolateState::Suspect);
    by_size.observe("a", Evidence::Memory(1_000_000), at(1)).unwrap();
    assert_eq!(state(&by_size, at(1)), IsolateState::Quarantined);

    (policy.memory.bytes, policy.memory.growth_per_minute) = (0, 60_000);
    let (by_growth, changes) = isolation(policy);
    for second in 0..60 {
        by_growth.observe("steady", Evidence::Memory(1 << 30), at(second * 10_000)).unwrap();
        // Ten thousand bytes in ten seconds: exactly the bound.
        let bytes = Evidence::Memory((1 << 20) + second * 10_000);
        by_growth.observe("a", bytes, at(second * 10_000)).unwrap();
    }
    assert!(by_growth.may_call("steady", at(600_000)).is_ok());
    let first = changes.lock()[0].clone();
    assert_eq!((&*first.target, first.to), ("a", IsolateState::Quarantined));
    assert_eq!(first.why, IsolateWhy::Growth { bytes_per_minute: 60_000.0, bound: 60_000 });
}

#[test]
fn probes_are_few_and_decide() {
    let (isolation, changes) = isolation(IsolatePolicy::default());
    crash(&isolation, 3, at(0));
    assert!(!isolation.is_open("a", at(29_999)));
    isolation.observe("a", Evidence::Failure, at(10)).unwrap();
    let now = at(30_000);
    assert!(isolation.is_open("a", now));
    isolation.observe("a", Evidence::Success, now).unwrap();
    assert!(isolation.may_call("a", now).is_ok());
    assert!(isolation.may_call("a", now).is_err(), "one probe at once");
    for _ in 0..2 {
        isolation.observe("a", Evidence::Success, now).unwrap();
        assert!(isolation.may_call("a", now).is_ok());
    }
    isolation.observe("a", Evidence::Success, now).unwrap();
    assert_eq!(state(&isolation, now), IsolateState::Healthy);
    assert!(isolation.is_quiet());
    let why: Vec<_> = changes.lock().iter().skip(2).map(|change| change.why.clone()).collect();
    assert_eq!(why, [IsolateWhy::Waited, IsolateWhy::ProbesSucceeded]);
}

#[test]
fn a_probe_that_hangs_gives_its_place_back() {
    let (isolation, _) = isolation(IsolatePolicy::default());
    crash(&isolation, 3, at(0));
    assert!(isolation.may_call("a", at(30_000)).is_ok());
    assert!(isolation.may_call("a", at(90_000)).is_err());
    assert!(isolation.may_call("a", at(90_001)).is_ok());
}

#[test]
fn relapses_last_longer_and_time_forgives_them() {
    let (isolation, _) = isolation(IsolatePolicy::default());
    let mut now = 0;
    crash(&isolation, 3, at(now));
    for length in [30_000, 60_000, 120_000, 240_000, 480_000, 900_000, 900_000] {
        assert_eq!(isolation.status("a", at(now)).unwrap().probe_in_ms, Some(length));
        now += length;
        isolation.may_call("a", at(now)).unwrap();
        isolation.observe("a", Evidence::Failure, at(now)).unwrap();
    }
    now += 900_000;
    for _ in 0..3 {
        isolation.may_call("a", at(now)).unwrap();
        isolation.observe("a", Evidence::Success, at(now)).unwrap();
    }
    assert_eq!(isolation.status("a", at(now)).unwrap().relapses, 8);
    now += 600_000 * 7;
    crash(&isolation, 3, at(now));
    assert_eq!(isolation.status("a", at(now)).unwrap().probe_in_ms, Some(60_000));
}

#[test]
fn by_hand_it_stays_until_it_is_released() {
    let (isolation, changes) = isolation(IsolatePolicy::default());
    isolation.quarantine("a", None, "ops", at(0)).unwrap();
    assert!(isolation.may_call("a", at(1 << 40)).is_err());
    assert_eq!(isolation.next_tick(), None);
    isolation.release("a", "ops", at(1 << 40)).unwrap();
    assert!(isolation.may_call("a", at(1 << 40)).is_ok());
    assert_eq!(changes.lock()[1].why, IsolateWhy::Manual { by: "ops".into() });
    isolation.quarantine("a", Some(Duration::from_secs(1)), "ops", at(0)).unwrap();
    assert!(isolation.may_call("a", at(1_000)).is_ok(), "a probe");
    let error = isolation.release("b", "ops", at(0)).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
}

#[test]
fn suspicion_passes_and_quarantine_ends_by_the_time_alone() {
    let (isolation, changes) = isolation(IsolatePolicy::default());
    crash(&isolation, 2, at(0));
    let mut ticks = 0;
    while let Some(due) = isolation.next_tick() {
        isolation.tick(due);
        ticks += 1;
    }
    assert!(ticks < 10, "{ticks}");
    assert_eq!(changes.lock().last().unwrap().why, IsolateWhy::Calm);
    crash(&isolation, 3, at(100_000));
    isolation.tick(isolation.next_tick().unwrap());
    assert_eq!(state(&isolation, at(130_000)), IsolateState::Probing);
}

#[test]
fn as_many_targets_are_known_as_may_be() {
    let policy = IsolatePolicy { most_targets: 2, ..IsolatePolicy::default() };
    let (isolation, _) = isolation(policy);
    isolation.observe("old", Evidence::Success, at(0)).unwrap();
    isolation.observe("young", Evidence::Success, at(1)).unwrap();
    isolation.observe("a", Evidence::Success, at(2)).unwrap();
    let names = |isolation: &Isolation| -> Vec<_> {
        isolation.list(at(2)).iter().map(|target| target.target.to_string()).collect()
    };
    assert_eq!(names(&isolation), ["a", "young"]);
    isolation.quarantine("a", None, "me", at(3)).unwrap();
    isolation.quarantine("b", None, "me", at(3)).unwrap();
    assert_eq!(names(&isolation), ["a", "b"]);
    let error = isolation.observe("c", Evidence::Success, at(4)).unwrap_err();
    assert_eq!(error.code(), Code::OVERLOADED);
    assert_eq!(isolation.observe("", Evidence::Crash, at(4)).unwrap_err().code(), Code::INVALID);
    isolation.forget("a");
    assert!(isolation.observe("c", Evidence::Success, at(4)).is_ok());
}

#[test]
fn policies_that_make_no_sense_name_their_field() {
    let mut bad = vec![
        (IsolatePolicy { suspect_share: 0.0, ..IsolatePolicy::default() }, "suspect_share"),
        (IsolatePolicy { probes: 0, ..IsolatePolicy::default() }, "probes"),
        (IsolatePolicy { quarantine_max_ms: 1, ..IsolatePolicy::default() }, "quarantine_max_ms"),
    ];
    let mut policy = IsolatePolicy::default();
    policy.error_storm.failure_rate = f64::NAN;
    bad.push((policy, "error_storm.failure_rate"));
    let mut policy = IsolatePolicy::default();
    policy.memory.minimum = 33;
    bad.push((policy, "memory.minimum"));
    for (policy, field) in bad {
        let error = Isolation::new(policy).unwrap_err();
        assert_eq!(error.context().find(|(key, _)| *key == "field").unwrap().1, field);
    }
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        Just(Evidence::Crash),
        Just(Evidence::Failure),
        Just(Evidence::Slow),
        Just(Evidence::Success),
        (0_u64..2_000).prop_map(Evidence::Memory),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    See(Evidence),
    Call,
    Tick,
    Wait(u64),
    Quarantine(Option<u64>),
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => evidence().prop_map(Step::See),
        6 => Just(Step::Call),
        2 => Just(Step::Tick),
        4 => (0_u64..40_000).prop_map(Step::Wait),
        1 => proptest::option::of(0_u64..60_000).prop_map(Step::Quarantine),
        1 => Just(Step::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any schedule: no call passes before a quarantine is over, no more probes at once than the budget
    /// has, changes join up and follow the way of the machine, and a target that does well is let in.
    #[test]
    fn what_is_set_apart_stays_apart_and_comes_back(
        steps in proptest::collection::vec(step(), 1..200), probes in 1_u32..4,
    ) {
        let mut policy = IsolatePolicy { probes, ..IsolatePolicy::default() };
        (policy.memory.bytes, policy.error_storm.minimum) = (1_500, 5);
        let patience = policy.probe_timeout_ms;
        let (isolation, changes) = isolation(policy);
        let (mut now, mut apart_until, mut places, mut last) = (0, 0, 0, 0);
        let mut state = IsolateState::Healthy;
        for step in steps {
            let mut probes_now = false;
            match step {
                Step::See(evidence) => isolation.observe("a", evidence, at(now)).unwrap(),
                Step::Call => {
                    let open = isolation.is_open("a", at(now));
                    let passed = isolation.may_call("a", at(now)).is_ok();
                    prop_assert_eq!(open, passed);
                    prop_assert!(!passed || now >= apart_until, "{now} < {apart_until}");
                    let state = isolation.status("a", at(now)).map(|target| target.state);
                    probes_now = passed && state == Some(IsolateState::Probing);
                }
                Step::Tick => isolation.tick(at(now)),
                Step::Wait(ms) => now += ms,
                Step::Quarantine(ms) => {
                    isolation.quarantine("a", ms.map(Duration::from_millis), "me", at(now)).unwrap();
                }
                Step::Release => drop(isolation.release("a", "me", at(now))),
            }
            for change in changes.lock().drain(..) {
                prop_assert_eq!(change.from, state, "changes join up");
                state = change.to;
                let by_hand = matches!(change.why, IsolateWhy::Manual { .. });
                match state {
                    IsolateState::Quarantined => {
                        apart_until = change.for_ms.map_or(u64::MAX, |ms| now + ms);
                    }
                    IsolateState::Probing => prop_assert_eq!(change.from, IsolateState::Quarantined),
                    IsolateState::Suspect => prop_assert_eq!(change.from, IsolateState::Healthy),
                    IsolateState::Healthy => {
                        prop_assert!(by_hand || change.from != IsolateState::Quarantined);
                    }
                }
                if state != IsolateState::Quarantined {
                    apart_until = 0;
                }
                // What was under way counts no longer.
                (places, last) = (0, now);
            }
            if probes_now {
                places = if now - last > patience { 1 } else { places + 1 };
                last = now;
                prop_assert!(places <= probes, "{places} probes at once");
            }
            prop_assert_eq!(isolation.is_quiet(), !matches!(state, IsolateState::Quarantined | IsolateState::Probing));
            if matches!(step, Step::See(Evidence::Success | Evidence::Slow)) {
                places = places.saturating_sub(1);
            }
        }
        if apart_until != u64::MAX {
            now += 900_000 + patience;
            for n in 0..20 {
                if isolation.may_call("a", at(now + n)).is_ok() {
                    isolation.observe("a", Evidence::Success, at(now + n)).unwrap();
                }
            }
            // Memory that was over its bound is still judged while it is only suspect.
            prop_assert!(isolation.may_call("a", at(now + 20)).is_ok());
        }
    }
}
