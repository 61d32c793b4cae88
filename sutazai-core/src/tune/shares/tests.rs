use proptest::prelude::*;

use super::*;

/// What agents make of shares: `weight·(1 − e^(−share/need))`, concave.
fn made(agents: &[(f64, f64)], i: usize, share: f64) -> f64 {
    agents.get(i).map_or(0.0, |(weight, need)| weight * (1.0 - (-share / need).exp()))
}

/// The best that can be made within bounds, by giving small parts where they do most.
fn best(agents: &[(f64, f64)], bounds: &[(f64, f64)]) -> f64 {
    let mut shares: Vec<f64> = bounds.iter().map(|b| b.0).collect();
    let part = 1e-3;
    while shares.iter().sum::<f64>() + part <= 1.0 + 1e-9 {
        let gain = |i: usize| made(agents, i, shares[i] + part) - made(agents, i, shares[i]);
        let room = (0..agents.len()).filter(|i| shares[*i] + part <= bounds[*i].1 + 1e-9);
        let Some(most) = room.max_by(|a, b| gain(*a).total_cmp(&gain(*b))) else { break };
        shares[most] += part;
    }
    shares.iter().enumerate().map(|(i, s)| made(agents, i, *s)).sum()
}

fn run(
    shares: &mut Shares,
    agents: &[(f64, f64)],
    rounds: usize,
    noise: f64,
    random: &mut Random,
) -> f64 {
    let (mut total, mut last) = (0.0, 0);
    for round in 0..rounds {
        let given = shares.propose();
        let benefits: BTreeMap<String, f64> = (given.iter().enumerate())
            .map(|(i, (name, s))| {
                (name.clone(), made(agents, i, *s) * (1.0 + noise * random.normal()))
            })
            .collect();
        shares.report(&benefits);
        if round >= rounds * 3 / 4 {
            total += given.iter().enumerate().map(|(i, (_, s))| made(agents, i, *s)).sum::<f64>();
            last += 1;
        }
    }
    total / f64::from(last)
}

#[test]
fn shares_go_where_they_do_most_good() {
    let mut random = Random::new(1);
    for case in 0..10 {
        let agents: Vec<(f64, f64)> =
            (0..5).map(|_| (1.0 + 9.0 * random.unit(), 0.05 + random.unit())).collect();
        let bounds = vec![(0.02, 0.6); 5];
        let mut shares = Shares::new(SharePolicy { seed: case, ..SharePolicy::default() }).unwrap();
        for i in 0..5 {
            shares.join(&format!("agent{i}"), 0.02, 0.6).unwrap();
        }
        let even: f64 = (0..5).map(|i| made(&agents, i, 0.2)).sum();
        let got = run(&mut shares, &agents, 1200, 0.03, &mut random);
        let most = best(&agents, &bounds);
        assert!(got >= 0.96 * most && got >= even, "{case}: {got} of {most}, even {even}");
    }
}

#[test]
fn shares_follow_when_the_benefit_moves() {
    let mut random = Random::new(2);
    let mut shares = Shares::new(SharePolicy::default()).unwrap();
    for name in ["a", "b"] {
        shares.join(name, 0.05, 0.95).unwrap();
    }
    run(&mut shares, &[(10.0, 0.5), (1.0, 0.5)], 400, 0.02, &mut random);
    assert!(shares.view().agents["a"].share > 0.8);
    run(&mut shares, &[(1.0, 0.5), (10.0, 0.5)], 600, 0.02, &mut random);
    assert!(shares.view().agents["b"].share > 0.8, "{:?}", shares.view());
}

#[test]
fn agents_come_and_go() {
    let mut shares = Shares::new(SharePolicy::default()).unwrap();
    assert!(shares.propose().is_empty() && shares.quotas(10).is_empty());
    shares.join("a", 0.5, 0.7).unwrap();
    // Alone it gets no more than its ceiling.
    assert_eq!(shares.propose()["a"], 0.7);
    shares.join("b", 0.3, 1.0).unwrap();
    assert!(shares.join("c", 0.3, 1.0).is_err() && shares.join("c", 0.2, 0.1).is_err());
    assert!(shares.join("c", f64::NAN, 1.0).is_err());
    shares.join("c", 0.0, 0.2).unwrap();
    let sum: f64 = shares.propose().values().sum();
    assert!((sum - 1.0).abs() < 1e-9);
    shares.leave("b");
    assert!((shares.propose()["c"] - 0.2).abs() < 1e-9);
    assert!(Shares::new(SharePolicy { memory: 1.0, ..SharePolicy::default() }).is_err());
}

proptest! {
    #[test]
    fn floors_ceilings_and_the_whole_hold(
        bounds in proptest::collection::vec((0.0f64..0.1, 0.2f64..1.0), 1..10),
        benefits in proptest::collection::vec(any::<f64>(), 1..60),
        units in 0u64..10_000,
    ) {
        let mut shares = Shares::new(SharePolicy::default()).unwrap();
        for (i, (floor, ceiling)) in bounds.iter().enumerate() {
            shares.join(&format!("{i}"), *floor, *ceiling).unwrap();
        }
        let whole = bounds.iter().map(|b| b.1).sum::<f64>().min(1.0);
        for (round, benefit) in benefits.iter().enumerate() {
            let given = shares.propose();
            for (i, (floor, ceiling)) in bounds.iter().enumerate() {
                let share = given[&format!("{i}")];
                prop_assert!(*floor <= share && share <= *ceiling);
            }
            prop_assert!((given.values().sum::<f64>() - whole).abs() < 1e-6);
            let quotas = shares.quotas(units);
            let sum: u64 = quotas.values().sum();
            prop_assert!(sum <= units && sum as f64 >= units as f64 * whole - 1.0);
            for (name, quota) in quotas {
                // A unit more or less finds out what it is worth.
                let off = (quota as f64 - given[&name] * units as f64).abs();
                prop_assert!(off <= 2.0 + 1e-6);
            }
            let name = format!("{}", round % bounds.len());
            shares.report(&BTreeMap::from([(name, *benefit)]));
            prop_assert!(shares.view().agents.values().all(|a| a.marginal.is_finite()));
        }
    }
}

/// What comes in to all of them, and how it is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// With this much noise, as a part of it.
    Noisy(f64),
    /// As under a load that comes and goes.
    Load,
    /// As whole tasks.
    Tasks,
}

impl Told {
    fn of(self, benefit: f64, round: usize, random: &mut Random) -> f64 {
        match self {
            Self::Noisy(noise) => benefit * (1.0 + noise * random.normal()),
            Self::Load => {
                let load = 1.0 + 0.5 * (round as f64 / 200.0).sin();
                benefit * load * (1.0 + 0.2 * random.normal())
            }
            Self::Tasks => (benefit + benefit.sqrt() * random.normal()).round().max(0.0),
        }
    }
}

/// The farthest that any share was from an even one, as a part of it, and how far it is in the end.
fn farthest(
    seed: u64,
    rounds: usize,
    told: Told,
    names: &[&str],
    made: impl Fn(usize, f64) -> f64,
) -> (f64, f64) {
    let mut random = Random::new(seed + 1_000);
    let mut shares = Shares::new(SharePolicy { seed, ..SharePolicy::default() }).unwrap();
    names.iter().for_each(|name| shares.join(name, 0.0, 1.0).unwrap());
    let (mut farthest, mut now) = (0.0_f64, 0.0);
    for round in 0..rounds {
        let given = shares.propose();
        let benefits: BTreeMap<String, f64> = (given.into_iter().enumerate())
            .map(|(i, (name, share))| (name, told.of(made(i, share), round, &mut random)))
            .collect();
        shares.report(&benefits);
        let even = names.len() as f64;
        let off = shares.agents.values().map(|agent| (agent.share * even - 1.0).abs());
        now = off.fold(0.0, f64::max);
        farthest = farthest.max(now);
    }
    (farthest, now)
}

/// What somebody makes has nothing to do with what they have; or one more unit is worth as much to everybody.
#[test]
fn shares_that_make_no_difference_stay_even_for_any_length_of_time() {
    let five = ["a", "b", "c", "d", "e"];
    let all = [Told::Noisy(0.0), Told::Noisy(0.03), Told::Noisy(0.3), Told::Load, Told::Tasks];
    for told in all {
        for seed in 0..2 {
            let much = [100.0, 1.0, 10.0, 30.0, 50.0];
            for names in [&five[..2], &five[..]] {
                let (far, now) = farthest(seed, 10_000, told, names, |i, _| much[i]);
                assert!(far <= 0.5 && now <= 0.3, "{told:?} {seed}: {far}, in the end {now}");
            }
            let (far, now) = farthest(seed, 10_000, told, &five[..2], |_, s| 100.0 * s.sqrt());
            assert!(far <= 0.5 && now <= 0.3, "{told:?} {seed}: {far}, in the end {now}");
        }
    }
    let (far, now) = farthest(6, 50_000, Told::Noisy(0.1), &five[..2], |_, _| 10.0);
    assert!(far <= 0.5 && now <= 0.3, "{far}, in the end {now}");
}

/// How much of what could be gained is gained in the mean of the last rounds.
fn gained(seed: u64, noise: f64, weights: [f64; 2], to: usize, from: usize) -> f64 {
    let mut random = Random::new(seed + 2_000);
    let mut shares = Shares::new(SharePolicy { seed, ..SharePolicy::default() }).unwrap();
    for name in ["a", "b"] {
        shares.join(name, 0.02, 1.0).unwrap();
    }
    let all = |s: &[f64]| s.iter().zip(weights).map(|(s, w)| w * s.sqrt()).sum::<f64>();
    let best = weights.map(|w| w * w / weights.iter().map(|w| w * w).sum::<f64>());
    let (even, most) = (all(&[0.5, 0.5]), all(&best));
    let mut sum = 0.0;
    for round in 0..to {
        let given = shares.propose();
        let benefits: BTreeMap<String, f64> = (given.into_iter().zip(weights))
            .map(|((name, s), w)| (name, w * s.sqrt() * (1.0 + noise * random.normal())))
            .collect();
        shares.report(&benefits);
        let now: Vec<f64> = shares.agents.values().map(|agent| agent.share).collect();
        sum += if round < from { 0.0 } else { (all(&now) - even) / (most - even) };
    }
    sum / (to - from) as f64
}

#[test]
fn a_difference_that_is_there_is_found_as_soon_as_it_shows() {
    let mean = |noise, weights, to: usize, from| {
        let seeds = if to > 1_000 { 3 } else { 8 };
        (0..seeds).map(|seed| gained(seed, noise, weights, to, from)).sum::<f64>() / seeds as f64
    };
    for (noise, to, from, least) in [
        (0.0, 50, 0, 0.65),
        (0.0, 100, 50, 0.95),
        (0.03, 100, 50, 0.7),
        (0.03, 300, 100, 0.9),
        (0.1, 3_000, 1_000, 0.85),
        (0.3, 10_000, 5_000, 0.5),
    ] {
        let got = mean(noise, [3.0, 1.0], to, from);
        assert!(got >= least, "noise {noise}, rounds {from} to {to}: {got}");
    }
    // A small one, too, in time: what follows chance makes less than even shares do.
    let got = mean(0.1, [1.5, 1.0], 10_000, 5_000);
    assert!(got >= 0.6, "{got}");
}
