//! What a tuner waits for is told: which figures are missing, since when, and on the log once that has been long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sutazai_core::base::id::TimerId;
use sutazai_core::base::runtime::{BoxFuture, Job, Manual, Refused, Runtime};
use sutazai_core::base::time::{Moment, Timestamp};
use sutazai_core::kernel::{Kernel, Measure, TuneSpec, TunedKnob, TunerWait, WaitsFor};
use sutazai_core::monitor::series::Aggregate;
use sutazai_core::observe::LogQuery;
use sutazai_core::tune::{
    Autonomy, GuardRail, GuardSide, KnobKind, KnobScale, KnobValue, TrialVerdict, TunerPhase,
    TunerPolicy, TunerSample,
};

use super::world::{kernel, seconds};

fn spec() -> TuneSpec {
    let kind = KnobKind::Integer { low: 1, high: 64, scale: KnobScale::Log };
    let value = Some(KnobValue::Integer(8));
    let knob = TunedKnob { value, ..TunedKnob::new("batch").kind(kind) };
    let mut policy = TunerPolicy::default();
    policy.autonomy = Autonomy::Act;
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 5_000, 0);
    policy.guards =
        vec![GuardRail { metric: "lag".to_owned(), side: GuardSide::AtMost, bound: 100.0 }];
    TuneSpec::new(vec![knob], policy)
}

struct World {
    kernel: Kernel,
}

impl World {
    fn new(spec: TuneSpec) -> Self {
        let (kernel, _) = kernel(&Arc::new(Manual::new()));
        kernel.add_tuner("ingest", spec).unwrap();
        Self { kernel }
    }

    fn run(&self, for_seconds: u64, cost: Option<f64>, lag: Option<f64>) {
        for _ in 0..for_seconds {
            for (series, value) in [("cost", cost), ("lag_ms", lag)] {
                if let Some(value) = value {
                    self.kernel.measured(series, value, None).unwrap();
                }
            }
            self.kernel.advance(seconds(1)).unwrap();
        }
    }

    fn waits(&self) -> Vec<TunerWait> {
        self.kernel.tuner("ingest").unwrap().waits_for
    }

    fn logged(&self) -> usize {
        let logged = self.kernel.log().recent(&LogQuery::default());
        logged.iter().filter(|one| one.message.contains("a tuner tries nothing")).count()
    }

    fn trials(&self) -> u64 {
        self.kernel.tuner("ingest").unwrap().view.trials
    }
}

fn kinds(waits: &[TunerWait]) -> Vec<(WaitsFor, Option<&str>)> {
    waits.iter().map(|wait| (wait.what, wait.metric.as_deref())).collect()
}

#[test]
fn a_series_that_nobody_writes_is_named() {
    let spec = spec()
        .objective(Measure::of("cost", Aggregate::Mean))
        .measure("lag", Measure::of("lag_ms", Aggregate::Max));
    let world = World::new(spec);
    let began = world.kernel.runtime().timestamp();
    let waits = world.waits();
    assert_eq!(kinds(&waits), [(WaitsFor::Objective, None), (WaitsFor::Guard, Some("lag"))]);
    assert_eq!(
        (&waits[0].series[..], &waits[1].series[..]),
        (&["cost".to_owned()][..], &["lag_ms".to_owned()][..])
    );
    assert!(waits.iter().all(|wait| wait.since == began), "{waits:?}");

    world.run(60, Some(5.0), None);
    assert_eq!(kinds(&world.waits()), [(WaitsFor::Guard, Some("lag"))]);
    assert_eq!((world.trials(), world.logged()), (0, 0));
    // A minute and two windows, and then no more.
    world.run(200, Some(5.0), None);
    assert_eq!((world.trials(), world.logged()), (0, 1));
    let status = world.kernel.tuner("ingest").unwrap();
    assert_eq!((status.view.phase, status.waits_for[0].since), (TunerPhase::Learning, began));

    world.run(20, Some(5.0), Some(10.0));
    assert!(world.waits().is_empty() && world.trials() > 0);
}

#[test]
fn an_objective_that_stops_ends_the_trial_and_no_other_begins() {
    let spec = spec()
        .objective(Measure::of("cost", Aggregate::Mean))
        .measure("lag", Measure::of("lag_ms", Aggregate::Max));
    let world = World::new(spec);
    while world.kernel.tuner("ingest").unwrap().view.phase != TunerPhase::Trying {
        world.run(1, Some(5.0), Some(10.0));
    }
    world.run(3, Some(5.0), Some(10.0));
    let stopped = world.kernel.runtime().timestamp();
    world.run(30, None, Some(10.0));
    let status = world.kernel.tuner("ingest").unwrap();
    let last = status.view.history.last().unwrap();
    assert_eq!(last.verdict, TrialVerdict::Unmeasured);
    assert_eq!(last.missing, ["objective"]);
    assert!(last.began.unwrap() < last.ended.unwrap() && last.ended.unwrap() > stopped);
    assert_eq!(kinds(&status.waits_for), [(WaitsFor::Objective, None)]);
    let since = status.waits_for[0].since;
    assert!((since.as_nanos() - stopped.as_nanos()).abs() <= 1_000_000_000, "{since} {stopped}");
    let trials = world.trials();
    world.run(300, None, Some(10.0));
    assert_eq!((world.trials(), world.logged()), (trials, 1), "none could be judged");
    world.run(60, Some(5.0), Some(10.0));
    assert!(world.trials() > trials && world.waits().is_empty());
    // Once more, and told once more.
    world.run(300, None, Some(10.0));
    assert_eq!(world.logged(), 2);
}

#[test]
fn what_the_host_does_not_report_and_what_is_beyond_its_bound_is_named() {
    let world = World::new(spec());
    let report = |objective, lag| {
        report(&world, objective, lag);
    };
    report(Some(f64::NAN), Some(10.0));
    let waits = world.waits();
    assert_eq!(kinds(&waits), [(WaitsFor::Objective, None)], "not a number is none");
    assert!(waits[0].series.is_empty(), "the host is to report it");
    (0..120).for_each(|_| report(Some(5.0), Some(250.0)));
    let waits = world.waits();
    assert_eq!(kinds(&waits), [(WaitsFor::Bound, Some("lag"))]);
    let broken = waits[0].broken.as_ref().unwrap();
    assert_eq!((broken.value, broken.bound), (Some(250.0), 100.0));
    assert_eq!((world.trials(), world.logged()), (0, 1));
    let told = serde_json::to_value(world.kernel.tuner("ingest").unwrap()).unwrap();
    assert_eq!(told["waits_for"][0]["for"], "bound");
    assert!(told.get("policy").is_none() && told["spec"]["policy"]["window_ms"] == 5_000);
    (0..20).for_each(|_| report(Some(5.0), Some(10.0)));
    assert!(world.trials() > 0 && world.waits().is_empty());
}

fn report(world: &World, objective: Option<f64>, lag: Option<f64>) -> i64 {
    let mut sample = TunerSample { objective, ..TunerSample::default() };
    sample.guards.extend(lag.map(|lag| ("lag".to_owned(), lag)));
    let applied = world.kernel.report("ingest", &sample).unwrap().applied;
    world.kernel.advance(seconds(1)).unwrap();
    match applied["batch"] {
        KnobValue::Integer(batch) => batch,
        ref other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_guard_rail_that_is_broken_now_and_then_is_told_until_a_window_held() {
    let world = World::new(spec());
    let began = world.kernel.runtime().timestamp();
    for second in 0..120 {
        report(&world, Some(5.0), Some(if second % 4 == 0 { 250.0 } else { 10.0 }));
        let waits = world.waits();
        assert_eq!(kinds(&waits), [(WaitsFor::Bound, Some("lag"))]);
        assert_eq!(waits[0].since, began);
    }
    assert_eq!((world.trials(), world.logged()), (0, 1));
    for _ in 0..20 {
        report(&world, Some(5.0), Some(10.0));
    }
    assert!(world.trials() > 0 && world.waits().is_empty());
}

#[test]
fn figures_that_are_in_no_window_together_are_named() {
    let mut spec = spec();
    spec.policy.warm_up_ms = 5_000;
    let world = World::new(spec);
    for second in 0..180 {
        let at = |then: u64, value: f64| (second % 12 == then).then_some(value);
        report(&world, at(0, 5.0), at(6, 10.0));
    }
    let waits = world.waits();
    assert_eq!(kinds(&waits), [(WaitsFor::Objective, None), (WaitsFor::Guard, Some("lag"))]);
    assert_eq!((world.trials(), world.logged()), (0, 2));
    let logged = world.kernel.log().recent(&LogQuery::default());
    let because = logged.iter().filter(|one| format!("{one:?}").contains("make windows longer"));
    assert_eq!(because.count(), 2);
    for _ in 0..20 {
        report(&world, Some(5.0), Some(10.0));
    }
    assert!(world.trials() > 0 && world.waits().is_empty());
}

#[test]
fn what_a_trial_did_is_not_held_against_what_is_in_use() {
    let mut spec = spec();
    // However short its rests are usually.
    (spec.policy.warm_up_ms, spec.policy.cool_down_ms) = (5_000, 0);
    let world = World::new(spec);
    let mut lag = 10.0;
    for _ in 0..200 {
        lag = if report(&world, Some(5.0), Some(lag)) == 8 { 10.0 } else { 250.0 };
        let history = world.kernel.tuner("ingest").unwrap().view.history;
        if history.last().is_some_and(|trial| trial.verdict == TrialVerdict::GuardBroken) {
            break;
        }
    }
    // What it did goes on for as long as the warm-up.
    for second in 0..4 {
        assert_eq!(report(&world, Some(5.0), Some(250.0)), 8, "{second} s after it went back");
        let status = world.kernel.tuner("ingest").unwrap();
        assert_eq!((status.view.broken, status.view.trials), (1, 1), "{status:?}");
        assert!(status.waits_for.is_empty(), "{:?}", status.waits_for);
    }
    // A window of what is in use, and then it tries again; nothing was held against that.
    for _ in 0..30 {
        lag = if report(&world, Some(5.0), Some(lag)) == 8 { 10.0 } else { 20.0 };
    }
    let view = world.kernel.tuner("ingest").unwrap().view;
    assert!(view.trials > 1, "{view:?}");
    let blamed =
        |trial: &sutazai_core::tune::TrialRecord| trial.verdict == TrialVerdict::BaselineBroken;
    assert!(!view.history.iter().any(blamed), "{view:?}");
}

/// A runtime in virtual time whose wall clock may be set back.
#[derive(Default)]
struct SetBack {
    time: Manual,
    seconds: AtomicU64,
}

impl Runtime for SetBack {
    fn name(&self) -> &'static str {
        "set back"
    }
    fn now(&self) -> Moment {
        self.time.now()
    }
    fn timestamp(&self) -> Timestamp {
        let back = Duration::from_secs(self.seconds.load(Ordering::SeqCst)).as_nanos();
        Timestamp::from_nanos(self.time.timestamp().as_nanos() - i64::try_from(back).unwrap())
    }
    fn spawn(&self, future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        self.time.spawn(future)
    }
    fn spawn_blocking(&self, job: Job) -> Result<(), Refused<Job>> {
        self.time.spawn_blocking(job)
    }
    fn spawn_at(&self, at: Moment, job: Job) -> TimerId {
        self.time.spawn_at(at, job)
    }
    fn cancel(&self, timer: TimerId) -> bool {
        self.time.cancel(timer)
    }
    fn may_block(&self) -> bool {
        false
    }
    fn virtual_time(&self) -> Option<&Manual> {
        Some(&self.time)
    }
}

#[test]
fn a_clock_that_was_set_back_stops_no_tuner() {
    let runtime = Arc::new(SetBack::default());
    let shared: Arc<dyn Runtime> = Arc::clone(&runtime) as _;
    let kernel = Kernel::builder().runtime(shared).seed(1).build().unwrap();
    kernel.start().unwrap();
    let mut spec = spec();
    spec.policy.guards.clear();
    // Longer than a window, or what is in use would never be measured between suggestions.
    (spec.policy.autonomy, spec.policy.cool_down_ms) = (Autonomy::Suggest, 10_000);
    let rate = Measure::of("made_total", Aggregate::Rate);
    kernel.add_tuner("ingest", spec.objective(rate)).unwrap();
    let world = World { kernel };
    let mut made = 0.0;
    let mut run = |for_seconds: u64, per_s: f64| {
        for _ in 0..for_seconds {
            made += per_s;
            // Right after the clock was set back the series has later points, and refuses some.
            let _ = world.kernel.measured("made_total", made, None);
            world.kernel.advance(seconds(1)).unwrap();
        }
    };
    run(60, 5.0);
    let before = world.trials();
    assert!(before > 0 && world.waits().is_empty(), "{:?}", world.waits());
    let records = || world.kernel.tuner("ingest").unwrap().view.history;
    let first = records().remove(0);
    runtime.seconds.store(3_600, Ordering::SeqCst);
    world.kernel.advance(seconds(5)).unwrap();
    let again = records().into_iter().find(|one| one.id == first.id).unwrap();
    assert_eq!((again.began, again.ended), (first.began, first.ended), "it was when it was");
    // Until the series takes the clock's word for it.
    run(120, 6.0);
    let view = world.kernel.tuner("ingest").unwrap().view;
    assert!(world.waits().is_empty() && view.trials > before, "{:?}", world.waits());
    assert!((view.level.unwrap() - 6.0).abs() < 0.1, "{view:?}");
}
