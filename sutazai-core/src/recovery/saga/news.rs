//! What is told of sagas as they go: [`SagaNews`].

use std::sync::Arc;

use serde::Serialize;

use super::event::SagaEvent;
use super::id::SagaId;
use crate::Error;
use crate::base::payload::Payload;
use crate::event::Bus;

/// A transition that has been written down, before anything was done on the strength of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SagaTransition<'a> {
    /// Which saga.
    pub saga: SagaId,
    /// The name of its definition.
    pub name: &'a str,
    /// The name of the step that it is about, where it is about one.
    pub step: Option<&'a str>,
    /// What happened.
    #[serde(flatten)]
    pub event: &'a SagaEvent,
}

/// What an observer hears.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum SagaNews<'a> {
    /// A transition.
    Transition(SagaTransition<'a>),
    /// The store or the pool kept refusing, so this process is no longer at it:
    /// [`Sagas::resume`](super::Sagas::resume) goes on.
    SetAside {
        /// Which saga.
        saga: SagaId,
        /// The name of its definition.
        name: &'a str,
        /// What was refused last.
        error: &'a Error,
    },
}

/// Hears of every transition, those of one saga in their order. Must be quick and not block: the saga
/// goes on when it returns.
pub type SagaObserver = Arc<dyn Fn(&SagaNews<'_>) + Send + Sync>;

/// Publishes the news on the bus: `recovery.saga.begun`, `recovery.saga.step_started` and so on, after
/// [`SagaEvent::name`], and `recovery.saga.set_aside`, with [`SagaNews`] as the payload.
pub fn publish_sagas(bus: &Bus) -> SagaObserver {
    let bus = bus.clone();
    Arc::new(move |news| {
        let what = match news {
            SagaNews::Transition(transition) => transition.event.name(),
            SagaNews::SetAside { .. } => "set_aside",
        };
        // The subject is well-formed.
        let _ =
            bus.publish(format!("recovery.saga.{what}"), Payload::json(news).unwrap_or_default());
    })
}
