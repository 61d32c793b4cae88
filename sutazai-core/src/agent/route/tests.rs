//! The allocator as a whole.

use proptest::prelude::{Just, ProptestConfig, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::*;
use crate::base::time::Moment;

fn allocator(strategy: Strategy) -> Allocator {
    Allocator::new(RoutePolicy { strategy, ..RoutePolicy::default() }, 7).unwrap()
}

const STRATEGIES: [Strategy; 6] = [
    Strategy::Adaptive,
    Strategy::RoundRobin,
    Strategy::LeastLoaded,
    Strategy::PeakEwma,
    Strategy::Sticky,
    Strategy::Weighted,
];

fn seconds(n: u64) -> Moment {
    Moment::from_nanos(n * 1_000_000_000)
}

/// Decides `rounds` times, a second apart, with the reward and the time that `world` gives; answers how often each
/// arm was chosen.
fn shares(
    allocator: &mut Allocator,
    arms: &[Arm<'_>],
    from: u64,
    rounds: u64,
    world: impl Fn(usize, u64) -> (Option<f64>, u64),
) -> Vec<usize> {
    let mut chosen = vec![0; arms.len()];
    for n in from..from + rounds {
        let now = seconds(n);
        let decision = allocator.decide(now, &Ask::new("s", arms)).unwrap();
        let (reward, millis) = world(decision.index, n);
        chosen[decision.index] += 1;
        let end = now + std::time::Duration::from_millis(millis);
        assert_eq!(allocator.settled(decision.number, end, Ended::Succeeded), Report::Learned);
        if let Some(reward) = reward {
            assert_eq!(allocator.reward(decision.number, reward), Report::Learned);
        }
    }
    chosen
}

fn arms<const N: usize>() -> [Arm<'static>; N] {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    std::array::from_fn(|n| Arm::new(names[n]))
}

#[test]
fn the_best_one_gets_the_work_and_loses_it_when_it_fails() {
    let mut allocator = allocator(Strategy::Adaptive);
    let arms = arms::<4>();
    let good = |arm, n: u64| (Some(if arm == 2 { 0.9 } else { 0.5 } + (n % 3) as f64 * 0.03), 100);
    shares(&mut allocator, &arms, 0, 200, good);
    assert!(shares(&mut allocator, &arms, 200, 200, good)[2] > 190);
    let failed = |arm, n| if arm == 2 { (Some(0.0), 100) } else { good(arm, n) };
    assert!(shares(&mut allocator, &arms, 400, 100, failed)[2] < 10);
    // Nobody forgot how good the others are, and it is tried again from time to time.
    assert!(shares(&mut allocator, &arms, 500, 4000, failed)[2] < 100);
    let healed = shares(&mut allocator, &arms, 4500, 3000, good);
    assert!(healed[2] > 1500, "{healed:?}");
}

/// Rewards of 1 for four tasks of five, and of 0 for the fifth: nobody is better than anybody.
fn four_of_five(n: u64) -> f64 {
    f64::from(u8::from(!crate::base::id::mix(n).is_multiple_of(5)))
}

#[test]
fn equals_are_chosen_by_pace_and_load() {
    for rewarded in [false, true] {
        let reward = |n| rewarded.then(|| four_of_five(n));
        let mut allocator = allocator(Strategy::Adaptive);
        let equal = arms::<4>();
        let one_slow = |arm, n| (reward(n), if arm == 1 { 4000 } else { 400 });
        shares(&mut allocator, &equal, 0, 200, one_slow);
        let after = shares(&mut allocator, &equal, 200, 1000, one_slow);
        assert!(after[1] <= 100, "{rewarded}: {after:?}");
        let recovered = shares(&mut allocator, &equal, 1200, 2000, |_, n| (reward(n), 400));
        // Where there are rewards, chance may have had it that others are better.
        assert!(rewarded || recovered[1] > 400, "{recovered:?}");
        let loaded: [Arm<'_>; 4] =
            std::array::from_fn(|n| Arm { in_flight: if n == 3 { 0 } else { 6 }, ..equal[n] });
        let idle = shares(&mut allocator, &loaded, 3200, 100, |_, n| (reward(n), 400));
        assert!(idle[3] > 80, "{rewarded}: {idle:?}");
    }
}

#[test]
fn equals_share_the_work_where_nothing_but_success_is_known() {
    let mut allocator = allocator(Strategy::Adaptive);
    let even = shares(&mut allocator, &arms::<4>(), 0, 400, |arm, n| {
        // As good as the same, and never quite.
        (None, 400 + (n * 7 + arm as u64 * 3) % 20)
    });
    assert!(even.iter().all(|share| (60..140).contains(share)), "{even:?}");
    // One that failed now and then is not worse than it is.
    let arms = arms::<2>();
    let mut chosen = [0; 2];
    for n in 400..2400 {
        let decision = allocator.decide(seconds(n), &Ask::new("t", &arms)).unwrap();
        chosen[decision.index] += 1;
        let fails = decision.index == 0 && n % 50 == 0;
        let ended = if fails { Ended::Failed } else { Ended::Succeeded };
        let _ = allocator.settled(decision.number, seconds(n), ended);
    }
    assert!(chosen[0] > 50 && chosen[1] > chosen[0], "{chosen:?}");
}

#[test]
fn a_failure_is_a_reward_of_zero() {
    let mut allocator = allocator(Strategy::Adaptive);
    let arms = arms::<2>();
    let mut to_first = 0;
    for n in 0..100 {
        let decision = allocator.decide(seconds(n), &Ask::new("s", &arms)).unwrap();
        // The first one fails at once: it must not draw work because it is quick.
        let first = decision.index == 0;
        let ended = if first { Ended::Failed } else { Ended::Succeeded };
        let took = if first { seconds(n) } else { seconds(n + 2) };
        assert_eq!(allocator.settled(decision.number, took, ended), Report::Learned);
        to_first += usize::from(first);
    }
    assert!(to_first < 15, "{to_first}");
}

#[test]
fn reports_are_taken_once_and_checked() {
    let mut allocator = allocator(Strategy::Adaptive);
    let arms = arms::<2>();
    let mut decide = |n| allocator.decide(seconds(n), &Ask::new("s", &arms)).unwrap().number;
    let (first, second) = (decide(0), decide(1));
    for wrong in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert_eq!(allocator.reward(first, wrong), Report::Invalid);
    }
    assert_eq!(allocator.reward(first, 0.5), Report::Learned);
    assert_eq!(allocator.reward(first, 0.9), Report::Repeated);
    assert_eq!(allocator.settled(first, seconds(2), Ended::Cancelled), Report::Learned);
    assert_eq!(allocator.settled(first, seconds(2), Ended::Succeeded), Report::Repeated);
    assert_eq!(allocator.settled(second, seconds(2), Ended::Failed), Report::Learned);
    assert_eq!(allocator.reward(second, 1.0), Report::Repeated);
    assert_eq!(allocator.reward(99, 1.0), Report::Unknown);
    assert_eq!(allocator.settled(99, seconds(2), Ended::Failed), Report::Unknown);
}

#[test]
fn constraints_hold_and_are_explained() {
    let eu = [("region", "eu")];
    let arms = [
        Arm { cost: 2.0, labels: &eu, ..Arm::new("dear") },
        Arm { cost: f64::NAN, labels: &eu, ..Arm::new("unknown") },
        Arm { available: false, labels: &eu, ..Arm::new("away") },
        Arm { cost: 1.0, ..Arm::new("abroad") },
        Arm { cost: 1.0, labels: &eu, ..Arm::new("banned") },
        Arm { cost: 1.0, labels: &eu, ..Arm::new("fits") },
    ];
    let ask =
        Ask { max_cost: Some(1.0), require: &eu, exclude: &["banned"], ..Ask::new("s", &arms) };
    for strategy in STRATEGIES {
        let mut allocator = allocator(strategy);
        let decision = allocator.decide(seconds(0), &ask).unwrap();
        assert_eq!(decision.index, 5);
        let explanation = allocator.explain(decision.number).unwrap();
        let excluded: Vec<_> = explanation.arms.iter().map(|a| a.excluded).collect();
        assert_eq!(
            excluded,
            [
                Some(Exclusion::TooExpensive),
                Some(Exclusion::TooExpensive),
                Some(Exclusion::Unavailable),
                Some(Exclusion::LacksLabel),
                Some(Exclusion::Excluded),
                None
            ]
        );
        assert_eq!(explanation.chosen, "fits");
        assert_eq!(allocator.decide(seconds(1), &Ask::new("s", &arms[2..3])), None);
        assert_eq!(allocator.decide(seconds(1), &Ask::new("s", &[])), None);
    }
}

#[test]
fn a_new_arm_is_tried_soon_and_one_that_is_gone_is_forgotten() {
    let mut allocator = allocator(Strategy::Adaptive);
    let arms = arms::<8>();
    shares(&mut allocator, &arms[..3], 0, 300, |arm, n| {
        (Some(0.2 + 0.1 * ((arm as u64 + n) % 3) as f64), 9)
    });
    let better = |arm, _| (Some(if arm == 3 { 0.9 } else { 0.3 }), 9);
    assert!(shares(&mut allocator, &arms[..4], 300, 100, better)[3] > 80);
    for n in 0..1000 {
        let name = format!("passing-{n}");
        allocator.decide(seconds(n), &Ask::new("s", &[Arm::new(&name)])).unwrap();
    }
    assert!(allocator.known().1 <= 66, "{:?}", allocator.known());
}

#[test]
fn affinity_holds_until_something_speaks_against_it() {
    let arms = arms::<5>();
    let ask = Ask { affinity: Some("customer-17"), ..Ask::new("s", &arms) };
    let mut sticky = allocator(Strategy::Sticky);
    let home = sticky.decide(seconds(0), &ask).unwrap().index;
    assert!((0..20).all(|n| sticky.decide(seconds(n), &ask).unwrap().index == home));
    // Whoever leaves, it stays, unless it is the one that leaves.
    for gone in 0..5 {
        let left: Vec<Arm<'_>> = (0..5).filter(|&n| n != gone).map(|n| arms[n]).collect();
        let ask = Ask { arms: &left, ..ask };
        let chosen = left[sticky.decide(seconds(30), &ask).unwrap().index].key;
        assert_eq!(chosen == arms[home].key, gone != home);
    }
    let mut adaptive = allocator(Strategy::Adaptive);
    let mut at_home = 0;
    for n in 0..400 {
        let decision = adaptive.decide(seconds(n), &ask).unwrap();
        let _ = adaptive.reward(decision.number, 0.6 + 0.05 * (n % 3) as f64);
        at_home += usize::from(n >= 100 && decision.index == home);
    }
    assert!(at_home > 270, "{at_home}");
}

#[test]
fn weights_are_kept_exactly_and_evenly() {
    let mut allocator = allocator(Strategy::Weighted);
    let mut arms = arms::<3>();
    (arms[0].weight, arms[1].weight, arms[2].weight) = (5, 1, 1);
    let chosen: Vec<usize> = (0..7)
        .map(|n| allocator.decide(seconds(n), &Ask::new("s", &arms)).unwrap().index)
        .collect();
    // nginx's example for its smooth weighted round robin.
    assert_eq!(chosen, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_other_strategies_do_what_they_say() {
    let arms = arms::<3>();
    let loaded: [Arm<'_>; 3] = std::array::from_fn(|n| Arm { in_flight: [4, 1, 4][n], ..arms[n] });
    let mut turns = allocator(Strategy::RoundRobin);
    let even = shares(&mut turns, &arms, 0, 9, |_, _| (Some(1.0), 1));
    assert_eq!(even, [3, 3, 3]);
    let mut least = allocator(Strategy::LeastLoaded);
    assert_eq!(shares(&mut least, &loaded, 0, 9, |_, _| (Some(1.0), 1)), [0, 9, 0]);
    let mut ewma = allocator(Strategy::PeakEwma);
    let slow = |arm, _| (Some(1.0), if arm == 0 { 9000 } else { 10 });
    shares(&mut ewma, &arms, 0, 30, slow);
    assert!(shares(&mut ewma, &arms, 30, 90, slow)[0] < 10);
}

#[test]
fn a_policy_out_of_range_is_refused() {
    let refused = |policy: RoutePolicy| policy.check().is_err();
    assert!(refused(RoutePolicy { waiting_price: -1.0, ..RoutePolicy::default() }));
    assert!(refused(RoutePolicy { cost_price: f64::NAN, ..RoutePolicy::default() }));
    assert!(refused(RoutePolicy { max_pending: 0, ..RoutePolicy::default() }));
    assert!(refused(RoutePolicy { max_scopes: 1 << 20, ..RoutePolicy::default() }));
    assert!(!refused(RoutePolicy::default()));
}

#[derive(Clone, Debug)]
enum Step {
    Decide { scope: u8, features: Vec<f64>, arms: Vec<(u8, u32, bool)> },
    Settle { back: u64, ended: Ended },
    Reward { back: u64, reward: f64 },
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    let number = prop_oneof![
        5 => -1e3..1e3_f64,
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(1e300),
        1 => Just(0.0),
    ];
    let arm = (0..12_u8, 0..20_u32, prop::bool::weighted(0.8));
    let ended = prop_oneof![Just(Ended::Succeeded), Just(Ended::Failed), Just(Ended::Cancelled)];
    let step = prop_oneof![
        4 => (0..5_u8, prop::collection::vec(number.clone(), 0..6), prop::collection::vec(arm, 0..6))
            .prop_map(|(scope, features, arms)| Step::Decide { scope, features, arms }),
        2 => (0..12_u64, ended).prop_map(|(back, ended)| Step::Settle { back, ended }),
        3 => (0..12_u64, prop_oneof![4 => 0.0..=1.0_f64, 1 => number])
            .prop_map(|(back, reward)| Step::Reward { back, reward }),
    ];
    prop::collection::vec(step, 1..200)
}

/// Does the steps, logs them as a host would, and holds what always holds.
fn play(policy: &RoutePolicy, steps: &[Step]) -> (Vec<Option<Decision>>, String) {
    let mut allocator = Allocator::new(policy.clone(), 11).unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("arm-{n}")).collect();
    let (mut decisions, mut log) = (Vec::new(), String::new());
    let mut last = 0_u64;
    for (n, step) in (0_u64..).zip(steps) {
        let now = Moment::from_nanos(n * 700_000_000);
        let input = match step {
            Step::Decide { scope, features, arms } => {
                let arms: Vec<Arm<'_>> = arms
                    .iter()
                    .map(|&(name, in_flight, available)| Arm {
                        in_flight,
                        available,
                        ..Arm::new(&names[usize::from(name)])
                    })
                    .collect();
                let scope = format!("scope-{scope}");
                let ask = Ask {
                    features,
                    exclude: &["arm-3"],
                    affinity: Some("key"),
                    ..Ask::new(&scope, &arms)
                };
                let decision = allocator.decide(now, &ask);
                let could = arms.iter().any(|arm| ask.excludes(arm).is_none());
                assert_eq!(decision.is_some(), could);
                if let Some(decision) = decision {
                    let arm = &arms[decision.index];
                    assert!(arm.available && arm.key != "arm-3");
                    let explanation = allocator.explain(decision.number).unwrap();
                    assert_eq!(explanation.chosen, arm.key);
                    let figures = explanation.arms.iter().flat_map(|a| {
                        [a.quality, a.exploration, a.waiting, a.cost, a.affinity, a.value]
                    });
                    assert!(figures.into_iter().all(f64::is_finite), "{explanation:?}");
                    last = decision.number;
                }
                decisions.push(decision);
                Input::Decide { now_ns: now.as_nanos(), ask: (&ask).into() }
            }
            Step::Settle { back, ended } => {
                let number = last.saturating_sub(*back);
                let _ = allocator.settled(number, now, *ended);
                Input::Settled { now_ns: now.as_nanos(), number, ended: *ended }
            }
            Step::Reward { back, reward } => {
                let number = last.saturating_sub(*back);
                let report = allocator.reward(number, *reward);
                let valid = (0.0..=1.0).contains(reward);
                assert_eq!(report == Report::Invalid, !valid);
                let reward = reward.is_finite().then_some(*reward);
                Input::Reward { number, reward }
            }
        };
        log.push_str(&serde_json::to_string(&input).unwrap());
        log.push('\n');
        let (scopes, known) = allocator.known();
        assert!(scopes <= policy.max_scopes as usize && known <= 12 * scopes);
    }
    (decisions, log)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_comes_nobody_who_is_not_available_is_chosen_and_a_replay_decides_the_same(
        steps in steps(),
        strategy in prop::sample::select(STRATEGIES.to_vec()),
        max_scopes in 1..4_u32,
        max_pending in 1..9_u32,
    ) {
        let policy = RoutePolicy { strategy, max_scopes, max_pending, ..RoutePolicy::default() };
        let (decisions, log) = play(&policy, &steps);
        let again = replay(policy, 11, log.as_bytes()).unwrap();
        prop_assert_eq!(
            serde_json::to_string(&decisions).unwrap(),
            serde_json::to_string(&again).unwrap()
        );
    }
}

/// The decisions of a long run as they came out when this was written: they may change with a release that
/// says so, and never with the machine.
#[test]
fn decisions_are_the_same_on_every_machine() {
    let mut allocator = allocator(Strategy::Adaptive);
    let arms = arms::<5>();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for n in 0..3000_u64 {
        let features = [(n % 7) as f64 * 0.3, (n % 11) as f64 * 1e4, 1.0 / (1.0 + (n % 13) as f64)];
        let ask = Ask { features: &features, ..Ask::new("s", &arms) };
        let decision = allocator.decide(seconds(n), &ask).unwrap();
        let millis = 100 * (1 + (n * decision.index as u64) % 5);
        let end = seconds(n) + std::time::Duration::from_millis(millis);
        let _ = allocator.settled(decision.number, end, Ended::Succeeded);
        let reward = 0.1 * ((n + 3 * decision.index as u64) % 7) as f64 + 0.05 * features[0];
        let _ = allocator.reward(decision.number, reward.min(1.0));
        digest = (digest ^ decision.index as u64).wrapping_mul(0x0100_0000_01b3);
    }
    assert_eq!(digest, 6_492_808_387_118_924_407);
}

#[test]
fn a_log_that_cannot_be_read_names_its_line() {
    let error = replay(RoutePolicy::default(), 1, &b"\n{\"call\":\"dance\"}\n"[..]).unwrap_err();
    assert!(format!("{error:?}").contains('2'), "{error:?}");
}
