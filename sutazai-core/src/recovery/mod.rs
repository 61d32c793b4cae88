//! Failures are classified, contained and healed.
//!
//! Each part is a state machine that takes the time and does no I/O; each is useful alone, and the
//! kernel composes them into the guard step of its call.
//!
//! **Invariants.** Nothing here knows what an agent is: recovery supervises anything that starts, stops
//! and reports. No state machine reads a clock, sleeps, or draws chance from anywhere but its seed.
//!
//! **Rollback.** [`Sagas`] run steps with compensations, durable in the store and resumed after a crash;
//! [`Checkpoints`] save the state of named things together, and put it back.

mod breaker;
mod bulkhead;
mod caught;
mod chance;
mod checkpoint;
mod guard;
mod rate;
mod retry;
mod saga;
mod tables;

pub use breaker::{
    Breaker, BreakerPermit, BreakerPolicy, BreakerState, BreakerStatus, Change, Forced, OnChange,
    Outcome, Why, Window,
};
pub use bulkhead::{Bulkhead, BulkheadPolicy, BulkheadStatus, Place};
pub use checkpoint::{
    CheckpointConfig, CheckpointDetail, CheckpointDiff, CheckpointId, CheckpointNews,
    CheckpointObserver, CheckpointPartView, CheckpointView, Checkpoints, Restored,
    publish_checkpoints,
};
pub use guard::{
    Attempt, GAVE_UP, GaveUp, Guard, GuardBuilder, GuardPolicy, GuardStatus, HedgePolicy, Judge,
    Judgement, Next, Share, SharedParts, Steps,
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
pub use tables::MIGRATIONS;
