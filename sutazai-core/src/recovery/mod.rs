//! Failures are classified, contained and healed.
//!
//! Each part is a state machine that takes the time and does no I/O; each is useful alone, and the
//! kernel composes them into the guard step of its call.
//!
//! [`Classifier`] says of a failure whether it is transient, persistent or critical, why, and when to try
//! again; [`History`] remembers what keeps coming back.
//!
//! [`Guard`] is what stands between a call and trouble: [`Breaker`], [`Budget`], [`Bulkhead`] and
//! [`RateLimit`] are its parts, and it retries, hedges and ends calls.
//!
//! [`Degradation`] does less when not everything can be done: named levels, entered and left by rules
//! on signals, and what each feature does at each.
//!
//! [`Isolation`] sets apart what harms the rest: a crash loop, an error storm, a leak; and lets it in
//! again once probes succeed.
//!
//! [`Playbooks`] act on events and signals, within bounds and on the record.
//!
//! [`Failsafe`] takes the whole system into its safe state, in stages and within a bounded time.
//!
//! [`supervise`] keeps things alive as Erlang/OTP does: trees of supervisors that restart their children,
//! and give up one level after the other; and mailboxes, in which a child's work outlives the child.
//!
//! [`Sagas`] run steps with compensations, durable in the store and resumed after a crash; [`Checkpoints`]
//! save the state of named things together, and put it back.
//!
//! **Invariants.** Nothing here knows what an agent is: recovery supervises anything that starts, stops
//! and reports. No state machine reads a clock, sleeps, or draws chance from anywhere but its seed.

pub mod breaker;
pub mod bulkhead;
mod caught;
mod chance;
pub mod checkpoint;
pub mod classify;
pub mod degrade;
pub mod failsafe;
pub mod guard;
pub mod isolate;
pub mod playbook;
pub mod rate;
pub mod retry;
pub mod saga;
pub mod supervise;
mod tables;

pub use breaker::{
    Breaker, BreakerPermit, BreakerPolicy, BreakerState, BreakerStatus, Change, Forced, OnChange,
    Outcome, Why, Window,
};
#[cfg(feature = "agent")]
pub(crate) use bulkhead::Line;
pub use bulkhead::{Bulkhead, BulkheadPolicy, BulkheadStatus, Place};
pub use checkpoint::{
    CheckpointConfig, CheckpointDetail, CheckpointDiff, CheckpointId, CheckpointNews,
    CheckpointObserver, CheckpointPartView, CheckpointView, Checkpoints, Restored,
    publish_checkpoints,
};
pub use classify::{
    Bounded, Classifier, ClassifyPolicy, Facts, Hint, History, HistoryPolicy, Numbers, Protocol,
    Rule, Verdict,
};
pub use degrade::{
    Degradation, DegradePolicy, DegradeRule, DegradeStatus, FeatureMode, LevelChange, LevelWhy,
    OnLevelChange,
};
pub use failsafe::{
    Failsafe, FailsafePolicy, FailsafeStatus, OnSafe, SafeState, StageOutcome, StageReport,
    Trigger, TriggerKind, write_bundle,
};
pub use guard::{
    Attempt, GAVE_UP, GaveUp, Guard, GuardBuilder, GuardPolicy, GuardStatus, HedgePolicy, Judge,
    Judgement, Next, Share, SharedParts, Steps, Which,
};
pub use isolate::{
    CrashLoop, ErrorStorm, Evidence, IsolateChange, IsolatePolicy, IsolateState, IsolateWhy,
    Isolation, MemoryRule, OnIsolateChange, TargetStatus,
};
pub use playbook::{
    ActionView, Comparison, Condition, EntryState, Escalation, EventMatch, OnEntry, Op, Playbook,
    PlaybookEntry, PlaybookPolicy, PlaybookView, Playbooks, RefusedWhy, SignalMatch, UnknownAction,
};
pub use rate::{RateLimit, RatePolicy};
pub use retry::{Budget, BudgetPolicy, BudgetStatus, Jitter, RetryPolicy};
pub use saga::{
    OnResume, Resumed, Saga, SagaConfig, SagaDetail, SagaEntry, SagaEvent, SagaFailure, SagaFilter,
    SagaId, SagaNews, SagaObserver, SagaPolicy, SagaState, SagaStepState, SagaStepView,
    SagaTransition, SagaView, Sagas, StepPolicy, publish_sagas, step_fn,
};
#[cfg(feature = "store")]
pub use saga::{effect_of, once};
pub use supervise::{Supervisor, SupervisorSpec};
pub use tables::MIGRATIONS;
