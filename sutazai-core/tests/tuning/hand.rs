//! Knobs that others set as well, that round, that bound each other, that fail and that panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::{Kernel, TuneSpec, TunedKnob};
use sutazai_core::tune::{
    Adjust, Autonomy, GuardRail, GuardSide, KnobKind, KnobScale, KnobValue, TrialVerdict,
    TunerPolicy, TunerSample, TunerView,
};
use sutazai_core::{Code, Error, Result};

use super::world::{kernel, seconds};

/// What is wrong with a knob.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Stuck,
    PanicsWhenSet,
    PanicsWhenRead,
}

/// A whole number in thousandths, of which as many digits are kept as `grain` says.
struct Dial {
    name: &'static str,
    thousandths: AtomicI64,
    grain: i64,
    fault: std::sync::Mutex<Fault>,
    /// It may not be above this one.
    below: Option<Arc<Dial>>,
    /// It may not be below this one.
    above: std::sync::Mutex<Option<Arc<Dial>>>,
}

impl Dial {
    fn new(name: &'static str, at: f64) -> Arc<Self> {
        Self::of(name, at, 1, None)
    }

    fn of(name: &'static str, at: f64, grain: i64, below: Option<Arc<Dial>>) -> Arc<Self> {
        Arc::new(Self {
            name,
            thousandths: AtomicI64::new((at * 1e3) as i64),
            grain,
            fault: std::sync::Mutex::new(Fault::None),
            below,
            above: std::sync::Mutex::new(None),
        })
    }

    fn at(&self) -> f64 {
        self.thousandths.load(Ordering::SeqCst) as f64 / 1e3
    }

    fn is(&self, fault: Fault) -> bool {
        *self.fault.lock().unwrap() == fault
    }
}

impl Adjust for Dial {
    fn name(&self) -> &str {
        self.name
    }
    fn kind(&self) -> KnobKind {
        KnobKind::Float { low: 1.0, high: 64.0, scale: KnobScale::Log }
    }
    fn value(&self) -> Result<KnobValue> {
        assert!(!self.is(Fault::PanicsWhenRead), "on purpose");
        Ok(KnobValue::Number(self.at()))
    }
    fn set(&self, value: &KnobValue) -> Result<()> {
        assert!(!self.is(Fault::PanicsWhenSet), "on purpose");
        let KnobValue::Number(value) = value else {
            return Err(Error::new(Code::INVALID, "a dial is a number"));
        };
        if self.is(Fault::Stuck) {
            return Err(Error::new(Code::IO, "it is stuck"));
        }
        let other = self.above.lock().unwrap().clone();
        if self.below.as_ref().is_some_and(|below| *value > below.at())
            || other.is_some_and(|above| *value < above.at())
        {
            return Err(Error::new(Code::INVALID, "the lower one is not above the upper one"));
        }
        let thousandths = (value * 1e3) as i64 / self.grain * self.grain;
        self.thousandths.store(thousandths, Ordering::SeqCst);
        Ok(())
    }
}

/// Best at 10 each; fed by reports.
struct World {
    kernel: Kernel,
    dials: Vec<Arc<Dial>>,
}

impl World {
    fn new(dials: Vec<Arc<Dial>>, guards: Vec<GuardRail>) -> Self {
        let (kernel, _) = kernel(&Arc::new(Manual::new()));
        for dial in &dials {
            kernel.add_knob(Arc::clone(dial) as Arc<dyn Adjust>).unwrap();
        }
        let world = Self { kernel, dials };
        world.tune("tuner", 0..world.dials.len(), guards, None);
        world
    }

    fn tune(
        &self,
        name: &str,
        dials: std::ops::Range<usize>,
        guards: Vec<GuardRail>,
        kind: Option<KnobKind>,
    ) {
        let mut policy = TunerPolicy::default();
        (policy.autonomy, policy.guards) = (Autonomy::Act, guards);
        (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 5_000, 0);
        let knobs = self.dials[dials].iter().map(|dial| {
            let knob = TunedKnob::new(dial.name);
            kind.clone().map_or(knob.clone(), |kind| knob.kind(kind))
        });
        let spec = TuneSpec::new(knobs.collect(), policy).every_ms(1_000);
        self.kernel.add_tuner(name, spec).unwrap();
    }

    fn second(&self, tuner: &str, guard: Option<f64>) {
        self.kernel.advance(seconds(1)).unwrap();
        let cost = |dial: &Arc<Dial>| 100.0 / dial.at() + dial.at();
        let objective = Some(self.dials.iter().map(cost).sum());
        let guards = guard.map(|value| ("errors".to_owned(), value)).into_iter().collect();
        self.kernel.report(tuner, &TunerSample { objective, guards }).unwrap();
    }

    fn view(&self) -> TunerView {
        self.kernel.tuner("tuner").unwrap().view
    }

    /// Until all knobs stand at a trial's values.
    fn reach_a_trial(&self) -> TunerView {
        let tries = |_| {
            self.second("tuner", None);
            Some(self.view()).filter(|view| view.applied != view.incumbent)
        };
        (0..2_000).find_map(tries).unwrap()
    }

    fn number(setting: &sutazai_core::tune::Setting, name: &str) -> f64 {
        if let KnobValue::Number(value) = &setting[name] { *value } else { f64::NAN }
    }
}

fn rail(bound: f64) -> Vec<GuardRail> {
    vec![GuardRail { metric: "errors".to_owned(), side: GuardSide::AtMost, bound }]
}

#[test]
fn who_sets_one_knob_by_hand_takes_the_trial_of_the_others_back() {
    let world = World::new(vec![Dial::new("a", 3.0), Dial::new("b", 3.0)], Vec::new());
    let trial = world.reach_a_trial();
    assert_ne!(trial.applied["b"], trial.incumbent["b"], "{trial:?}");
    world.kernel.set_knob("a", &KnobValue::Number(5.0)).unwrap();
    let view = world.view();
    assert_eq!((world.dials[0].at(), world.dials[1].at()), (5.0, 3.0));
    assert_eq!(view.original, view.incumbent);
    assert_eq!(
        (World::number(&view.incumbent, "a"), World::number(&view.incumbent, "b")),
        (5.0, 3.0)
    );
    assert_eq!(view.history.last().unwrap().verdict, TrialVerdict::Cancelled);
    // The same by a way that the kernel does not see.
    world.reach_a_trial();
    world.dials[0].set(&KnobValue::Number(6.0)).unwrap();
    world.second("tuner", None);
    assert_eq!((world.dials[0].at(), world.dials[1].at()), (6.0, 3.0));
}

#[test]
fn what_is_set_by_hand_stays_though_it_is_what_is_tried() {
    let world = World::new(vec![Dial::new("a", 3.0)], Vec::new());
    let tried = world.reach_a_trial().applied["a"].clone();
    world.kernel.set_knob("a", &tried).unwrap();
    let view = world.view();
    assert_eq!((&view.incumbent["a"], &view.original["a"]), (&tried, &tried));
    assert_eq!(view.history.last().unwrap().verdict, TrialVerdict::Cancelled);
    world.second("tuner", None);
    assert!((world.dials[0].at() - World::number(&view.incumbent, "a")).abs() < 2e-3);
}

#[test]
fn a_tuner_that_rests_has_taken_its_trial_back() {
    let world = World::new(vec![Dial::new("a", 3.0), Dial::new("b", 3.0)], Vec::new());
    world.kernel.remove_tuner("tuner").unwrap();
    let kind = KnobKind::Float { low: 1.0, high: 12.0, scale: KnobScale::Log };
    world.tune("tuner", 0..2, Vec::new(), Some(kind));
    world.reach_a_trial();
    world.kernel.set_knob("a", &KnobValue::Number(60.0)).unwrap();
    assert_eq!((world.dials[0].at(), world.dials[1].at()), (60.0, 3.0));
    (0..100).for_each(|_| world.second("tuner", None));
    assert_eq!((world.dials[0].at(), world.dials[1].at()), (60.0, 3.0));
    // It says what the knob is set to, and that this is why it rests.
    let said = || {
        let view = world.view();
        ["a", "b"]
            .map(|knob| (World::number(&view.applied, knob), World::number(&view.incumbent, knob)))
    };
    assert_eq!(said(), [(60.0, 3.0), (3.0, 3.0)]);
    let sample = TunerSample { objective: Some(1.0), ..TunerSample::default() };
    let report = world.kernel.report("tuner", &sample).unwrap();
    assert_eq!(World::number(&report.applied, "a"), 60.0);
    let trouble = format!("{:#}", world.kernel.tuner("tuner").unwrap().trouble.unwrap());
    assert!(trouble.contains("knob=a") && trouble.contains("value=60"), "{trouble}");
    // What is set by hand beside it leaves it alone.
    world.kernel.set_knob("b", &KnobValue::Number(50.0)).unwrap();
    assert_eq!((world.dials[0].at(), world.dials[1].at()), (60.0, 50.0));
    assert_eq!(said(), [(60.0, 3.0), (50.0, 3.0)]);
    world.dials[1].set(&KnobValue::Number(3.0)).unwrap();
    world.second("tuner", None);
    assert_eq!(said(), [(60.0, 3.0), (3.0, 3.0)]);
    // Set back, and elsewhere again, through the kernel.
    world.kernel.set_knob("a", &KnobValue::Number(3.0)).unwrap();
    assert_eq!(said(), [(3.0, 3.0), (3.0, 3.0)]);
    assert!(world.kernel.tuner("tuner").unwrap().trouble.is_none());
    world.kernel.set_knob("a", &KnobValue::Number(60.0)).unwrap();
    assert_eq!(said(), [(60.0, 3.0), (3.0, 3.0)]);
    // Back where it was: what was wrong is so no more.
    world.dials[0].set(&KnobValue::Number(3.0)).unwrap();
    world.second("tuner", None);
    assert!(world.kernel.tuner("tuner").unwrap().trouble.is_none());
}

#[test]
fn knobs_that_bound_each_other_are_set_in_an_order_that_works() {
    let upper = Dial::new("a_upper", 4.0);
    let lower = Dial::of("b_lower", 2.0, 1, Some(Arc::clone(&upper)));
    *upper.above.lock().unwrap() = Some(Arc::clone(&lower));
    let world = World::new(vec![upper, lower], rail(1.0));
    for _ in 0..3_000 {
        // Far up errors begin, and what is in use goes back at once.
        let errors = if world.now_at() > 9.0 { 2.0 } else { 0.5 };
        world.second("tuner", Some(errors));
        if world.dials[1].at() > world.dials[0].at() {
            panic!("{} {}", world.dials[0].at(), world.dials[1].at());
        }
    }
    let view = world.view();
    let wrong = |trial: &&sutazai_core::tune::TrialRecord| {
        World::number(&trial.setting, "b_lower") <= World::number(&trial.setting, "a_upper")
            && trial.verdict == TrialVerdict::NotApplied
    };
    assert_eq!(view.history.iter().filter(wrong).count(), 0, "{view:?}");
    assert!(view.adopted > 0, "{view:?}");
    assert!(world.kernel.tuner("tuner").unwrap().trouble.is_none());
}

impl World {
    fn now_at(&self) -> f64 {
        self.dials.iter().map(|dial| dial.at()).fold(0.0, f64::max)
    }
}

#[test]
fn what_rounds_is_tried_like_anything_else() {
    let world = World::new(vec![Dial::of("a", 3.0, 100, None)], Vec::new());
    (0..1_500).for_each(|_| world.second("tuner", None));
    let view = world.view();
    let cancelled = view.history.iter().filter(|t| t.verdict == TrialVerdict::Cancelled).count();
    assert_eq!(cancelled, 0, "{view:?}");
    let adopted = view.history.iter().find(|t| t.verdict == TrialVerdict::Adopted).unwrap();
    assert!(adopted.evidence >= 20.0, "{adopted:?}");
    assert!((7.0..=14.0).contains(&world.dials[0].at()), "{}", world.dials[0].at());
}

#[test]
fn a_knob_that_panics_leaves_the_others_alone() {
    for fault in [Fault::PanicsWhenSet, Fault::PanicsWhenRead] {
        let world = World::new(vec![Dial::new("a", 3.0), Dial::new("b", 3.0)], Vec::new());
        world.kernel.remove_tuner("tuner").unwrap();
        // The first by name is the one that panics.
        world.tune("first", 0..1, Vec::new(), None);
        world.tune("tuner", 1..2, Vec::new(), None);
        let both = || {
            world.second("first", None);
            world.second("tuner", None);
        };
        (0..10).for_each(|_| both());
        *world.dials[0].fault.lock().unwrap() = fault;
        (0..400).for_each(|_| both());
        assert!((7.0..=14.0).contains(&world.dials[1].at()), "{}", world.dials[1].at());
        world.kernel.advance(seconds(1)).unwrap();
        let status = world.kernel.tuner("first").unwrap();
        let trouble = status.trouble.unwrap().to_string();
        assert!(trouble.contains("a knob panicked"), "{trouble}");
        world.kernel.stop(seconds(1)).unwrap();
    }
}

#[test]
fn half_of_a_trial_is_none() {
    let world = World::new(vec![Dial::new("a", 3.0), Dial::new("b", 3.0)], Vec::new());
    *world.dials[1].fault.lock().unwrap() = Fault::PanicsWhenSet;
    (0..60).for_each(|_| world.second("tuner", None));
    assert_eq!((world.dials[0].at(), world.dials[1].at()), (3.0, 3.0));
    let view = world.view();
    assert_eq!(view.incumbent, view.original);
    assert!(view.history.iter().all(|trial| trial.verdict == TrialVerdict::NotApplied), "{view:?}");
}

#[test]
fn a_removal_that_cannot_roll_back_says_so_and_does_it_later() {
    let world = World::new(vec![Dial::new("a", 3.0)], Vec::new());
    let trial = world.reach_a_trial();
    *world.dials[0].fault.lock().unwrap() = Fault::Stuck;
    let error = world.kernel.remove_tuner("tuner").unwrap_err();
    assert_eq!(error.code(), Code::IO, "{error}");
    assert_ne!(world.dials[0].at(), 3.0);
    assert!(world.kernel.tuner("tuner").unwrap().trouble.is_some());
    world.kernel.advance(seconds(30)).unwrap();
    *world.dials[0].fault.lock().unwrap() = Fault::None;
    world.kernel.advance(seconds(70)).unwrap();
    assert_eq!(KnobValue::Number(world.dials[0].at()), trial.incumbent["a"]);
    assert_eq!(world.kernel.tuner("tuner").unwrap_err().code(), Code::NOT_FOUND);
}

#[test]
fn a_metric_that_is_best_at_its_bound_stops_nothing() {
    let world = World::new(vec![Dial::new("a", 3.0)], rail(0.0));
    let mut broken = false;
    for _ in 0..1_500 {
        let beyond = world.dials[0].at() > 9.0;
        broken |= beyond;
        world.second("tuner", Some(if beyond { 1.0 } else { 0.0 }));
    }
    let view = world.view();
    let at = World::number(&view.incumbent, "a");
    assert!((4.0..=9.0).contains(&at) && view.adopted > 0, "{view:?}");
    assert!(!broken || view.broken > 0, "{view:?}");
}

/// A whole number, as a host would write one.
struct Whole(AtomicI64, AtomicBool);

impl Adjust for Whole {
    fn name(&self) -> &str {
        "whole"
    }
    fn kind(&self) -> KnobKind {
        KnobKind::Integer { low: 1, high: 64, scale: KnobScale::Log }
    }
    fn value(&self) -> Result<KnobValue> {
        Ok(KnobValue::Integer(self.0.load(Ordering::SeqCst)))
    }
    fn set(&self, value: &KnobValue) -> Result<()> {
        match value {
            KnobValue::Integer(value) => self.0.store(*value, Ordering::SeqCst),
            _ => self.1.store(true, Ordering::SeqCst),
        }
        Ok(())
    }
}

#[test]
fn levels_of_a_whole_number_are_whole_numbers() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let whole = Arc::new(Whole(AtomicI64::new(2), AtomicBool::new(false)));
    kernel.add_knob(Arc::clone(&whole) as Arc<dyn Adjust>).unwrap();
    let mut policy = TunerPolicy::default();
    policy.autonomy = Autonomy::Act;
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 5_000, 0);
    let levels = KnobKind::Levels { levels: vec![2.0, 4.0, 8.0, 16.0] };
    let mut knob = TunedKnob::new("whole").kind(levels);
    knob.max_step = 0.5;
    kernel.add_tuner("tuner", TuneSpec::new(vec![knob], policy.clone())).unwrap();
    for _ in 0..600 {
        kernel.advance(seconds(1)).unwrap();
        let at = whole.0.load(Ordering::SeqCst);
        assert!([2, 4, 8, 16].contains(&at), "{at}");
        let objective = Some(100.0 / at as f64 + at as f64);
        let sample = TunerSample { objective, ..TunerSample::default() };
        kernel.report("tuner", &sample).unwrap();
    }
    assert!(!whole.1.load(Ordering::SeqCst), "it was given a number that is not whole");
    assert_eq!(whole.0.load(Ordering::SeqCst), 8);
    // Of levels, what lies between them may not be tried.
    let error = kernel.set_knob("whole", &KnobValue::Number(2.5)).unwrap_err();
    assert_eq!(error.code(), Code::INVALID);
    kernel.set_knob("whole", &KnobValue::Number(4.0)).unwrap();
    assert_eq!(whole.0.load(Ordering::SeqCst), 4);
}
