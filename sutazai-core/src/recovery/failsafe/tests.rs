use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use proptest::prelude::*;

use super::sequence::Sequence;
use super::*;
use crate::base::time::Moment;
use crate::port::{FailsafeStage, SafeContext};
use crate::{Class, Code, Error, Result};

const LONG: Duration = Duration::from_secs(60);

type Work = Box<dyn Fn() -> Result<()> + Send + Sync>;

struct Stage {
    name: &'static str,
    within: Duration,
    began: Sender<(&'static str, String)>,
    work: Work,
}

impl FailsafeStage for Stage {
    fn name(&self) -> &str {
        self.name
    }
    fn within(&self) -> Duration {
        self.within
    }
    fn run(&self, context: &SafeContext<'_>) -> Result<()> {
        let _ = self.began.send((self.name, format!("{}: {}", context.trigger, context.reason)));
        (self.work)()
    }
}

fn failsafe(
    total: Duration,
    stages: Vec<(&'static str, Duration, Work)>,
) -> (Failsafe, Receiver<(&'static str, String)>) {
    let total_ms = u64::try_from(total.as_millis()).unwrap();
    let drain_ms = total_ms.min(5_000);
    let policy = FailsafePolicy { total_ms, drain_ms, ..FailsafePolicy::default() };
    let failsafe = Failsafe::new(policy).unwrap();
    let (began, begins) = unbounded();
    for (name, within, work) in stages {
        let stage = Stage { name, within, began: began.clone(), work };
        failsafe.add(Arc::new(stage)).unwrap();
    }
    (failsafe, begins)
}

#[test]
fn one_that_fails_panics_or_hangs_does_not_keep_the_next_from_its_turn() {
    let (_open, never) = bounded::<()>(0);
    let hangs: Work = Box::new(move || {
        let _ = never.recv();
        Ok(())
    });
    let (failsafe, begins) = failsafe(
        LONG,
        vec![
            ("fails", LONG, Box::new(|| Err(Error::new(Code::IO, "no disk")))),
            ("panics", LONG, Box::new(|| panic!("on purpose"))),
            ("hangs", Duration::from_millis(50), hangs),
            ("works", LONG, Box::new(|| Ok(()))),
        ],
    );
    assert!(failsafe.trigger(Trigger::critical(Error::new(Code::INTERNAL, "broken"))));
    let status = failsafe.wait(LONG);
    assert_eq!(status.state, SafeState::Safe);
    assert!(status.took_ms.unwrap() <= status.total_ms);
    let [fails, panics, hangs, works] = &status.stages[..] else { panic!("{status:?}") };
    assert!(matches!(&fails.outcome, StageOutcome::Failed { error }
        if error.value().unwrap()["message"] == "no disk"));
    assert!(matches!(&panics.outcome, StageOutcome::Failed { error }
        if error.value().unwrap()["name"] == "base.panic"));
    assert_eq!((&hangs.outcome, &works.outcome), (&StageOutcome::TimedOut, &StageOutcome::Done));
    let order: Vec<_> = begins.try_iter().collect();
    let names: Vec<_> = order.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["fails", "panics", "hangs", "works"]);
    assert_eq!(order[0].1, "critical: broken");
}

#[test]
fn it_is_taken_once_whoever_asks() {
    let (failsafe, begins) = failsafe(LONG, vec![("once", LONG, Box::new(|| Ok(())))]);
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    failsafe.on_change(Arc::new(move |status: &FailsafeStatus| list.lock().push(status.state)));
    let mut first = 0;
    std::thread::scope(|scope| {
        let ask = || failsafe.trigger(Trigger::host("now"));
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        first = asked.into_iter().map(|t| t.join().unwrap()).filter(|y| *y).count();
    });
    failsafe.wait(LONG);
    assert_eq!((first, begins.try_iter().count()), (1, 1));
    // Who waits may be told before who listens.
    while told.lock().len() < 2 {
        std::thread::yield_now();
    }
    assert_eq!(*told.lock(), [SafeState::Taking, SafeState::Safe]);
    let late =
        Stage { name: "late", within: LONG, began: unbounded().0, work: Box::new(|| Ok(())) };
    assert_eq!(failsafe.add(Arc::new(late)).unwrap_err().code(), Code::SAFE_STATE);
}

#[test]
fn only_the_errors_that_the_policy_means_are_a_reason() {
    let (failsafe, _) = failsafe(LONG, vec![]);
    for error in [
        Error::new(Code::IO, "transient"),
        Error::new(Code::INVALID, "persistent"),
        Error::new(Code::PANIC, "critical, and somebody caught it"),
    ] {
        assert!(!failsafe.observe(&error), "{error}");
    }
    assert!(!failsafe.is_triggered());
    assert!(failsafe.observe(&Error::new(Code::IO, "no way on").classed(Class::Critical)));
    let policy = FailsafePolicy { on_critical: false, ..FailsafePolicy::default() };
    assert!(!Failsafe::new(policy).unwrap().observe(&Error::new(Code::INTERNAL, "broken")));
    let policy = FailsafePolicy { total_ms: 0, ..FailsafePolicy::default() };
    assert_eq!(Failsafe::new(policy).unwrap_err().code(), Code::INVALID);
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused_with_all_its_mistakes() {
    let ignore =
        ["base.panic", "base.pancic", "store.burning_down", "my.own", "stroe.failed", "host"];
    let policy = FailsafePolicy {
        total_ms: 4_000,
        bundles: 0,
        ignore: ignore.map(str::to_owned).into(),
        ..FailsafePolicy::default()
    };
    let error = policy.check().unwrap_err();
    let found: Vec<_> = error
        .problems()
        .iter()
        .map(|one| (one.context().next().unwrap().1.to_owned(), one.remedy().unwrap_or_default()))
        .collect();
    let expected = [
        ("bundles", ""),
        ("drain_ms", "give both, and leave time for what comes after the drain"),
        ("ignore[1]", "did you mean \"base.panic\"?"),
        ("ignore[2]", "invoke kernel.codes for those that there are"),
        ("ignore[4]", "did you mean \"store.failed\"?"),
    ];
    assert_eq!(found, expected.map(|(field, advice)| (field.to_owned(), advice)));
    let tight = FailsafePolicy { total_ms: 5_000, ..FailsafePolicy::default() };
    assert!(tight.check().is_ok());
}

#[test]
fn two_stages_do_not_have_one_name() {
    let (failsafe, _) = failsafe(LONG, vec![("a", LONG, Box::new(|| Ok(())))]);
    let again = Stage { name: "a", within: LONG, began: unbounded().0, work: Box::new(|| Ok(())) };
    assert_eq!(failsafe.add(Arc::new(again)).unwrap_err().code(), Code::ALREADY_EXISTS);
}

#[test]
fn a_stage_is_put_before_another_and_given_another_time() {
    let work = |name| Stage { name, within: LONG, began: unbounded().0, work: Box::new(|| Ok(())) };
    let (failsafe, _) = failsafe(LONG, vec![("last", LONG, Box::new(|| Ok(())))]);
    failsafe.add_before("last", Arc::new(work("first"))).unwrap();
    failsafe.add_before("last", Arc::new(work("second"))).unwrap();
    let refused = |error: Result<()>| error.unwrap_err().code();
    assert_eq!(refused(failsafe.add_before("none", Arc::new(work("third")))), Code::NOT_FOUND);
    assert_eq!(refused(failsafe.add_before("last", Arc::new(work("first")))), Code::ALREADY_EXISTS);
    assert_eq!(refused(failsafe.add(Arc::new(work("")))), Code::INVALID);
    assert_eq!(refused(failsafe.set_within("none", LONG)), Code::NOT_FOUND);
    let (_open, never) = bounded::<()>(0);
    let hangs: Work = Box::new(move || {
        let _ = never.recv();
        Ok(())
    });
    let hangs = Stage { name: "hangs", within: LONG, began: unbounded().0, work: hangs };
    failsafe.add_before("last", Arc::new(hangs)).unwrap();
    failsafe.set_within("hangs", Duration::from_millis(20)).unwrap();
    failsafe.trigger(Trigger::host("now"));
    let stages = failsafe.wait(LONG).stages;
    let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "hangs", "last"]);
    assert_eq!(stages[2].outcome, StageOutcome::TimedOut);
    assert_eq!(refused(failsafe.set_within("last", LONG)), Code::SAFE_STATE);
}

#[test]
fn the_policy_changes_until_it_is_taken() {
    let (failsafe, _) = failsafe(LONG, vec![]);
    let policy = |total_ms, on_critical| FailsafePolicy {
        total_ms,
        drain_ms: 5,
        on_critical,
        ..FailsafePolicy::default()
    };
    assert_eq!(failsafe.set_policy(policy(0, true)).unwrap_err().code(), Code::INVALID);
    failsafe.set_policy(policy(7, false)).unwrap();
    assert!(!failsafe.observe(&Error::new(Code::INTERNAL, "broken")));
    assert_eq!((failsafe.status().total_ms, failsafe.policy().total_ms), (7, 7));
    failsafe.set_policy(policy(8, true)).unwrap();
    assert!(failsafe.observe(&Error::new(Code::INTERNAL, "broken")));
    assert_eq!(failsafe.set_policy(policy(9, true)).unwrap_err().code(), Code::SAFE_STATE);
    assert_eq!(failsafe.wait(LONG).total_ms, 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Stages have their turns in order, each once, none beyond its own time or that of all, and those
    /// that are not reached are named.
    #[test]
    fn the_time_of_all_is_kept_whatever_stages_take(
        stages in proptest::collection::vec((0_u64..2_000, 0_u64..4_000), 0..10), total in 1_u64..6_000,
    ) {
        let ms = Duration::from_millis;
        let names: Vec<_> = (0..stages.len()).map(|n| n.to_string()).collect();
        let bounds = names.iter().cloned().zip(stages.iter().map(|(within, _)| ms(*within)));
        let start = Moment::ZERO + ms(77);
        let mut sequence = Sequence::new(bounds.collect(), ms(total), start);
        let (mut now, mut reports) = (start, Vec::new());
        while let Some((index, until)) = sequence.next(now) {
            let (within, takes) = stages[index];
            prop_assert_eq!(index, reports.len());
            prop_assert!(until <= now + ms(within) && until <= start + ms(total));
            let done = now + ms(takes) <= until;
            now = (now + ms(takes)).min(until);
            let outcome = if done { StageOutcome::Done } else { StageOutcome::TimedOut };
            reports.extend(sequence.ended(outcome, now));
        }
        prop_assert!(now <= start + ms(total));
        let left_out = sequence.left_out();
        prop_assert!(left_out.is_empty() || now == start + ms(total));
        reports.extend(left_out);
        let reported: Vec<_> = reports.iter().map(|report| report.name.clone()).collect();
        prop_assert_eq!(reported, names);
    }
}
