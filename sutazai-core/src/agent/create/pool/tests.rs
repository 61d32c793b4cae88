use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

fn load(ready: u32, in_flight: u32, waiting: u32) -> PoolLoad {
    PoolLoad { ready, starting: 0, in_flight, waiting }
}

fn targets(pool: &mut Pool, looks: &[(u64, PoolLoad)]) -> Vec<Option<u32>> {
    looks.iter().map(|(ms, load)| pool.look(at(*ms), *load).map(|change| change.to)).collect()
}

#[test]
fn it_begins_with_the_least() {
    let mut pool = Pool::new(PoolPolicy::between(2, 5), None);
    let change = pool.look(at(0), PoolLoad::default()).unwrap();
    assert_eq!((change.from, change.to, change.why.as_str()), (0, 2, "it has 2 at least"));
    let starting = PoolLoad { starting: 2, ..PoolLoad::default() };
    assert_eq!(pool.look(at(0), starting), None, "they are on their way");
    assert_eq!(pool.look(at(100), load(2, 0, 0)), None);
}

#[test]
fn it_grows_when_calls_wait_for_a_while_and_by_what_they_need() {
    let mut pool = Pool::new(PoolPolicy::between(1, 8), Some(1));
    // One look with a call that waits is a blink; 200 ms of it are not.
    let seen = targets(
        &mut pool,
        &[
            (0, load(1, 1, 1)),
            (100, load(1, 0, 0)),
            (200, load(1, 1, 1)),
            (300, load(1, 1, 1)),
            (400, load(1, 1, 1)),
        ],
    );
    assert_eq!(seen, [None, None, None, None, Some(2)], "(1 + 1) / 0.8 are 3, and twice 1 is 2");
    // Until the second is there nothing more is asked for, and then not before the cool-down.
    let coming = PoolLoad { ready: 1, starting: 1, in_flight: 1, waiting: 20 };
    assert_eq!(targets(&mut pool, &[(500, coming), (1_000, coming)]), [None, None]);
    let seen = targets(
        &mut pool,
        &[(1_100, load(2, 2, 20)), (1_300, load(2, 2, 20)), (1_400, load(2, 2, 20))],
    );
    assert_eq!(seen, [None, None, Some(4)], "1,000 ms after it grew");
    let why = pool.look(at(1_400), load(2, 2, 20)).unwrap().why;
    assert_eq!(why, "20 calls wait and 2 of 2 places are taken");
}

#[test]
fn it_shrinks_one_by_one_when_fewer_were_enough_for_long() {
    let policy = PoolPolicy { idle_ms: 1_000, ..PoolPolicy::between(1, 4).places(4) };
    let mut pool = Pool::new(policy, None);
    pool.target = 3;
    let looks: Vec<_> = (0..=30).map(|n| (n * 100, load(3, 3, 0))).collect();
    let mut ready = 3;
    let mut when = Vec::new();
    for (ms, mut load) in looks {
        load.ready = ready;
        if let Some(change) = pool.look(at(ms), load) {
            when.push((ms, change.to));
            ready = change.to;
        }
    }
    // 3 tasks are at most half of 2 × 4 places, but more than half of 1 × 4.
    assert_eq!(when, [(1_000, 2)]);
    // A busy moment begins the wait anew.
    pool.target = 2;
    let idle = load(2, 0, 0);
    let seen = targets(
        &mut pool,
        &[(4_000, idle), (4_900, load(2, 5, 0)), (5_000, idle), (5_900, idle), (6_000, idle)],
    );
    assert_eq!(seen, [None, None, None, None, Some(1)]);
    assert_eq!(targets(&mut pool, &[(90_000, load(1, 0, 0))]), [None], "not below the least");
}

#[test]
fn to_none_it_shrinks_only_when_nothing_goes_on() {
    let policy = PoolPolicy { idle_ms: 100, ..PoolPolicy::between(0, 4).places(100) };
    let mut pool = Pool::new(policy, None);
    assert_eq!(targets(&mut pool, &[(0, load(0, 0, 0))]), [None]);
    let seen = targets(&mut pool, &[(0, load(0, 0, 1)), (200, load(0, 0, 1))]);
    assert_eq!(seen, [None, Some(1)]);
    assert_eq!(targets(&mut pool, &[(300, load(1, 1, 0)), (900, load(1, 1, 0))]), [None, None]);
    assert_eq!(
        targets(&mut pool, &[(1_000, load(1, 0, 0)), (1_100, load(1, 0, 0))]),
        [None, Some(0)]
    );
}

#[test]
fn what_dies_is_replaced_after_a_pause_that_doubles() {
    let mut pool = Pool::new(PoolPolicy::between(1, 1), None);
    assert!(pool.look(at(0), load(0, 0, 0)).is_some());
    let mut when = Vec::new();
    let mut now = 0;
    for _ in 0..5 {
        let died = now;
        pool.failed(at(now));
        while pool.look(at(now), load(0, 0, 0)).is_none() {
            now += 50;
        }
        when.push(now - died);
    }
    assert_eq!(when, [500, 1_000, 2_000, 4_000, 8_000]);
    for _ in 0..100 {
        pool.failed(at(now));
    }
    assert!(pool.look(at(now + 59_999), load(0, 0, 0)).is_none());
    assert!(pool.look(at(now + 60_000), load(0, 0, 0)).is_some(), "and at most a minute");
    // Well for a minute, it is forgiven.
    assert!(pool.look(at(now + 70_000), load(1, 0, 0)).is_none());
    pool.failed(at(now + 80_000));
    assert!(pool.look(at(now + 80_500), load(0, 0, 0)).is_some());
}

#[test]
fn another_policy_holds_at_once() {
    let mut pool = Pool::new(PoolPolicy::between(3, 6), None);
    pool.set_policy(PoolPolicy::between(1, 2), None);
    let change = pool.look(at(0), load(3, 3, 9)).unwrap();
    assert_eq!((change.to, change.why.as_str()), (2, "it has 2 at most"));
    pool.set_policy(PoolPolicy::between(4, 6), None);
    assert_eq!(pool.look(at(0), load(2, 0, 0)).unwrap().to, 4);
}

#[test]
fn a_policy_that_cannot_be_is_refused() {
    let field = |policy: PoolPolicy| {
        let error = policy.check().unwrap_err();
        error.context().next().unwrap().1.to_owned()
    };
    let policy = PoolPolicy::default();
    assert!(policy.check().is_ok());
    assert_eq!(field(PoolPolicy { max: 0, min: 0, ..policy }), "max");
    assert_eq!(field(PoolPolicy::between(5, 4)), "min");
    assert_eq!(field(PoolPolicy { shrink_at: 0.8, ..policy }), "shrink_at");
    assert_eq!(field(PoolPolicy { grow_at: f64::NAN, ..policy }), "grow_at");
    assert_eq!(field(policy.places(0)), "places");
    assert_eq!(field(PoolPolicy { backoff_ms: 70_000, ..policy }), "backoff_ms");
}

/// A pool's agents in virtual time: starts take a while, work comes and goes, some die.
struct World {
    pool: Pool,
    now: u64,
    ready: u32,
    /// When those that are being made are ready.
    starting: Vec<u64>,
    changes: Vec<(u64, u32, u32)>,
}

impl World {
    fn new(policy: PoolPolicy) -> Self {
        let pool = Pool::new(policy, Some(1));
        Self { pool, now: 0, ready: 0, starting: Vec::new(), changes: Vec::new() }
    }

    /// Lets 100 ms pass with so many tasks to do.
    fn pass(&mut self, tasks: u32, start_takes: u64, dies: bool) {
        self.now += 100;
        let now = self.now;
        let before = self.starting.len();
        self.starting.retain(|ready| *ready > now);
        self.ready += (before - self.starting.len()) as u32;
        if dies && self.ready > 0 {
            self.ready -= 1;
            self.pool.failed(at(now));
        }
        let in_flight = tasks.min(self.ready);
        let starting = self.starting.len() as u32;
        let load = PoolLoad { ready: self.ready, starting, in_flight, waiting: tasks - in_flight };
        if let Some(change) = self.pool.look(at(now), load) {
            let counted = if change.to > change.from { self.ready + starting } else { self.ready };
            assert_eq!(change.from, counted);
            assert!(!change.why.is_empty());
            if change.to > change.from {
                let more = (change.from..change.to).map(|_| now + start_takes);
                self.starting.extend(more);
            } else {
                self.ready -= (change.from - change.to).min(self.ready);
            }
            self.changes.push((now, change.from, change.to));
        }
    }
}

proptest! {
    #[test]
    fn a_steady_load_settles_it(
        tasks in 0_u32..12, min in 0_u32..3, more in 1_u32..10, start_takes in 0_u64..1_500,
        before in proptest::collection::vec(0_u32..20, 0..60),
    ) {
        let policy = PoolPolicy { idle_ms: 2_000, ..PoolPolicy::between(min, min + more) };
        let mut world = World::new(policy);
        for tasks in before {
            world.pass(tasks, start_takes, false);
        }
        for _ in 0..600 {
            world.pass(tasks, start_takes, false);
        }
        let settled = world.changes.len();
        for _ in 0..600 {
            world.pass(tasks, start_takes, false);
        }
        prop_assert_eq!(world.changes.len(), settled, "{:?}", world.changes);
        // With what it settled at nobody waits, unless it may not have more.
        prop_assert!(world.ready >= tasks.min(policy.max));
        prop_assert!(world.ready >= policy.min && world.ready <= policy.max);
    }

    #[test]
    fn it_keeps_within_its_bounds_and_does_not_flap(
        steps in proptest::collection::vec((0_u32..30, 0_u64..800, proptest::bool::weighted(0.05)), 1..400),
    ) {
        let policy = PoolPolicy { idle_ms: 1_000, ..PoolPolicy::between(1, 6) };
        let mut world = World::new(policy);
        for (tasks, start_takes, dies) in steps {
            world.pass(tasks, start_takes, dies);
            prop_assert!(world.ready + world.starting.len() as u32 <= policy.max);
        }
        let resized: Vec<_> = world.changes.iter().filter(|(_, from, to)| from != to).collect();
        for pair in resized.windows(2) {
            let [(first, a, b), (second, c, d)] = pair else { unreachable!() };
            // From growth to shrinking it takes the whole of the idle time, whatever happens.
            if b > a && d < c {
                prop_assert!(second - first >= policy.idle_ms, "{:?}", pair);
            }
        }
    }
}
