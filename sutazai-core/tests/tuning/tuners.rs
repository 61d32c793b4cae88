//! Tuners of a host's knob: each level of autonomy, and what goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use sutazai_core::base::runtime::Manual;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::{Kernel, Measure, TuneSpec, TunedKnob};
use sutazai_core::monitor::series::Aggregate;
use sutazai_core::tune::{
    Adjust, Autonomy, GuardRail, GuardSide, KnobKind, KnobScale, KnobValue, TrialVerdict,
    TunerPhase, TunerPolicy,
};
use sutazai_core::{Code, Error, Result};

use super::world::{kernel, seconds, told};

/// Costs `100/batch + batch`: the least is 20, at a batch of 10.
#[derive(Default)]
struct Batch {
    value: AtomicI64,
    stuck: AtomicBool,
}

impl Adjust for Batch {
    fn name(&self) -> &str {
        "ingest/batch"
    }
    fn kind(&self) -> KnobKind {
        KnobKind::Integer { low: 1, high: 1_024, scale: KnobScale::Log }
    }
    fn value(&self) -> Result<KnobValue> {
        Ok(KnobValue::Integer(self.now()))
    }
    fn set(&self, value: &KnobValue) -> Result<()> {
        if self.stuck.load(Ordering::SeqCst) {
            return Err(Error::new(Code::IO, "the valve is stuck"));
        }
        let KnobValue::Integer(value) = value else {
            return Err(Error::new(Code::INVALID, "a batch is a whole number"));
        };
        self.value.store(*value, Ordering::SeqCst);
        Ok(())
    }
}

impl Batch {
    fn now(&self) -> i64 {
        self.value.load(Ordering::SeqCst)
    }
}

struct World {
    kernel: Kernel,
    events: Subscription,
    batch: Arc<Batch>,
}

impl World {
    /// Acts, and may try 1 to 64.
    fn narrow() -> Self {
        let kind = KnobKind::Integer { low: 1, high: 64, scale: KnobScale::Log };
        Self::of(Autonomy::Act, Vec::new(), kind)
    }

    fn new(autonomy: Autonomy, guards: Vec<GuardRail>) -> Self {
        Self::of(autonomy, guards, Batch::default().kind())
    }

    fn of(autonomy: Autonomy, guards: Vec<GuardRail>, kind: KnobKind) -> Self {
        let (kernel, events) = kernel(&Arc::new(Manual::new()));
        let batch = Arc::new(Batch { value: AtomicI64::new(2), ..Batch::default() });
        kernel.add_knob(batch.clone()).unwrap();
        let mut policy = TunerPolicy::default();
        (policy.autonomy, policy.guards) = (autonomy, guards);
        (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 5_000, 0);
        policy.approval_ms = 60_000;
        let mut knob = TunedKnob::new("ingest/batch").kind(kind);
        knob.max_step = 0.3;
        let mut spec =
            TuneSpec::new(vec![knob], policy).objective(Measure::of("cost", Aggregate::Mean));
        if !spec.policy.guards.is_empty() {
            spec = spec.measure("lag", Measure::of("lag_ms", Aggregate::Max));
        }
        kernel.add_tuner("ingest", spec).unwrap();
        Self { kernel, events, batch }
    }

    /// Time goes on; what the batch costs is measured each second, and how late it makes things.
    fn run(&mut self, for_seconds: u64) -> Vec<i64> {
        (0..for_seconds)
            .map(|_| {
                let batch = self.batch.now();
                let cost = 100.0 / batch as f64 + batch as f64;
                self.kernel.measured("cost", cost, None).unwrap();
                self.kernel.measured("lag_ms", 10.0 * batch as f64, None).unwrap();
                self.kernel.advance(seconds(1)).unwrap();
                batch
            })
            .collect()
    }

    fn verdicts(&self) -> Vec<TrialVerdict> {
        let status = self.kernel.tuner("ingest").unwrap();
        status.view.history.iter().map(|trial| trial.verdict).collect()
    }

    fn subjects(&mut self) -> Vec<String> {
        told(&mut self.events).into_iter().map(|(subject, _)| subject).collect()
    }
}

#[test]
fn who_observes_changes_nothing_and_says_nothing() {
    let mut world = World::new(Autonomy::Observe, Vec::new());
    assert!(world.run(600).iter().all(|batch| *batch == 2));
    let verdicts = world.verdicts();
    assert!(verdicts.len() > 3, "{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| *verdict == TrialVerdict::NotTried));
    assert!(world.subjects().iter().all(|subject| subject == "tune.trial"));
}

#[test]
fn who_suggests_changes_nothing_and_says_what_it_would_try() {
    let mut world = World::new(Autonomy::Suggest, Vec::new());
    assert!(world.run(600).iter().all(|batch| *batch == 2));
    let events = told(&mut world.events);
    let suggested: Vec<_> =
        events.iter().filter(|(subject, _)| subject == "tune.suggest").collect();
    assert!(suggested.len() > 3, "{events:?}");
    assert!(suggested.iter().all(|(_, event)| event["setting"]["ingest/batch"].is_i64()));
    assert!(events.iter().all(|(subject, _)| subject != "tune.apply"));
}

#[test]
fn who_asks_tries_what_is_approved_and_nothing_else() {
    let mut world = World::new(Autonomy::Approve, Vec::new());
    let ask = |world: &mut World| loop {
        assert!(world.run(1).iter().all(|batch| *batch == world.batch.now()));
        if let Some(waiting) = world.kernel.tuner("ingest").unwrap().waiting {
            return waiting;
        }
    };
    let first = ask(&mut world);
    assert!(world.subjects().contains(&"tune.ask".to_owned()));
    world.run(10);
    assert_eq!(world.batch.now(), 2, "nobody has approved it");
    world.kernel.answer_tuner("ingest", first.trial, false, "ann").unwrap();
    assert_eq!(world.verdicts(), [TrialVerdict::Denied]);
    let error = world.kernel.answer_tuner("ingest", first.trial, true, "ann").unwrap_err();
    assert_eq!(error.code(), Code::INVALID, "{error}");

    let second = ask(&mut world);
    world.run(70);
    assert_eq!(world.verdicts(), [TrialVerdict::Denied, TrialVerdict::TimedOut]);
    assert!(world.kernel.answer_tuner("ingest", second.trial, true, "ann").is_err(), "too late");
    assert_eq!(world.batch.now(), 2);

    let third = ask(&mut world);
    world.kernel.answer_tuner("ingest", third.trial, true, "ann").unwrap();
    let KnobValue::Integer(wanted) = third.setting["ingest/batch"] else { panic!("{third:?}") };
    let seen = world.run(300);
    assert!(seen.contains(&wanted), "{wanted} was tried: {seen:?}");
    let verdict = world.verdicts()[2];
    assert!(matches!(verdict, TrialVerdict::Adopted | TrialVerdict::NoGain), "{verdict:?}");
    assert!(world.subjects().contains(&"tune.apply".to_owned()));
}

#[test]
fn who_acts_finds_what_is_best() {
    let mut world = World::new(Autonomy::Act, Vec::new());
    world.run(1_800);
    let status = world.kernel.tuner("ingest").unwrap();
    let KnobValue::Integer(batch) = status.view.incumbent["ingest/batch"] else { panic!() };
    assert!((7..=14).contains(&batch), "{batch}");
    assert!(status.view.adopted >= 1);
    let knob = world.kernel.knobs().into_iter().find(|knob| knob.name == "ingest/batch").unwrap();
    assert_eq!(knob.tuner.as_deref(), Some("ingest"));
    // What changed, and why, was told, and each end of a trial.
    let events = told(&mut world.events);
    let adopted = |event: &serde_json::Value| event["verdict"] == "adopted";
    let trials: Vec<_> = events.iter().filter(|(subject, _)| subject == "tune.trial").collect();
    assert!(trials.iter().any(|(_, event)| adopted(event)), "{trials:?}");
    // It stays where it is when nobody tunes it any more.
    world.kernel.remove_tuner("ingest").unwrap();
    assert_eq!(world.batch.now(), batch);
    assert!(world.run(60).iter().all(|it| *it == batch));
}

#[test]
fn a_guard_rail_is_kept() {
    // A batch of 8 is as late as may be.
    let rail = GuardRail { metric: "lag".to_owned(), side: GuardSide::AtMost, bound: 85.0 };
    let mut world = World::new(Autonomy::Act, vec![rail]);
    let seen = world.run(1_800);
    let beyond = seen.iter().filter(|batch| **batch > 8).count();
    let status = world.kernel.tuner("ingest").unwrap();
    assert!(
        status.view.broken * 10 <= status.view.trials,
        "{} of {}",
        status.view.broken,
        status.view.trials
    );
    // What breaks it is rolled back at the next look.
    assert!(
        beyond as u64 <= 2 * status.view.broken,
        "{beyond} seconds, {} broken",
        status.view.broken
    );
    let KnobValue::Integer(batch) = status.view.incumbent["ingest/batch"] else { panic!() };
    assert!((4..=8).contains(&batch), "{batch}");
}

#[test]
fn what_somebody_else_sets_is_what_is_in_use() {
    let mut world = World::new(Autonomy::Act, Vec::new());
    world.run(120);
    world.kernel.set_knob("ingest/batch", &KnobValue::Integer(100)).unwrap();
    world.run(1);
    let view = world.kernel.tuner("ingest").unwrap().view;
    assert_eq!(view.original["ingest/batch"], KnobValue::Integer(100));
    assert_eq!((view.phase, world.batch.now()), (TunerPhase::Learning, 100));
    let error = world.kernel.set_knob("ingest/batch", &KnobValue::Integer(0)).unwrap_err();
    assert_eq!(error.code(), Code::INVALID, "{error}");
    let error = world.kernel.set_knob("ingest/none", &KnobValue::Integer(1)).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND, "{error}");
}

#[test]
fn a_value_that_may_not_be_tried_stays_and_the_tuner_rests() {
    let mut world = World::narrow();
    world.run(120);
    world.kernel.set_knob("ingest/batch", &KnobValue::Integer(900)).unwrap();
    assert!(world.run(300)[1..].iter().all(|batch| *batch == 900), "nothing is set over it");
    let status = world.kernel.tuner("ingest").unwrap();
    let trouble = status.trouble.unwrap().to_string();
    assert!(trouble.contains("ingest/batch"), "{trouble}");
    // Once it may be tried, it is what is in use.
    world.kernel.set_knob("ingest/batch", &KnobValue::Integer(30)).unwrap();
    world.run(1);
    let status = world.kernel.tuner("ingest").unwrap();
    assert_eq!(status.view.original["ingest/batch"], KnobValue::Integer(30));
    assert!(status.trouble.is_none());
    world.run(900);
    assert!(world.batch.now() < 30, "{}", world.batch.now());
}

#[test]
fn what_is_measured_late_counts_all_the_same() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let mut policy = TunerPolicy::default();
    (policy.autonomy, policy.window_ms, policy.warm_up_ms) = (Autonomy::Act, 5_000, 0);
    policy.guards =
        vec![GuardRail { metric: "lag".to_owned(), side: GuardSide::AtMost, bound: 1.0 }];
    let batch = Arc::new(Batch { value: AtomicI64::new(2), ..Batch::default() });
    kernel.add_knob(batch).unwrap();
    let spec = TuneSpec::new(vec![TunedKnob::new("ingest/batch")], policy)
        .objective(Measure::of("cost", Aggregate::Mean))
        .measure("lag", Measure::of("lag_ms", Aggregate::Max));
    kernel.add_tuner("ingest", spec).unwrap();
    for _ in 0..60 {
        // It has the time of two looks ago.
        let at = kernel.runtime().timestamp();
        kernel.advance(seconds(2)).unwrap();
        kernel.measured("cost", 5.0, Some(at)).unwrap();
        kernel.measured("lag_ms", 0.5, Some(at)).unwrap();
    }
    let view = kernel.tuner("ingest").unwrap().view;
    assert_eq!(view.level, Some(5.0), "{view:?}");
    let mut odd = sutazai_core::tune::TunerSample::default();
    odd.guards.insert("lagg".to_owned(), 1.0);
    assert_eq!(kernel.report("ingest", &odd).unwrap_err().code(), Code::INVALID);
}

#[test]
fn a_knob_that_cannot_be_set_ends_the_trial_and_is_tried_again() {
    let mut world = World::new(Autonomy::Act, Vec::new());
    world.run(20);
    world.batch.stuck.store(true, Ordering::SeqCst);
    let before = world.batch.now();
    world.run(120);
    assert_eq!(world.batch.now(), before);
    assert!(world.verdicts().contains(&TrialVerdict::NotApplied), "{:?}", world.verdicts());
    let trouble = world.kernel.tuner("ingest").unwrap().trouble.unwrap();
    assert!(trouble.to_string().contains("the valve is stuck"), "{trouble}");
    world.batch.stuck.store(false, Ordering::SeqCst);
    world.run(1_800);
    assert!(world.kernel.tuner("ingest").unwrap().trouble.is_none());
    let KnobValue::Integer(batch) =
        world.kernel.tuner("ingest").unwrap().view.incumbent["ingest/batch"]
    else {
        panic!()
    };
    assert!((7..=14).contains(&batch), "{batch}");
}

#[test]
fn who_is_removed_or_may_not_any_more_rolls_back() {
    for how in ["remove", "autonomy", "stop"] {
        let mut world = World::new(Autonomy::Act, Vec::new());
        // In the middle of a trial.
        let tried = (0..600).any(|_| {
            world.run(1);
            let view = world.kernel.tuner("ingest").unwrap().view;
            view.applied != view.incumbent
        });
        assert!(tried);
        let incumbent = world.kernel.tuner("ingest").unwrap().view.incumbent;
        match how {
            "remove" => world.kernel.remove_tuner("ingest").unwrap(),
            "autonomy" => world.kernel.set_autonomy("ingest", Autonomy::Observe, "ann").unwrap(),
            _ => world.kernel.stop(seconds(1)).unwrap(),
        }
        assert_eq!(KnobValue::Integer(world.batch.now()), incumbent["ingest/batch"], "{how}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new(Autonomy::Observe, Vec::new());
    let refused = |name: &str, spec: TuneSpec, code: Code| {
        let error = world.kernel.add_tuner(name, spec).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };
    let spec = |knob| TuneSpec::new(vec![knob], TunerPolicy::default());
    let integer = |low, high| KnobKind::Integer { low, high, scale: KnobScale::Linear };
    refused("a", spec(TunedKnob::new("ingest/none")), Code::NOT_FOUND);
    refused("a", spec(TunedKnob::new("ingest/batch")), Code::ALREADY_EXISTS);
    refused("a", spec(TunedKnob::new("ingest/batch").kind(integer(0, 5))), Code::INVALID);
    refused("a", spec(TunedKnob::new("ingest/batch").kind(integer(5, 10))), Code::INVALID);
    let own = |value| TunedKnob {
        value: Some(KnobValue::Integer(value)),
        ..TunedKnob::new("mine").kind(integer(0, 5))
    };
    refused("", spec(own(1)), Code::INVALID);
    refused("a", spec(own(6)), Code::INVALID);
    refused("ingest", spec(own(1)), Code::ALREADY_EXISTS);
    refused("a", spec(own(1)).every_ms(1), Code::INVALID);
    refused("a", spec(own(1)).measure("x", Measure::of("y", Aggregate::Mean)), Code::INVALID);
    refused("a", TuneSpec::new(Vec::new(), TunerPolicy::default()), Code::INVALID);
    world.kernel.add_tuner("a", spec(own(1))).unwrap();
    assert_eq!(world.kernel.remove_tuner("b").unwrap_err().code(), Code::NOT_FOUND);
    let error =
        world.kernel.add_knob(Arc::new(Batch { value: AtomicI64::new(2), ..Batch::default() }));
    assert_eq!(error.unwrap_err().code(), Code::ALREADY_EXISTS);
    let (idle, _) = (Kernel::builder().build().unwrap(), ());
    assert_eq!(idle.add_tuner("a", spec(own(1))).unwrap_err().code(), Code::NOT_RUNNING);
}

#[test]
fn what_was_adopted_is_tried_first_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut processes = 0;
    let mut begin = || {
        let runtime: Arc<dyn sutazai_core::base::runtime::Runtime> = Arc::new(Manual::new());
        let kernel =
            Kernel::builder().runtime(runtime).data_dir(dir.path()).seed(1).build().unwrap();
        kernel.start().unwrap();
        // Time goes on from one to the next.
        kernel.advance(seconds(10_000 * processes)).unwrap();
        processes += 1;
        let events = kernel.bus().subscribe("tune.>").pull().unwrap();
        let batch = Arc::new(Batch { value: AtomicI64::new(2), ..Batch::default() });
        kernel.add_knob(batch.clone()).unwrap();
        let mut policy = TunerPolicy::default();
        policy.autonomy = Autonomy::Act;
        (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 5_000, 0);
        let mut knob = TunedKnob::new("ingest/batch").kind(batch.kind());
        knob.max_step = 1.0;
        let objective = Measure::of("cost", Aggregate::Mean);
        let spec = TuneSpec::new(vec![knob], policy).objective(objective);
        kernel.add_tuner("ingest", spec).unwrap();
        World { kernel, events, batch }
    };
    let mut world = begin();
    world.run(1_800);
    let KnobValue::Integer(adopted) =
        world.kernel.tuner("ingest").unwrap().view.incumbent["ingest/batch"]
    else {
        panic!()
    };
    assert!((7..=14).contains(&adopted), "{adopted}");
    world.kernel.stop(seconds(1)).unwrap();
    drop(world);

    let mut world = begin();
    assert_eq!(world.batch.now(), 2, "what is configured holds until a trial has shown better");
    world.run(120);
    let view = world.kernel.tuner("ingest").unwrap().view;
    let first = &view.history[0];
    assert_eq!(first.setting["ingest/batch"], KnobValue::Integer(adopted), "{first:?}");
    assert_eq!(first.verdict, TrialVerdict::Adopted);
    // Whoever is removed leaves nothing behind.
    world.kernel.remove_tuner("ingest").unwrap();
    world.kernel.stop(seconds(1)).unwrap();
    drop(world);
    let mut world = begin();
    world.run(120);
    let view = world.kernel.tuner("ingest").unwrap().view;
    assert_ne!(view.history[0].setting["ingest/batch"], KnobValue::Integer(adopted));
}
