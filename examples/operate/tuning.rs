//! How many calls of an agent are under way at once: a knob that a tuner tries values of, for the most answers a second.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use console::style;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use sutazai_core::Result;
use sutazai_core::kernel::{Kernel, Measure, TuneSpec, TunedKnob, TunerStatus};
use sutazai_core::monitor::series::Aggregate;
use sutazai_core::tune::{
    Adjust, Autonomy, Direction, GuardRail, GuardSide, KnobKind, KnobScale, KnobValue,
    TrialVerdict, TunerPolicy,
};

use super::page::{Page, counted};
use super::resources::EVERY;

const TUNER: &str = "operate";
const KNOB: &str = "operate/calls_at_once";
/// Of the memory that there is, so much may be in use while it tries.
const MEMORY: f64 = 0.95;

/// Calls of one agent that may be under way at once, from now on.
pub struct Calls {
    most: AtomicUsize,
    given: i64,
}

impl Calls {
    pub fn new(given: u16) -> Arc<Self> {
        let most = AtomicUsize::new(usize::from(given));
        Arc::new(Self { most, given: i64::from(given) })
    }

    /// Has them tuned while the fleet works.
    pub fn tune(self: &Arc<Self>, kernel: &Kernel) -> Result<()> {
        kernel.add_knob(Arc::clone(self) as Arc<dyn Adjust>)?;
        let mut policy = TunerPolicy::default();
        (policy.autonomy, policy.direction) = (Autonomy::Act, Direction::Maximise);
        let every = u64::try_from(EVERY.as_millis()).unwrap_or(250);
        (policy.warm_up_ms, policy.window_ms) = (every, 3 * every);
        (policy.cool_down_ms, policy.max_pairs) = (every, 6);
        let metric = "memory".to_owned();
        policy.guards = vec![GuardRail { metric, side: GuardSide::AtMost, bound: MEMORY }];
        let answers = Measure::of("sutazai_calls_total{outcome=\"ok\"}", Aggregate::Rate);
        let memory = Measure::of("memory_limit_used_ratio", Aggregate::Max);
        let knob = TunedKnob::new(KNOB).kind(self.kind());
        let spec = TuneSpec::new(vec![knob], policy).objective(answers).measure("memory", memory);
        kernel.add_tuner(TUNER, spec.every_ms(every))
    }
}

impl Adjust for Calls {
    fn name(&self) -> &str {
        KNOB
    }

    fn kind(&self) -> KnobKind {
        let (low, high) = ((self.given / 4).max(1), (self.given * 4).max(2));
        KnobKind::Integer { low, high, scale: KnobScale::Log }
    }

    fn value(&self) -> Result<KnobValue> {
        Ok(KnobValue::Integer(i64::try_from(self.most.load(Relaxed)).unwrap_or(i64::MAX)))
    }

    fn set(&self, value: &KnobValue) -> Result<()> {
        if let KnobValue::Integer(most) = value {
            self.most.store(usize::try_from(*most).unwrap_or(1).max(1), Relaxed);
        }
        Ok(())
    }
}

/// Who has begun, of one agent.
pub struct Turnstile {
    calls: Arc<Calls>,
    under_way: Mutex<usize>,
    left: Condvar,
}

impl Turnstile {
    pub fn new(calls: &Arc<Calls>) -> Arc<Self> {
        let (under_way, left) = (Mutex::new(0), Condvar::new());
        Arc::new(Self { calls: Arc::clone(calls), under_way, left })
    }

    /// Waits until another call may begin. A bound that is raised is seen with the next call that ends, or soon.
    pub fn enter(&self) {
        let mut under_way = self.under_way.lock();
        while *under_way >= self.calls.most.load(Relaxed) {
            self.left.wait_for(&mut under_way, Duration::from_millis(20));
        }
        *under_way += 1;
    }

    pub fn leave(&self) {
        *self.under_way.lock() -= 1;
        self.left.notify_all();
    }

    /// Waits until all have left.
    pub fn empty(&self) {
        let mut under_way = self.under_way.lock();
        while *under_way > 0 {
            self.left.wait_for(&mut under_way, Duration::from_millis(20));
        }
    }
}

/// What was tried, and what came of it.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Tuned(TunerStatus);

impl Tuned {
    /// The tuner ends: what it tries is rolled back first.
    pub fn end(kernel: &Kernel) -> Option<Self> {
        let status = kernel.tuner(TUNER).ok()?;
        kernel.remove_tuner(TUNER).ok()?;
        Some(Self(status))
    }

    /// As a person reads it.
    pub fn write(&self, page: &mut Page) {
        let view = &self.0.view;
        page.head("Tuning", "calls of an agent at once, for the most answers a second");
        let shown = |setting: &sutazai_core::tune::Setting| match setting.get(KNOB) {
            Some(KnobValue::Integer(value)) => value.to_string(),
            _ => "?".to_owned(),
        };
        let from = shown(&view.original);
        let to = shown(&view.incumbent);
        let level =
            view.level.map_or(String::new(), |level| format!(", {level:.0} answers a second"));
        page.line(&format!(
            "  {} after {}, {} adopted{level}",
            if from == to {
                format!("stays at {to}")
            } else {
                format!("{from} → {}", style(to).green())
            },
            counted(view.trials, "trial"),
            view.adopted
        ));
        for trial in view.history.iter().rev().take(5).rev() {
            let verdict = serde_json::to_value(trial.verdict).unwrap_or_default();
            let verdict = verdict.as_str().unwrap_or_default().replace('_', " ");
            let gain = match (trial.gain, trial.baseline) {
                (Some(gain), Some(baseline)) if baseline > 0.0 => {
                    format!(
                        ": {:+.1} % in {} pairs of windows",
                        100.0 * gain / baseline,
                        trial.pairs
                    )
                }
                _ => String::new(),
            };
            let verdict = match trial.verdict {
                TrialVerdict::Adopted => style(verdict).green(),
                TrialVerdict::GuardBroken => style(verdict).yellow(),
                _ => style(verdict).dim(),
            };
            page.line(&format!(
                "    {} against {}: {verdict}{gain}",
                shown(&trial.setting),
                shown(&trial.against)
            ));
        }
    }
}
