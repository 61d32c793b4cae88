//! What came back too often: a transient failure that does not pass is persistent.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::facts::Facts;
use super::text::Words;
use super::verdict::Verdict;
use crate::base::time::Moment;
use crate::{Class, Code, Error, Result};

/// When a transient failure that keeps coming back counts as persistent.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryPolicy {
    /// How many times in a row the same failure has to be seen; at least 2.
    pub times: u32,
    /// Over how long at least, in milliseconds: a burst of failures within a moment is one event.
    pub over_ms: u64,
    /// A failure that was not seen for this long, in milliseconds, is forgotten; longer than
    /// nothing.
    pub forget_ms: u64,
    /// Targets whose failures are kept, 1 to 1,000,000; of more, those whose failures are oldest are
    /// forgotten first.
    pub targets: u32,
}

impl Default for HistoryPolicy {
    /// 12 times over 2 minutes, forgotten after 10, for 1,000 targets.
    fn default() -> Self {
        Self { times: 12, over_ms: 120_000, forget_ms: 600_000, targets: 1_000 }
    }
}

impl HistoryPolicy {
    fn check(&self) -> Result<()> {
        let wrong = |field: &'static str, what: &'static str| {
            Err(Error::new(Code::INVALID, what).operation("recovery.history").with("field", field))
        };
        match self {
            Self { times: ..2, .. } => wrong("times", "a failure comes back when it is seen twice"),
            Self { forget_ms: 0, .. } => {
                wrong("forget_ms", "everything would be forgotten at once")
            }
            Self { targets: 0 | 1_000_001.., .. } => wrong("targets", "targets are 1 to 1,000,000"),
            _ => Ok(()),
        }
    }
}

/// What failed before, by target.
///
/// A failure is the same as another of its target when code, rule and text agree, numbers in the
/// text aside. A success forgives all failures of its target. One that says when to try again (a
/// rate limit) and was given that time is not held against the target when it comes back.
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::Class;
/// use sutazai_core::base::time::{Moment, Timestamp};
/// use sutazai_core::recovery::{Classifier, Facts, History, HistoryPolicy};
/// let policy = HistoryPolicy { times: 3, over_ms: 10_000, ..HistoryPolicy::default() };
/// let (classifier, mut history) = (Classifier::new(), History::new(policy)?);
/// let facts = Facts::text("connection refused");
/// let mut verdict = classifier.classify(&facts, Timestamp::EPOCH);
/// for seconds in [0, 5, 10] {
///     verdict = classifier.classify(&facts, Timestamp::EPOCH);
///     let now = Moment::ZERO + Duration::from_secs(seconds);
///     verdict = history.judge("search", &facts, verdict, now);
/// }
/// assert_eq!(verdict.class, Class::Persistent);
/// assert!(verdict.reason.ends_with("seen 3 times in 10s without a success between"));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct History {
    policy: HistoryPolicy,
    targets: HashMap<u64, Target>,
    forgotten: u64,
}

#[derive(Debug)]
struct Target {
    last: Moment,
    runs: Vec<Run>,
}

/// The same failure, again and again.
#[derive(Clone, Copy, Debug)]
struct Run {
    failure: u64,
    times: u32,
    first: Moment,
    last: Moment,
    /// Until when it asked to wait.
    wait_until: Option<Moment>,
}

/// Different failures of one target that are kept.
const RUNS: usize = 8;

impl History {
    /// An empty history.
    ///
    /// # Errors
    /// [`Code::INVALID`] with the field that is out of range.
    pub fn new(policy: HistoryPolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self { policy, targets: HashMap::new(), forgotten: 0 })
    }

    /// The policy.
    pub fn policy(&self) -> &HistoryPolicy {
        &self.policy
    }

    /// Goes by another policy from now on; what was seen stays.
    ///
    /// # Errors
    /// As [`History::new`]; the present policy stays then.
    pub fn set_policy(&mut self, policy: HistoryPolicy) -> Result<()> {
        policy.check()?;
        self.policy = policy;
        while self.targets.len() > self.room() {
            self.forget_oldest();
        }
        Ok(())
    }

    /// Takes note of a failure of `target`. Gives its verdict back, as persistent when it came back
    /// too often; what is not transient is not touched.
    pub fn judge(
        &mut self,
        target: &str,
        facts: &Facts<'_>,
        mut verdict: Verdict,
        now: Moment,
    ) -> Verdict {
        if verdict.class != Class::Transient {
            return verdict;
        }
        let failure = fingerprint(facts, &verdict);
        let wait_until = verdict.retry_after.map(|wait| now + wait);
        let run = self.note(hash_of(target), failure, wait_until, now);
        let lasted = now.since(run.first);
        if run.times >= self.policy.times && lasted >= Duration::from_millis(self.policy.over_ms) {
            verdict.remark(&format!(
                "seen {} times in {} without a success between",
                run.times,
                shown(lasted)
            ));
            verdict.class = Class::Persistent;
            verdict.retry_after = None;
            verdict.rule = "history".into();
        }
        verdict
    }

    /// Takes note of a success of `target`: its failures are forgiven.
    pub fn succeeded(&mut self, target: &str) {
        // Nearly always there is nothing to forgive.
        if !self.targets.is_empty() {
            self.targets.remove(&hash_of(target));
        }
    }

    /// Targets with failures that are not forgiven.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether nothing is held against anybody.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Targets that were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn note(&mut self, target: u64, failure: u64, wait_until: Option<Moment>, now: Moment) -> Run {
        if !self.targets.contains_key(&target) && self.targets.len() >= self.room() {
            self.forget_oldest();
        }
        let forget = Duration::from_millis(self.policy.forget_ms);
        let target = self.targets.entry(target).or_insert(Target { last: now, runs: Vec::new() });
        target.last = target.last.max(now);
        let runs = &mut target.runs;
        runs.retain(|run| now.since(run.last) <= forget);
        let fresh = Run { failure, times: 1, first: now, last: now, wait_until };
        let Some(run) = runs.iter_mut().find(|run| run.failure == failure) else {
            if runs.len() >= RUNS
                && let Some(oldest) = runs.iter_mut().min_by_key(|run| run.last)
            {
                *oldest = fresh;
            } else {
                runs.push(fresh);
            }
            return fresh;
        };
        // It was given the time it asked for: that it is not done yet is not its fault.
        let honoured = run.wait_until.is_some_and(|until| now >= until);
        *run = if honoured {
            fresh
        } else {
            let times = run.times.saturating_add(1);
            Run { times, last: run.last.max(now), wait_until, ..*run }
        };
        *run
    }

    fn room(&self) -> usize {
        usize::try_from(self.policy.targets).unwrap_or(usize::MAX)
    }

    fn forget_oldest(&mut self) {
        // Of those of one moment always the same one, whatever the order of the table.
        let age = |(key, target): &(&u64, &Target)| (target.last, **key);
        let oldest = self.targets.iter().min_by_key(age).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.targets.remove(&oldest);
            self.forgotten += 1;
        }
    }
}

/// Code, rule and text, without the words that have digits: numbers, addresses and ids change from
/// one time to the next.
fn fingerprint(facts: &Facts<'_>, verdict: &Verdict) -> u64 {
    let mut hasher = DefaultHasher::new();
    facts.code.hash(&mut hasher);
    verdict.rule.hash(&mut hasher);
    for word in Words::of(&facts.message).iter() {
        if !word.iter().any(u8::is_ascii_digit) {
            word.hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn hash_of(target: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    hasher.finish()
}

/// A duration for people, to the second.
fn shown(duration: Duration) -> String {
    static PRINTER: jiff::fmt::friendly::SpanPrinter = jiff::fmt::friendly::SpanPrinter::new();
    PRINTER.unsigned_duration_to_string(&Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    fn transient() -> Verdict {
        Verdict::new(Class::Transient, "rule", "it failed")
    }

    fn history(times: u32, over_ms: u64, forget_ms: u64) -> History {
        History::new(HistoryPolicy { times, over_ms, forget_ms, targets: 4 }).unwrap()
    }

    fn class(history: &mut History, target: &str, text: &str, millis: u64) -> Class {
        history.judge(target, &Facts::text(text), transient(), at(millis)).class
    }

    #[test]
    fn what_comes_back_too_often_is_persistent() {
        let mut history = history(3, 100, 1_000);
        assert_eq!(class(&mut history, "a", "x 1", 0), Class::Transient);
        assert_eq!(class(&mut history, "a", "x 2", 50), Class::Transient);
        assert_eq!(class(&mut history, "b", "x 3", 60), Class::Transient, "another target");
        assert_eq!(class(&mut history, "a", "other", 70), Class::Transient, "another failure");
        assert_eq!(class(&mut history, "a", "x 4", 99), Class::Transient, "too soon");
        assert_eq!(class(&mut history, "a", "x 5", 100), Class::Persistent);
        assert_eq!(class(&mut history, "a", "x 6", 101), Class::Persistent, "and stays so");
    }

    #[test]
    fn a_success_forgives() {
        let mut history = history(2, 0, 1_000);
        assert_eq!(class(&mut history, "a", "x", 0), Class::Transient);
        history.succeeded("a");
        assert!(history.is_empty());
        assert_eq!(class(&mut history, "a", "x", 1), Class::Transient);
        assert_eq!(class(&mut history, "a", "x", 2), Class::Persistent);
    }

    #[test]
    fn what_was_not_seen_for_long_is_forgotten() {
        let mut history = history(2, 0, 1_000);
        assert_eq!(class(&mut history, "a", "x", 0), Class::Transient);
        assert_eq!(class(&mut history, "a", "x", 1_001), Class::Transient);
        assert_eq!(class(&mut history, "a", "x", 2_001), Class::Persistent);
    }

    #[test]
    fn whoever_gets_the_time_it_asks_for_is_not_blamed() {
        let mut history = history(2, 0, 60_000);
        let facts = Facts::text("slow down");
        let asks = || Verdict { retry_after: Some(Duration::from_secs(1)), ..transient() };
        for turn in 0..20 {
            let verdict = history.judge("a", &facts, asks(), at(turn * 1_000));
            assert_eq!((verdict.class, verdict.retry_after.is_some()), (Class::Transient, true));
        }
        let verdict = history.judge("a", &facts, asks(), at(19_500));
        assert_eq!((verdict.class, verdict.retry_after), (Class::Persistent, None), "too early");
    }

    #[test]
    fn what_is_not_transient_is_not_touched() {
        let mut history = history(2, 0, 1_000);
        let critical = Verdict::new(Class::Critical, "r", "s");
        for _ in 0..5 {
            let verdict = history.judge("a", &Facts::default(), critical.clone(), at(0));
            assert_eq!(verdict, critical);
        }
        assert!(history.is_empty());
    }

    #[test]
    fn policies_are_checked() {
        for policy in [
            HistoryPolicy { times: 1, ..HistoryPolicy::default() },
            HistoryPolicy { forget_ms: 0, ..HistoryPolicy::default() },
            HistoryPolicy { targets: 0, ..HistoryPolicy::default() },
            HistoryPolicy { targets: 1_000_001, ..HistoryPolicy::default() },
        ] {
            assert_eq!(History::new(policy).unwrap_err().code(), Code::INVALID);
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let mut history = history(2, 0, 1_000);
        for (turn, target) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            class(&mut history, target, "x", turn as u64);
        }
        assert_eq!((history.len(), history.forgotten()), (4, 1));
        assert_eq!(class(&mut history, "e", "x", 10), Class::Persistent);
        assert_eq!(class(&mut history, "a", "x", 11), Class::Transient, "was forgotten");
        let policy = HistoryPolicy { targets: 1, ..history.policy.clone() };
        history.set_policy(policy).unwrap();
        assert_eq!(history.len(), 1);
    }

    #[test]
    fn of_one_moment_always_the_same_goes() {
        let left = |_| {
            let mut history = history(2, 0, 1_000);
            for target in ["a", "b", "c", "d", "e", "f"] {
                class(&mut history, target, "x", 0);
            }
            let mut left: Vec<_> = history.targets.keys().copied().collect();
            left.sort_unstable();
            left
        };
        let all: Vec<_> = (0..50).map(left).collect();
        assert!(all.windows(2).all(|two| two[0] == two[1]));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Fails { target: u8, text: u8, wait_ms: Option<u64> },
        Succeeds { target: u8 },
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let fails = (0..6_u8, 0..12_u8, prop::option::of(0..200_u64))
            .prop_map(|(target, text, wait_ms)| Step::Fails { target, text, wait_ms });
        let succeeds = (0..6_u8).prop_map(|target| Step::Succeeds { target });
        prop::collection::vec((0..300_u64, prop_oneof![6 => fails, 1 => succeeds]), 0..60)
    }

    /// Runs a schedule; the classes that came out.
    fn run(policy: &HistoryPolicy, schedule: &[(u64, Step)]) -> Vec<Class> {
        let mut history = History::new(policy.clone()).unwrap();
        let (mut now, mut classes) = (0, Vec::new());
        for (pause, step) in schedule {
            now += pause;
            match step {
                Step::Succeeds { target } => history.succeeded(&target.to_string()),
                Step::Fails { target, text, wait_ms } => {
                    let text = ["red", "green", "blue"][usize::from(*text) % 3]
                        .repeat(usize::from(*text) / 3 + 1);
                    let wait = wait_ms.map(Duration::from_millis);
                    let given = Verdict { retry_after: wait, ..transient() };
                    let target = target.to_string();
                    classes.push(history.judge(&target, &Facts::text(text), given, at(now)).class);
                }
            }
            assert!(history.len() <= history.room());
            assert!(history.targets.values().all(|target| target.runs.len() <= RUNS));
        }
        classes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_only_ever_turns_transient_into_persistent(
            schedule in steps(), times in 2..5_u32, over_ms in 0..500_u64,
            forget_ms in 1..2_000_u64, targets in 1..8_u32,
        ) {
            let policy = HistoryPolicy { times, over_ms, forget_ms, targets };
            let classes = run(&policy, &schedule);
            prop_assert!(classes.iter().all(|class| *class != Class::Critical));
            prop_assert!(classes.first().is_none_or(|class| *class == Class::Transient));
        }

        #[test]
        fn a_stricter_policy_never_forgives_more(
            schedule in steps(), times in 2..5_u32, over_ms in 0..500_u64,
            forget_ms in 1..2_000_u64, targets in 1..8_u32,
        ) {
            let strict = HistoryPolicy { times, over_ms, forget_ms, targets };
            let strictly = run(&strict, &schedule);
            for lax in [
                HistoryPolicy { times: times + 1, ..strict.clone() },
                HistoryPolicy { over_ms: over_ms + 100, ..strict.clone() },
            ] {
                let laxly = run(&lax, &schedule);
                prop_assert!(strictly.iter().zip(&laxly).all(|(strict, lax)| strict >= lax));
            }
        }
    }
}
