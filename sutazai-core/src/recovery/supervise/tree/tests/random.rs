//! Random trees and schedules: whatever happens in whatever order, what the tree says makes sense
//! (`World` looks at every action), and everything comes to an end.

use std::time::Duration;

use proptest::prelude::*;

use super::super::super::{
    AutoShutdown, Backoff, ChildSpec, Restart, Shutdown, State, Strategy as Whom, SupervisorSpec,
    SupervisorStatus,
};
use super::super::{KILL_WITHIN, Request};
use super::world::{World, error, failure};
use crate::base::time::Moment;
use crate::port::{ChildExit, ChildStart, Generation};

fn strategy() -> impl Strategy<Value = Whom> {
    prop_oneof![Just(Whom::OneForOne), Just(Whom::OneForAll), Just(Whom::RestForOne)]
}

fn shutdown() -> impl Strategy<Value = Option<Shutdown>> {
    prop_oneof![
        Just(None),
        Just(Some(Shutdown::BrutalKill)),
        Just(Some(Shutdown::Infinity)),
        (0_u64..3_000).prop_map(|ms| Some(Shutdown::TimeoutMs(ms))),
    ]
}

type Shape = (u8, bool, Option<Shutdown>);

fn child(kind: &Kind, shape: &Shape, id: usize, auto: AutoShutdown) -> ChildSpec {
    let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let mut spec = match kind {
        Kind::Worker => ChildSpec::worker(id.to_string()),
        Kind::Supervisor(below) => ChildSpec::supervisor(id.to_string(), below.clone()),
    };
    spec.restart = restart[usize::from(shape.0) % 3];
    spec.significant = shape.1 && spec.restart != Restart::Permanent && auto != AutoShutdown::Never;
    spec.shutdown = shape.2;
    spec.start_timeout_ms = 2_000;
    spec
}

#[derive(Clone, Debug)]
enum Kind {
    Worker,
    Supervisor(SupervisorSpec),
}

fn flags() -> impl Strategy<Value = SupervisorSpec> {
    let auto = prop_oneof![
        3 => Just(AutoShutdown::Never),
        1 => Just(AutoShutdown::AnySignificant),
        1 => Just(AutoShutdown::AllSignificant)
    ];
    let backoff = prop::option::weighted(
        0.3,
        (0_u64..500, 0.0..=1.0).prop_map(|(first_ms, jitter)| Backoff {
            first_ms,
            longest_ms: 4 * first_ms,
            jitter,
            calm_ms: 1_000,
        }),
    );
    (strategy(), auto, 0_u32..5, 1_u64..4_000, backoff).prop_map(
        |(strategy, auto_shutdown, intensity, period_ms, backoff)| SupervisorSpec {
            strategy,
            intensity,
            period_ms,
            auto_shutdown,
            backoff,
            children: Vec::new(),
        },
    )
}

fn tree() -> impl Strategy<Value = SupervisorSpec> {
    let shape = || (any::<u8>(), any::<bool>(), shutdown());
    let leaf = (flags(), prop::collection::vec(shape(), 0..4)).prop_map(|(mut spec, shapes)| {
        let auto = spec.auto_shutdown;
        let of = |(id, shape): (usize, &Shape)| child(&Kind::Worker, shape, id, auto);
        spec.children = shapes.iter().enumerate().map(of).collect();
        spec
    });
    leaf.prop_recursive(3, 12, 3, move |below| {
        let kind = prop_oneof![
            2 => Just(Kind::Worker),
            1 => below.prop_map(Kind::Supervisor)
        ];
        (flags(), prop::collection::vec((kind, shape()), 1..4)).prop_map(|(mut spec, parts)| {
            let auto = spec.auto_shutdown;
            spec.children = parts
                .iter()
                .enumerate()
                .map(|(id, (kind, shape))| child(kind, shape, id, auto))
                .collect();
            spec
        })
    })
}

/// What happens next; the number says to whom, of those to whom it can.
#[derive(Clone, Debug)]
enum Step {
    StartEnds(usize, u8),
    StopEnds(usize, bool),
    KillEnds(usize),
    Exits(usize, u8),
    Late(usize, u8),
    Passes(u64),
    Ask(usize, u8),
    Stop(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || any::<prop::sample::Index>().prop_map(|i| i.index(1 << 20));
    prop_oneof![
        12 => (n(), any::<u8>()).prop_map(|(n, how)| Step::StartEnds(n, how)),
        6 => (n(), any::<bool>()).prop_map(|(n, fails)| Step::StopEnds(n, fails)),
        4 => n().prop_map(Step::KillEnds),
        8 => (n(), any::<u8>()).prop_map(|(n, how)| Step::Exits(n, how)),
        2 => (n(), any::<u8>()).prop_map(|(n, how)| Step::Late(n, how)),
        4 => (0_u64..1_500).prop_map(Step::Passes),
        3 => (n(), any::<u8>()).prop_map(|(n, what)| Step::Ask(n, what)),
        1 => (0_u64..20_000).prop_map(Step::Stop),
    ]
}

fn pick<T: Copy>(from: impl IntoIterator<Item = T>, n: usize) -> Option<T> {
    let all: Vec<T> = from.into_iter().collect();
    all.get(n.checked_rem(all.len())?).copied()
}

fn exit(how: u8) -> ChildExit {
    match how % 4 {
        0 => ChildExit::Normal,
        1 => ChildExit::Shutdown,
        _ => failure(),
    }
}

fn take(world: &mut World, step: &Step, requests: bool) {
    match *step {
        Step::StartEnds(n, how) => {
            let fine = world.starting.keys().copied().filter(|g| !world.killing.contains(g));
            if let Some(generation) = pick(fine, n) {
                let result = match how % 8 {
                    0 | 1 => Err(error()),
                    2 if requests => Ok(ChildStart::Ignored),
                    _ => Ok(ChildStart::Running),
                };
                assert!(world.start_ends(generation, result));
            }
        }
        Step::StopEnds(n, fails) => {
            if let Some(generation) = pick(world.stopping.iter().copied(), n) {
                let exit = if fails { failure() } else { ChildExit::Shutdown };
                world.exits(generation, exit);
            }
        }
        Step::KillEnds(n) => {
            if let Some(generation) = pick(world.killing.iter().copied(), n) {
                world.kill_ends(generation);
            }
        }
        Step::Exits(n, how) => {
            if let Some(generation) = pick(world.alive.keys().copied(), n) {
                world.exits(generation, exit(how));
            }
        }
        Step::Late(n, how) => late(world, n, how),
        Step::Passes(ms) => world.advance(Duration::from_millis(ms)),
        Step::Ask(n, what) if requests => ask(world, n, what),
        Step::Stop(ms) if requests => world.stop(world.now + Duration::from_millis(ms)),
        Step::Ask(..) | Step::Stop(_) => {}
    }
}

/// What is said of a life that is over changes nothing.
fn late(world: &mut World, n: usize, how: u8) {
    let before = (world.changes.len(), world.tree.beings.len());
    let generation = pick(world.dead.iter().copied(), n).unwrap_or(Generation(u64::MAX));
    match how % 3 {
        0 => assert!(!world.tree.started(generation, Ok(ChildStart::Running), world.now)),
        1 => world.tree.exited(generation, exit(how / 3), world.now),
        _ => world.tree.killed(generation, world.now),
    }
    world.hear();
    assert_eq!((world.changes.len(), world.tree.beings.len()), before);
}

fn ask(world: &mut World, n: usize, what: u8) {
    let paths = world.states.keys().map(|path| path.to_string()).filter(|path| path != "main");
    let mut paths: Vec<String> = paths.collect();
    paths.sort();
    let Some(path) = paths.get(n.checked_rem(paths.len()).unwrap_or(0)).cloned() else { return };
    let request = match what % 5 {
        4 => {
            let supervisor = path.rsplit_once('>').unwrap().0.to_owned();
            let all = [Whom::OneForOne, Whom::OneForAll, Whom::RestForOne];
            let spec = SupervisorSpec::new(all[usize::from(what) / 5 % 3]);
            Request::Change { supervisor, spec: Box::new(spec.intensity(3, KILL_WITHIN)) }
        }
        0 => Request::TerminateChild { path },
        1 => Request::RestartChild { path },
        2 => Request::DeleteChild { path },
        _ => {
            let id = format!("new{}", what / 5 % 3);
            let supervisor = path.rsplit_once('>').unwrap().0.to_owned();
            Request::StartChild { supervisor, spec: Box::new(ChildSpec::worker(id)) }
        }
    };
    world.ask(request);
}

/// Whatever is permanent lives, and what it supervises.
fn permanent_children_live(status: &SupervisorStatus) {
    for child in &status.children {
        if child.restart == Restart::Permanent {
            assert_eq!(child.state, State::Running, "{}", child.path);
        }
        assert_ne!(child.state, State::Waiting, "{}", child.path);
        if let Some(below) = &child.supervisor {
            permanent_children_live(below);
        }
    }
}

/// Thousands with each run; more of them when there is time.
fn cases() -> u32 {
    if std::env::var_os("SUTAZAI_LONG").is_some() { 20_000 } else { 1_000 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Whatever happens, everything ends when it is asked to, every request is answered, and nothing is
    /// remembered.
    #[test]
    fn everything_comes_to_an_end(spec in tree(), steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new(spec);
        world.tree.start(world.now).unwrap();
        world.hear();
        for step in &steps {
            take(&mut world, step, true);
        }
        if world.tree.root.generation.is_some() {
            world.stop(Moment::FAR);
        }
        world.settle();
        prop_assert!(world.up.is_some());
        if matches!(world.up, Some(Ok(()))) {
            prop_assert!(world.down.is_some());
        }
        let asked = world.answers.len();
        prop_assert!(world.answers.keys().copied().eq(1..=asked as u64));
        prop_assert!(world.alive.is_empty() && world.killing.is_empty());
        world.assert_empty();
    }

    /// When things go well again, what is permanent lives again, unless it was given up as a whole.
    #[test]
    fn the_tree_heals(spec in tree(), steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new(spec);
        world.tree.start(world.now).unwrap();
        world.hear();
        for step in &steps {
            take(&mut world, step, false);
        }
        world.settle();
        match world.tree.status(world.now) {
            Some(status) => {
                prop_assert_eq!(world.tree.state(), State::Running);
                permanent_children_live(&status);
            }
            None => world.assert_empty(),
        }
    }

    /// With a deadline the end comes by it and a second, whether or not anything obeys.
    #[test]
    fn a_deadline_is_kept(
        spec in tree(),
        steps in prop::collection::vec(step(), 0..60),
        within in 0_u64..5_000,
    ) {
        let mut world = World::new(spec);
        world.tree.start(world.now).unwrap();
        world.hear();
        for step in &steps {
            take(&mut world, step, false);
        }
        if world.tree.root.generation.is_none() {
            return Ok(());
        }
        let deadline = world.now + Duration::from_millis(within);
        world.stop(deadline);
        while let Some(next) = world.tree.next_tick() {
            prop_assert!(next <= deadline + KILL_WITHIN);
            world.advance(next.since(world.now));
        }
        prop_assert!(world.down.is_some());
        world.assert_empty();
    }
}
