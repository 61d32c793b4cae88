//! What tuners change is on the audit record, also where the host sets the knob.

use std::sync::Arc;

use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::{Kernel, ShareMember, ShareSpec, TuneSpec, TunedKnob};
use sutazai_core::security::audit::{Detail, Query, Record};
use sutazai_core::tune::{
    Autonomy, GuardRail, GuardSide, KnobKind, KnobScale, KnobValue, TrialVerdict, TunerAction,
    TunerPolicy, TunerSample,
};

use super::world::{kernel, seconds, told};

fn records(kernel: &Kernel, action: &str) -> Vec<Record> {
    let query = Query { limit: 1_000, action: Some(action.to_owned()), ..Query::default() };
    let page = kernel.security().unwrap().audit().query(&query).unwrap();
    let mut records: Vec<_> = page.records.into_iter().map(|found| found.record).collect();
    records.reverse();
    records
}

fn detail<'a>(record: &'a Record, name: &str) -> &'a str {
    match record.details.get(name) {
        Some(Detail::Text(word)) => word,
        _ => "",
    }
}

/// A tuner of a knob that the host sets.
fn tuned(
    autonomy: Autonomy,
    guards: Vec<GuardRail>,
) -> (Kernel, sutazai_core::event::Subscription) {
    let (kernel, events) = kernel(&Arc::new(Manual::new()));
    let kind = KnobKind::Integer { low: 1, high: 1_024, scale: KnobScale::Log };
    let knob =
        TunedKnob { value: Some(KnobValue::Integer(2)), ..TunedKnob::new("batch").kind(kind) };
    let mut policy = TunerPolicy::default();
    (policy.autonomy, policy.guards) = (autonomy, guards);
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 5_000, 0);
    kernel.add_tuner("ingest", TuneSpec::new(vec![knob], policy)).unwrap();
    (kernel, events)
}

/// The host reports what the batch costs, and how late it makes things, each second; what each answer says was done, and what the batch was.
fn run(kernel: &Kernel, for_seconds: u64, rails: bool) -> (Vec<TunerAction>, Vec<i64>) {
    let (mut batch, mut actions, mut set) = (2, Vec::new(), Vec::new());
    for _ in 0..for_seconds {
        let objective = Some(100.0 / batch as f64 + batch as f64);
        let mut sample = TunerSample { objective, ..TunerSample::default() };
        if rails {
            // All at once it is too much, so that nothing before says so.
            sample.guards.insert("lag".to_owned(), if batch <= 8 { 10.0 } else { 200.0 });
        }
        let report = kernel.report("ingest", &sample).unwrap();
        actions.extend(report.actions);
        let Some(KnobValue::Integer(now)) = report.applied.get("batch") else { continue };
        if *now != batch {
            set.push(*now);
        }
        batch = *now;
        kernel.advance(seconds(1)).unwrap();
    }
    (actions, set)
}

#[test]
fn each_value_that_the_host_is_told_to_set_is_recorded_and_each_trial_with_what_came_of_it() {
    let guards = vec![GuardRail { metric: "lag".to_owned(), side: GuardSide::AtMost, bound: 90.0 }];
    let (kernel, mut events) = tuned(Autonomy::Act, guards);
    let (_, set) = run(&kernel, 900, true);
    let applied = records(&kernel, "tune.apply");
    let values: Vec<i64> =
        applied.iter().map(|one| detail(one, "value").parse().unwrap()).collect();
    assert!(set.len() > 10 && values.starts_with(&set), "{set:?}\n{values:?}");
    for one in &applied {
        assert_eq!((&*one.object, &*one.principal), ("batch", "kernel"));
        assert_eq!(detail(one, "tuner"), "ingest");
        assert!(detail(one, "trial").parse::<u64>().is_ok(), "{one:?}");
    }
    let causes: Vec<_> = applied.iter().map(|one| detail(one, "cause")).collect();
    assert!(
        ["trial", "baseline", "roll_back"].iter().all(|cause| causes.contains(cause)),
        "{causes:?}"
    );
    // As many as there are events: none is told twice.
    let told = told(&mut events);
    assert_eq!(told.iter().filter(|(subject, _)| subject == "tune.apply").count(), applied.len());
    let history = kernel.tuner("ingest").unwrap().view.history;
    let ended = records(&kernel, "tune.trial");
    let lines: Vec<_> =
        ended.iter().map(|one| (detail(one, "trial"), detail(one, "verdict"))).collect();
    assert_eq!(lines.len(), history.len(), "{lines:?}");
    let verdicts: Vec<_> = lines.iter().map(|(_, verdict)| *verdict).collect();
    assert!(verdicts.contains(&"adopted") && verdicts.contains(&"guard_broken"), "{verdicts:?}");
    let broken = ended.iter().find(|one| detail(one, "verdict") == "guard_broken").unwrap();
    assert_eq!((&*broken.object, detail(broken, "guard")), ("ingest", "lag"));
    assert!(detail(broken, "setting").contains("batch"));
}

#[test]
fn what_is_not_tried_is_not_on_the_record() {
    let (kernel, _events) = tuned(Autonomy::Suggest, Vec::new());
    run(&kernel, 300, false);
    assert!(kernel.tuner("ingest").unwrap().view.trials > 0);
    assert!(records(&kernel, "tune.apply").is_empty() && records(&kernel, "tune.trial").is_empty());
}

#[test]
fn a_report_tells_of_all_that_was_done_since_the_one_before() {
    let (kernel, mut events) = tuned(Autonomy::Act, Vec::new());
    // The kernel looks ten times a second, and the host reports once: most is done between two reports.
    let (mut actions, _) = run(&kernel, 300, false);
    actions.extend(kernel.report("ingest", &TunerSample::default()).unwrap().actions);
    let applied = |action: &TunerAction| matches!(action, TunerAction::Apply { .. });
    let told = told(&mut events).iter().filter(|(subject, _)| subject == "tune.apply").count();
    assert!(told > 5);
    assert_eq!(actions.iter().filter(|action| applied(action)).count(), told);
}

#[test]
fn a_suggestion_is_made_once_and_stays_to_be_seen() {
    let (kernel, mut events) = tuned(Autonomy::Suggest, Vec::new());
    run(&kernel, 3_000, false);
    let suggested: Vec<_> = told(&mut events)
        .into_iter()
        .filter(|(subject, _)| subject == "tune.suggest")
        .map(|(_, event)| event["setting"]["batch"].as_i64().unwrap())
        .collect();
    let mut once = suggested.clone();
    once.sort_unstable();
    once.dedup();
    assert!(!suggested.is_empty() && once.len() == suggested.len(), "{suggested:?}");
    let view = kernel.tuner("ingest").unwrap().view;
    assert_eq!(view.trials, suggested.len() as u64, "what is not said takes no number");
    let last = view.suggested.unwrap();
    assert_eq!(last.setting["batch"], KnobValue::Integer(*suggested.last().unwrap()));
    assert!(view.history.iter().all(|trial| trial.verdict == TrialVerdict::NotTried));
    // Nothing but a change of what is known, or of the level, has it said again.
    kernel.set_autonomy("ingest", Autonomy::Observe, "ann").unwrap();
    assert_eq!(kernel.tuner("ingest").unwrap().view.suggested, None);
}

#[test]
fn units_that_the_host_is_to_give_are_recorded() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let members = ["writer", "critic"].map(|name| (name.to_owned(), ShareMember::host()));
    let mut spec = ShareSpec::new(100, members);
    (spec.autonomy, spec.every_ms) = (Autonomy::Act, 1_000);
    kernel.share_out("tokens", spec).unwrap();
    kernel.advance(seconds(5)).unwrap();
    let given = records(&kernel, "tune.shared");
    assert!(given.iter().any(|one| one.object == "writer"), "{given:?}");
    assert!(given.iter().all(|one| detail(one, "shares") == "tokens"), "{given:?}");
}
