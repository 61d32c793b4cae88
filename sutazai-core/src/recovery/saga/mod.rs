//! Sagas: steps with compensations, durable, resumed after a crash.
//!
//! A saga (H. Garcia-Molina and K. Salem, "Sagas", SIGMOD 1987) is a sequence of steps that cannot be
//! one transaction, each with a compensation. When a step fails, what was done is undone, the last
//! first. Its journal is in the store: **every transition is synced to the disk before anything is
//! done on the strength of it**, so that after a crash [`Sagas::resume`] knows how far it was.
//!
//! # What is guaranteed
//!
//! - A step's action is called after all before it are done, and never again once the saga has turned
//!   back; a compensation after those of all later steps have succeeded.
//! - Every step whose action may have taken effect is compensated, unless the saga ends done. An action
//!   that failed *may* have taken effect (a request can time out after it was carried out), and so may
//!   one that a crash interrupted: its compensation is called with no result. A step whose errors mean
//!   that nothing was done says so ([`StepPolicy::atomic`]).
//! - **Effects in the store** are made exactly once, if they are made with `once`: the effect and the
//!   fact of it are one transaction.
//! - **Effects outside** are made at least once by the letter: the process can die after an effect and
//!   before the journal has heard of it, and no runner can rule that out. What it gives is the
//!   idempotency key ([`SagaContext::key`](crate::port::SagaContext::key)), the same for every call of
//!   one step in one direction. A target that takes each key once makes them exactly once *in effect*.
//! - A compensation that fails for good leaves the saga **stuck**: it is told to whoever waits
//!   ([`Code::SAGA_STUCK`](crate::Code::SAGA_STUCK)), on the bus, and in the list, until somebody has it tried again
//!   ([`Sagas::retry`]) or says that they have seen to it ([`Sagas::resolve`]).
//!
//! A saga with its data directory on a disk that lies about syncing, or in a store in memory, is as
//! durable as that. In a build without the feature `store` everything is in memory, sagas go through the
//! same states, and `once` is not there: the key-value face has no transactions.
//!
//! What is decided is decided by `machine.rs`, which takes the time and does no I/O; `run.rs` does it.

mod define;
mod event;
mod id;
mod inner;
mod journal;
mod machine;
mod news;
#[cfg(feature = "store")]
mod once;
mod policy;
mod run;
mod sagas;
mod story;
mod view;

#[cfg(test)]
mod tests;

pub use define::{Saga, step_fn};
pub use event::{SagaEntry, SagaEvent, SagaFailure};
pub use id::SagaId;
pub use inner::SagaConfig;
pub use journal::SagaFilter;
pub use news::{SagaNews, SagaObserver, SagaTransition, publish_sagas};
#[cfg(feature = "store")]
pub use once::{effect_of, once};
pub use policy::{OnResume, SagaPolicy, StepPolicy};
pub use sagas::{Resumed, Sagas};
pub use view::{SagaDetail, SagaState, SagaStepState, SagaStepView, SagaView};
