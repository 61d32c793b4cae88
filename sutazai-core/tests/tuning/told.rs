//! What errors say to who sees nothing else, and knobs at their worst.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::{Kernel, Measure, ShareMember, ShareSpec, TuneSpec, TunedKnob};
use sutazai_core::monitor::series::Aggregate;
use sutazai_core::observe::LogQuery;
use sutazai_core::tune::{
    Adjust, Autonomy, GuardRail, GuardSide, KnobKind, KnobScale, KnobValue, TunerPolicy,
    TunerSample,
};
use sutazai_core::{Code, Error, Result};

use super::world::{kernel, seconds, told};

/// A knob of the host's, whose range may change.
struct Odd {
    name: String,
    low: AtomicI64,
    high: AtomicI64,
    value: AtomicI64,
    stuck: AtomicBool,
}

impl Odd {
    fn new(name: &str, low: i64, high: i64, value: i64) -> Arc<Self> {
        let [low, high, value] = [low, high, value].map(AtomicI64::new);
        Arc::new(Self { name: name.to_owned(), low, high, value, stuck: AtomicBool::new(false) })
    }
}

impl Adjust for Odd {
    fn name(&self) -> &str {
        &self.name
    }
    fn kind(&self) -> KnobKind {
        let [low, high] = [&self.low, &self.high].map(|it| it.load(Ordering::SeqCst));
        KnobKind::Integer { low, high, scale: KnobScale::Linear }
    }
    fn value(&self) -> Result<KnobValue> {
        Ok(KnobValue::Integer(self.value.load(Ordering::SeqCst)))
    }
    fn set(&self, value: &KnobValue) -> Result<()> {
        if self.stuck.load(Ordering::SeqCst) {
            return Err(Error::new(Code::IO, "the valve is stuck").with("knob", &self.name));
        }
        if let KnobValue::Integer(value) = value {
            self.value.store(*value, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn host(name: &str, kind: KnobKind, value: KnobValue) -> TunedKnob {
    TunedKnob { value: Some(value), ..TunedKnob::new(name).kind(kind) }
}

fn integer(low: i64, high: i64, scale: KnobScale) -> KnobKind {
    KnobKind::Integer { low, high, scale }
}

/// Each key stands there once, and no control character does.
fn is_sound(error: &Error) -> String {
    let mut keys: Vec<&str> = error.context().map(|(key, _)| key).collect();
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "{error}");
    let text = format!("{error:#}");
    assert!(!text.contains(char::is_control), "{text:?}");
    text
}

#[test]
fn names_that_were_meant_are_named() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    kernel.add_knob(Odd::new("ingest/batch", 1, 64, 8)).unwrap();
    let spec = |name: &str| TuneSpec::new(vec![TunedKnob::new(name)], TunerPolicy::default());
    kernel.add_tuner("ingest", spec("ingest/batch")).unwrap();
    let members = ["writer", "critic"].map(|name| (name.to_owned(), ShareMember::host()));
    kernel.share_out("tokens", ShareSpec::new(10, members.clone())).unwrap();
    let mut sample = TunerSample::default();
    sample.guards.insert("lagg".to_owned(), 1.0);
    let made = |who: &str| std::collections::BTreeMap::from([(who.to_owned(), 1.0)]);
    let misspelt = [ShareMember::knob("ingest/bach"), ShareMember::host()];
    let misspelt = ["a", "b"].map(str::to_owned).into_iter().zip(misspelt);
    let value = KnobValue::Integer(4);
    for (error, says) in [
        (kernel.set_knob("ingest/bathc", &value).unwrap_err(), "did you mean 'ingest/batch'?"),
        (kernel.set_knob("limit/calls", &value).unwrap_err(), "did you mean 'limits/calls'?"),
        (
            kernel.add_tuner("x", spec("ingest/bach")).unwrap_err(),
            "did you mean 'ingest/batch'? tune.knobs",
        ),
        (kernel.add_tuner("x", spec("elsewhere")).unwrap_err(), "needs a kind and a value"),
        (kernel.tuner("ingset").unwrap_err(), "did you mean 'ingest'?"),
        (kernel.remove_tuner("ingset").unwrap_err(), "did you mean 'ingest'?"),
        (kernel.answer_tuner("ingset", 1, true, "ann").unwrap_err(), "did you mean 'ingest'?"),
        (
            kernel.set_autonomy("ingset", Autonomy::Act, "ann").unwrap_err(),
            "did you mean 'ingest'?",
        ),
        (kernel.report("ingest", &sample).unwrap_err(), "no guard-rail is of this metric"),
        (kernel.answer_tuner("ingest", 7, true, "ann").unwrap_err(), "was never asked"),
        (kernel.unshare("token").unwrap_err(), "did you mean 'tokens'?"),
        (kernel.report_benefits("tokens", &made("writter")).unwrap_err(), "did you mean 'writer'?"),
        (
            kernel.share_out("x", ShareSpec::new(10, misspelt)).unwrap_err(),
            "did you mean 'ingest/batch'?",
        ),
        (
            kernel.set_knob("ingest/batch", &KnobValue::Integer(65)).unwrap_err(),
            "may not be set to this",
        ),
        (kernel.add_tuner("y", spec("ingest/batch")).unwrap_err(), "another tuner has the knob"),
        (kernel.scale_pool("nobody", Default::default()).unwrap_err(), "there is no pool"),
    ] {
        let text = is_sound(&error);
        assert!(text.contains(says), "{text}");
    }
    kernel.stop(seconds(1)).unwrap();
    let error = kernel.tuner("ingest").unwrap_err();
    assert_eq!(
        error.code(),
        Code::NOT_RUNNING,
        "of a kernel that has stopped there are none: {error}"
    );
    for error in [
        kernel.unshare("tokens").unwrap_err(),
        kernel.report_benefits("tokens", &made("writer")).unwrap_err(),
        kernel.answer_shares("tokens", 1, true, "ann").unwrap_err(),
        kernel.unscale_pool("nobody").unwrap_err(),
        kernel.answer_scaling("nobody", 1, true, "ann").unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::NOT_RUNNING, "nor is anything divided or scaled: {error}");
    }
}

#[test]
fn names_have_no_control_characters_and_the_kernels_own_stay_its_own() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let spec = |knob| TuneSpec::new(vec![knob], TunerPolicy::default());
    let kind = || integer(1, 9, KnobScale::Linear);
    let value = KnobValue::Integer(3);
    let odd = "bat\u{1b}[31mch\n";
    for error in [
        kernel.add_knob(Odd::new(odd, 1, 9, 3)).unwrap_err(),
        kernel.add_tuner("a", spec(host(odd, kind(), value.clone()))).unwrap_err(),
        kernel.add_tuner(odd, spec(host("batch", kind(), value.clone()))).unwrap_err(),
        kernel.share_out(odd, ShareSpec::new(10, Vec::new())).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::INVALID, "{error}");
        is_sound(&error);
    }
    // Misspelt, it is not taken for one of the host's.
    let error = kernel.add_tuner("a", spec(host("limits/call", kind(), value))).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
    assert!(is_sound(&error).contains("did you mean 'limits/calls'?"), "{error}");
}

#[test]
fn ranges_that_are_none_are_refused_and_the_smallest_is_tuned() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let mut policy = TunerPolicy::default();
    policy.autonomy = Autonomy::Act;
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 5_000, 0);
    let add = |name: &str, kind, value: i64| {
        let knob = host(name, kind, KnobValue::Integer(value));
        kernel.add_tuner(name, TuneSpec::new(vec![knob], policy.clone()))
    };
    for kind in [
        integer(5, 5, KnobScale::Linear),
        integer(6, 5, KnobScale::Linear),
        integer(0, 9, KnobScale::Log),
        integer(i64::MIN, i64::MAX, KnobScale::Linear),
        KnobKind::Float { low: 0.0, high: 9.0, scale: KnobScale::Log },
        KnobKind::Float { low: f64::NAN, high: 9.0, scale: KnobScale::Linear },
        KnobKind::Levels { levels: vec![5.0] },
        KnobKind::Choice { names: vec!["one".to_owned()] },
    ] {
        let error = add("odd", kind, 5).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{error}");
        assert!(is_sound(&error).contains("odd"), "{error}");
    }
    add("two", integer(1, 2, KnobScale::Log), 1).unwrap();
    let mut now = 1;
    for _ in 0..600 {
        // Two costs half of what one does.
        let objective = Some(10.0 / now as f64);
        let sample = TunerSample { objective, ..TunerSample::default() };
        let report = kernel.report("two", &sample).unwrap();
        let KnobValue::Integer(next) = report.applied["two"] else { unreachable!("{report:?}") };
        now = next;
        kernel.advance(seconds(1)).unwrap();
    }
    // Now and then one is tried again.
    let view = kernel.tuner("two").unwrap().view;
    assert_eq!((&view.incumbent["two"], view.adopted), (&KnobValue::Integer(2), 1), "{view:?}");
}

#[test]
fn a_range_that_turned_over_is_an_error_and_no_panic() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let knob = Odd::new("odd", 1, 64, 8);
    kernel.add_knob(knob.clone()).unwrap();
    knob.low.store(90, Ordering::SeqCst);
    let spec = TuneSpec::new(vec![TunedKnob::new("odd")], TunerPolicy::default());
    let error = kernel.add_tuner("a", spec).unwrap_err();
    assert_eq!(error.code(), Code::INVALID, "{error}");
    let members =
        [("a".to_owned(), ShareMember::knob("odd")), ("b".to_owned(), ShareMember::host())];
    let error = kernel.share_out("places", ShareSpec::new(40, members)).unwrap_err();
    assert!(is_sound(&error).contains("takes=90 to 64"), "{error}");
}

#[test]
fn who_is_being_removed_sets_nothing_any_more() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let knob = Odd::new("odd", 1, 64, 8);
    kernel.add_knob(knob.clone()).unwrap();
    let mut policy = TunerPolicy::default();
    policy.autonomy = Autonomy::Act;
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 2_000, 0);
    kernel.add_tuner("a", TuneSpec::new(vec![TunedKnob::new("odd")], policy)).unwrap();
    let sample = TunerSample { objective: Some(5.0), ..TunerSample::default() };
    for _ in 0..100 {
        kernel.report("a", &sample).unwrap();
        kernel.advance(seconds(1)).unwrap();
        let view = kernel.tuner("a").unwrap().view;
        if view.applied != view.incumbent {
            break;
        }
    }
    assert_ne!(knob.value.load(Ordering::SeqCst), 8, "a trial");
    knob.stuck.store(true, Ordering::SeqCst);
    let error = kernel.remove_tuner("a").unwrap_err();
    assert!(is_sound(&error).contains("the valve is stuck"), "{error}");
    for error in [
        kernel.report("a", &sample).unwrap_err(),
        kernel.set_autonomy("a", Autonomy::Act, "ann").unwrap_err(),
        kernel.answer_tuner("a", 1, true, "ann").unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::NOT_FOUND, "{error}");
    }
    knob.stuck.store(false, Ordering::SeqCst);
    kernel.advance(seconds(120)).unwrap();
    assert_eq!(knob.value.load(Ordering::SeqCst), 8, "rolled back");
    assert!(kernel.tuners().is_empty());
}

#[test]
fn more_units_than_there_are_is_told_where_nothing_is_taken_unasked() {
    let (kernel, mut events) = kernel(&Arc::new(Manual::new()));
    for name in ["a", "b"] {
        kernel.add_knob(Odd::new(name, 1, 90, 30)).unwrap();
    }
    let members = ["a", "b"].map(|name| (name.to_owned(), ShareMember::knob(name)));
    let mut spec = ShareSpec::new(40, members);
    spec.autonomy = Autonomy::Approve;
    kernel.share_out("places", spec).unwrap();
    let shared = |kernel: &Kernel| kernel.shared_out().pop().unwrap();
    assert_eq!(shared(&kernel).beyond, 20);
    kernel.advance(seconds(60)).unwrap();
    let waiting = shared(&kernel).waiting.unwrap();
    assert_eq!((waiting.beyond, waiting.units.values().sum::<u64>()), (20, 40));
    let asked = told(&mut events).into_iter().find(|(subject, _)| subject == "tune.ask").unwrap();
    assert_eq!(asked.1["beyond"], 20);
    let logged = kernel.log().recent(&LogQuery::default());
    let said = logged.iter().filter(|one| one.message.contains("more units than there are"));
    assert_eq!(said.count(), 1);
    kernel.answer_shares("places", waiting.proposal, true, "ann").unwrap();
    assert_eq!(shared(&kernel).beyond, 0);
}

#[test]
fn what_a_tuner_and_a_share_go_by_has_a_name_that_a_series_may_have() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    kernel.add_knob(Odd::new("ingest/batch", 1, 64, 8)).unwrap();
    let mut policy = TunerPolicy::default();
    policy.guards =
        vec![GuardRail { metric: "lag".to_owned(), side: GuardSide::AtMost, bound: 1.0 }];
    let spec = || TuneSpec::new(vec![TunedKnob::new("ingest/batch")], policy.clone());
    let rate = |series: &str| Measure::of(series, Aggregate::Rate);
    let long = "x".repeat(201);
    for odd in ["", "co\u{7}st", "cost*", &long] {
        for spec in [
            spec().objective(rate(odd)),
            spec().objective(rate("cost").per(odd, Aggregate::Rate)),
            spec().measure("lag", rate(odd)),
        ] {
            let error = kernel.add_tuner("ingest", spec).unwrap_err();
            assert_eq!(error.code(), Code::INVALID, "{error}");
            assert!(is_sound(&error).contains("a series' name has 1 to 200 bytes"), "{error}");
        }
        let mut member = ShareMember::host();
        member.benefit = Some(rate(odd));
        let members = [("a".to_owned(), member), ("b".to_owned(), ShareMember::host())];
        let error = kernel.share_out("calls", ShareSpec::new(8, members)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{error}");
        assert!(is_sound(&error).contains("a series' name has 1 to 200 bytes"), "{error}");
    }
    kernel.add_tuner("ingest", spec().objective(rate("cost{of=\"*\"}"))).unwrap();
}
