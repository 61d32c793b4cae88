//! Shares of few units, and of what is counted in few tasks.

use super::*;

/// The mean units of the first of `agents` in the second half of 600 rounds, in which it makes so many times as much of them, and the
/// farthest that anybody's share was from an even one then, in units.
fn divided(units: u64, agents: usize, times: f64, noise: f64, seed: u64) -> (f64, f64) {
    let mut random = Random::new(seed + 3_000);
    let mut shares = Shares::new(SharePolicy { seed, ..SharePolicy::default() }).unwrap();
    (0..agents).for_each(|i| shares.join(&format!("{i:02}"), 0.0, 1.0).unwrap());
    let (mut first, mut far) = (0.0, 0.0_f64);
    for round in 0..600 {
        shares.propose();
        let quotas = shares.quotas(units);
        assert_eq!(quotas.values().sum::<u64>(), units);
        let part = |quota: &u64| *quota as f64 / units as f64;
        shares.took(&quotas.iter().map(|(name, quota)| (name.clone(), part(quota))).collect());
        let benefits = quotas.iter().enumerate().map(|(i, (name, quota))| {
            let made = (*quota as f64).sqrt() * if i == 0 { times } else { 1.0 };
            (name.clone(), made * (1.0 + noise * random.normal()))
        });
        let benefits = benefits.collect();
        shares.report(&benefits);
        if round >= 300 {
            first += quotas["00"] as f64 / 300.0;
            let even = units as f64 / agents as f64;
            let off = |agent: &Agent| (agent.share * units as f64 - even).abs();
            far = shares.agents.values().map(off).fold(far, f64::max);
        }
    }
    (first, far)
}

#[test]
fn few_units_go_where_they_do_most_good_too() {
    for (units, agents, least) in [(4, 2, 2.7), (6, 2, 4.5), (8, 2, 6.0), (9, 3, 5.0), (20, 5, 8.0)]
    {
        for noise in [0.0, 0.05] {
            let (first, _) = divided(units, agents, 3.0, noise, 1);
            assert!(first >= least, "{first} of {units} among {agents}, noise {noise}");
            let (first, far) = divided(units, agents, 1.0, noise, 2);
            let even = units as f64 / agents as f64;
            assert!(far <= 1.0 && (first - even).abs() <= 0.5, "{first} and {far} of {units}");
        }
    }
}

#[test]
fn of_many_with_two_units_each_all_are_moved_within_their_bounds() {
    let mut shares = Shares::new(SharePolicy::default()).unwrap();
    (0..20).for_each(|i| shares.join(&format!("{i:02}"), 0.025, 0.1).unwrap());
    assert!(shares.quotas(40).values().all(|quota| *quota == 2), "nothing is proposed yet");
    let mut seen: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..200 {
        shares.propose();
        let quotas = shares.quotas(40);
        assert_eq!(quotas.values().sum::<u64>(), 40);
        for (name, quota) in &quotas {
            assert!((1..=4).contains(quota), "{name}: {quota}");
            let [more, less] = seen.entry(name.clone()).or_default();
            (*more, *less) = (*more || *quota > 2, *less || *quota < 2);
            // Back by as much.
            assert!(round % 2 == 0 || quota + last[name] == 4, "{name}: {quota}");
        }
        // A tenth of what all have moves, as of larger shares.
        assert_eq!(quotas.values().filter(|quota| **quota > 2).count(), 2);
        last = quotas;
    }
    assert!(seen.values().all(|[more, less]| *more && *less), "{seen:?}");
}

/// Tasks that come by Poisson's law, so seldom that most rounds have none.
#[test]
fn few_tasks_that_come_by_chance_move_no_share_far() {
    let tasks = |mean: f64, random: &mut Random| {
        let (mut left, mut count) = (random.unit(), 0.0);
        while left > (-mean).exp() {
            left *= random.unit();
            count += 1.0;
        }
        count
    };
    for (agents, mean, from) in [(20, 0.1, 20), (20, 0.2, 110), (8, 0.3, 210), (4, 0.1, 290)] {
        for seed in from..from + 30 {
            let mut random = Random::new(seed + 4_000);
            let mut shares = Shares::new(SharePolicy { seed, ..SharePolicy::default() }).unwrap();
            (0..agents).for_each(|i| shares.join(&format!("{i:02}"), 0.0, 1.0).unwrap());
            for round in 0..120 {
                let names = shares.propose().into_keys();
                let benefits = names.map(|name| (name, tasks(mean, &mut random))).collect();
                shares.report(&benefits);
                let most = shares.agents.values().map(|agent| agent.share).fold(0.0, f64::max);
                let most = most * f64::from(agents);
                assert!(most <= 1.5, "{agents} agents, {mean}, {seed}, {round}: {most} of even");
            }
        }
    }
}
