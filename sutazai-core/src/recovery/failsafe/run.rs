//! The way to the safe state, on threads of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam_channel::{RecvTimeoutError, bounded};
use serde::Serialize;

use super::policy::FailsafePolicy;
use super::sequence::{Sequence, StageOutcome, StageReport};
use crate::base::contain;
use crate::base::payload::Payload;
use crate::base::time::{Moment, Timestamp};
use crate::base::wait::{Condvar, Mutex};
use crate::port::{FailsafeStage, SafeContext};
use crate::{Code, Error, Result};

/// Who or what takes the safe state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// A critical error.
    Critical,
    /// A panic that nobody caught.
    Panic,
    /// SIGTERM.
    Signal,
    /// The host, or an operator.
    Host,
}

impl TriggerKind {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Panic => "panic",
            Self::Signal => "signal",
            Self::Host => "host",
        }
    }
}

/// Why the safe state is taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trigger {
    /// By what.
    pub kind: TriggerKind,
    /// In words.
    pub reason: String,
    /// The error, of a critical one.
    pub error: Option<Error>,
}

impl Trigger {
    /// By the host.
    pub fn host(reason: impl Into<String>) -> Self {
        Self::new(TriggerKind::Host, reason)
    }

    /// By a panic that nobody catches, or what is one in the host's language.
    pub fn panic(reason: impl Into<String>) -> Self {
        Self::new(TriggerKind::Panic, reason)
    }

    /// By a critical error.
    pub fn critical(error: Error) -> Self {
        let reason = format!("{error:#}");
        Self { error: Some(error), ..Self::new(TriggerKind::Critical, reason) }
    }

    pub(super) fn new(kind: TriggerKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), error: None }
    }
}

/// Where the failsafe stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SafeState {
    /// All is well.
    #[default]
    Armed,
    /// The stages run.
    Taking,
    /// The safe state is taken; it is not left.
    Safe,
}

/// Where the failsafe stands, why, and what came of its stages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct FailsafeStatus {
    /// Where it stands.
    pub state: SafeState,
    /// By what it was triggered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerKind>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The error, when a critical one triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Payload>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Milliseconds from there to the safe state; only once it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Milliseconds that it may take.
    pub total_ms: u64,
    /// The stages that have had their turn, in order; all of them once it is taken.
    pub stages: Vec<StageReport>,
}

/// Hears of it when the safe state begins to be taken, and when it is. Called with no lock held, on the
/// thread that takes it; it has no time of its own, so it must be quick.
pub type OnSafe = Arc<dyn Fn(&FailsafeStatus) + Send + Sync>;

/// The way to the safe state. Cheap to clone; clones are the same. See the
/// [module's documentation](super).
#[derive(Clone)]
pub struct Failsafe(pub(super) Arc<Inner>);

pub(super) struct Inner {
    policy: ArcSwap<FailsafePolicy>,
    /// What becomes of panics.
    pub(super) hook: super::hook::Hook,
    stages: Mutex<Vec<Stage>>,
    triggered: AtomicBool,
    status: Mutex<FailsafeStatus>,
    safe: Condvar,
    on_change: ArcSwapOption<OnSafe>,
}

#[derive(Clone)]
struct Stage {
    name: String,
    within: Duration,
    stage: Arc<dyn FailsafeStage>,
}

impl Failsafe {
    /// One without stages.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid.
    pub fn new(policy: FailsafePolicy) -> Result<Self> {
        policy.check()?;
        let status = FailsafeStatus { total_ms: policy.total_ms, ..FailsafeStatus::default() };
        Ok(Self(Arc::new(Inner {
            policy: ArcSwap::from_pointee(policy),
            hook: super::hook::Hook::default(),
            stages: Mutex::default(),
            triggered: AtomicBool::new(false),
            status: Mutex::new(status),
            safe: Condvar::new(),
            on_change: ArcSwapOption::empty(),
        })))
    }

    /// Adds a stage, after those that are there.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a name that is taken, [`Code::INVALID`] for an empty one;
    /// [`Code::SAFE_STATE`] once it is triggered.
    pub fn add(&self, stage: Arc<dyn FailsafeStage>) -> Result<()> {
        self.insert(stage, |stages| Ok(stages.len()))
    }

    /// Adds a stage right before the one of this name.
    ///
    /// # Errors
    /// As [`add`](Self::add), and [`Code::NOT_FOUND`] when there is none of this name.
    pub fn add_before(&self, before: &str, stage: Arc<dyn FailsafeStage>) -> Result<()> {
        self.insert(stage, |stages| place(stages, before))
    }

    fn insert(
        &self,
        stage: Arc<dyn FailsafeStage>,
        at: impl FnOnce(&[Stage]) -> Result<usize>,
    ) -> Result<()> {
        let (name, within) = (stage.name().to_owned(), stage.within());
        if name.is_empty() {
            return Err(
                Error::new(Code::INVALID, "a stage needs a name").operation("recovery.failsafe")
            );
        }
        let mut stages = self.0.stages.lock();
        self.0.still_armed()?;
        if stages.iter().any(|there| there.name == name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a stage of this name")
                .operation("recovery.failsafe")
                .with("stage", name));
        }
        let at = at(&stages)?;
        stages.insert(at, Stage { name, within, stage });
        Ok(())
    }

    /// Gives the stage of this name so much time from here on.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is none; [`Code::SAFE_STATE`] once it is triggered.
    pub fn set_within(&self, stage: &str, within: Duration) -> Result<()> {
        let mut stages = self.0.stages.lock();
        self.0.still_armed()?;
        let at = place(&stages, stage)?;
        if let Some(stage) = stages.get_mut(at) {
            stage.within = within;
        }
        Ok(())
    }

    /// Takes the safe state: the stages begin on a thread of their own, and this returns at once. Says
    /// whether it was this call that did it; it is taken only once.
    pub fn trigger(&self, trigger: Trigger) -> bool {
        if self.0.triggered.swap(true, Ordering::AcqRel) {
            return false;
        }
        let began = Moment::now();
        {
            let mut status = self.0.status.lock();
            status.state = SafeState::Taking;
            status.trigger = Some(trigger.kind);
            status.reason = Some(trigger.reason.clone());
            let error = trigger.error.as_ref();
            status.error = error.map(|error| Payload::json(error).unwrap_or_default());
            status.at = Some(Timestamp::now());
        }
        let inner = Arc::clone(&self.0);
        let work = move || inner.take(&trigger, began);
        let thread = std::thread::Builder::new().name("sutazai-failsafe".to_owned()).spawn(work);
        if thread.is_err() {
            // Without a thread nothing can be bounded; that nothing was done must not look like safety.
            let mut status = self.0.status.lock();
            status.stages = self.0.sequence(began).left_out();
        }
        true
    }

    /// Takes the safe state if this error is a reason to, by the policy; says whether it did.
    pub fn observe(&self, error: &Error) -> bool {
        self.0.policy.load().is_reason(error) && self.trigger(Trigger::critical(error.clone()))
    }

    /// Whether the safe state is taken, or being taken.
    #[inline]
    pub fn is_triggered(&self) -> bool {
        self.0.triggered.load(Ordering::Acquire)
    }

    /// Where it stands.
    pub fn status(&self) -> FailsafeStatus {
        self.0.status.lock().clone()
    }

    /// Blocks until the safe state is taken, for at most `timeout`; where it stands then.
    pub fn wait(&self, timeout: Duration) -> FailsafeStatus {
        let end = Instant::now().checked_add(timeout);
        let mut status = self.0.status.lock();
        while status.state != SafeState::Safe {
            let (waited, timed_out) = self.0.safe.wait_until(status, end);
            status = waited;
            if timed_out {
                break;
            }
        }
        status.clone()
    }

    /// The policy.
    pub fn policy(&self) -> Arc<FailsafePolicy> {
        self.0.policy.load_full()
    }

    /// Takes another policy from here on. Who listens for panics and SIGTERM, and the times of single
    /// stages, are not changed by it: see [`install_panic_hook`](Self::install_panic_hook),
    /// [`watch_sigterm`](Self::watch_sigterm), [`set_within`](Self::set_within).
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that is not valid, [`Code::SAFE_STATE`] once it is triggered; the
    /// old one stays.
    pub fn set_policy(&self, policy: FailsafePolicy) -> Result<()> {
        policy.check()?;
        let mut status = self.0.status.lock();
        self.0.still_armed()?;
        status.total_ms = policy.total_ms;
        self.0.policy.store(Arc::new(policy));
        Ok(())
    }

    /// Hears of the safe state, in the place of who did before.
    pub fn on_change(&self, told: OnSafe) {
        self.0.on_change.store(Some(Arc::new(told)));
    }
}

impl Inner {
    fn still_armed(&self) -> Result<()> {
        if !self.triggered.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(Error::new(Code::SAFE_STATE, "the safe state is taken already")
            .operation("recovery.failsafe"))
    }

    fn sequence(&self, began: Moment) -> Sequence {
        let stages = self.stages.lock();
        let names = stages.iter().map(|stage| (stage.name.clone(), stage.within)).collect();
        Sequence::new(names, Duration::from_millis(self.policy.load().total_ms), began)
    }

    fn take(&self, trigger: &Trigger, began: Moment) {
        self.tell();
        let mut sequence = self.sequence(began);
        while let Some((index, until)) = sequence.next(Moment::now()) {
            let stage = self.stages.lock().get(index).cloned();
            let Some(stage) = stage else { break };
            let outcome = run(stage, trigger, until);
            let report = sequence.ended(outcome, Moment::now());
            self.status.lock().stages.extend(report);
        }
        {
            let mut status = self.status.lock();
            status.stages.extend(sequence.left_out());
            status.state = SafeState::Safe;
            let took = Moment::now().since(began).as_millis();
            status.took_ms = Some(u64::try_from(took).unwrap_or(u64::MAX));
        }
        self.tell();
        self.safe.notify_all();
    }

    fn tell(&self) {
        if let Some(told) = &*self.on_change.load() {
            let status = self.status.lock().clone();
            let _ = contain::catch(|| told(&status));
        }
    }
}

/// Where the stage of this name stands.
fn place(stages: &[Stage], name: &str) -> Result<usize> {
    stages.iter().position(|stage| stage.name == name).ok_or_else(|| {
        Error::new(Code::NOT_FOUND, "there is no stage of this name")
            .operation("recovery.failsafe")
            .with("stage", name)
    })
}

/// Runs a stage on a thread of its own, and leaves it behind when its time is up.
fn run(stage: Stage, trigger: &Trigger, until: Moment) -> StageOutcome {
    let (answer, answered) = bounded(1);
    let (kind, reason) = (trigger.kind.name(), trigger.reason.clone());
    let within = until.since(Moment::now());
    let work = move || {
        let context = SafeContext::new(kind, &reason, within);
        let ended = contain::catch(|| stage.stage.run(&context));
        let _ = answer.send(ended.unwrap_or_else(|_| {
            Err(Error::new(Code::PANIC, "the stage panicked").with("stage", &stage.name))
        }));
    };
    let thread = std::thread::Builder::new().name("sutazai-failsafe-stage".to_owned()).spawn(work);
    let failed =
        |error: Error| StageOutcome::Failed { error: Payload::json(&error).unwrap_or_default() };
    if let Err(error) = thread {
        return failed(Error::new(Code::IO, "no thread could be started").because(error));
    }
    match answered.recv_timeout(until.since(Moment::now())) {
        Ok(Ok(())) => StageOutcome::Done,
        Ok(Err(error)) => failed(error),
        Err(RecvTimeoutError::Timeout) => StageOutcome::TimedOut,
        Err(RecvTimeoutError::Disconnected) => {
            failed(Error::new(Code::ABANDONED, "the stage's thread ended without an answer"))
        }
    }
}

impl std::fmt::Debug for Failsafe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failsafe").field("status", &self.status()).finish_non_exhaustive()
    }
}
