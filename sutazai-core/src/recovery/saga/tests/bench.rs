//! A runner of sagas to test, and steps that do as they are told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::payload::Payload;
use crate::base::runtime::{Runtime, Threads};
use crate::port::{SagaContext, SagaStep};
use crate::recovery::{Jitter, MIGRATIONS, RetryPolicy, SagaConfig, SagaNews, Sagas, step_fn};
use crate::store::Store;
use crate::{Class, Code, Error, Result};

pub(super) type Calls = Arc<Mutex<Vec<String>>>;

/// A runner with what it was heard to do.
pub(super) struct Bench {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) store: Store,
    pub(super) sagas: Sagas,
    pub(super) news: Calls,
}

pub(super) fn bench(config: SagaConfig) -> Bench {
    let runtime = Arc::new(Threads::default());
    runtime.start().unwrap();
    on(runtime, Store::memory(&[MIGRATIONS]).unwrap(), config)
}

pub(super) fn on(runtime: Arc<dyn Runtime>, store: Store, config: SagaConfig) -> Bench {
    let news = Calls::default();
    let heard = Arc::clone(&news);
    let observer = move |news: &SagaNews<'_>| {
        let line = match news {
            SagaNews::Transition(t) => match t.step {
                Some(step) => format!("{} {step}", t.event.name()),
                None => t.event.name().to_owned(),
            },
            SagaNews::SetAside { .. } => "set_aside".to_owned(),
        };
        heard.lock().push(line);
    };
    let sagas =
        Sagas::new(Arc::clone(&runtime), store.clone(), 1, config, Arc::new(observer)).unwrap();
    Bench { runtime, store, sagas, news }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.runtime.stop(Duration::from_secs(5));
    }
}

/// A step that says what is called, and does as it is told.
pub(super) fn step<A, U>(calls: &Calls, act: A, undo: U) -> impl SagaStep + use<A, U>
where
    A: Fn(&SagaContext<'_>) -> Result<Payload> + Send + Sync + 'static,
    U: Fn(&SagaContext<'_>) -> Result<()> + Send + Sync + 'static,
{
    let (acted, undone) = (Arc::clone(calls), Arc::clone(calls));
    step_fn(
        move |ctx: &SagaContext<'_>| {
            acted.lock().push(format!("do {}", ctx.step));
            act(ctx)
        },
        move |ctx: &SagaContext<'_>, gave: Option<&Payload>| {
            let gave = gave.map_or("nothing".to_owned(), ToString::to_string);
            undone.lock().push(format!("undo {} {gave}", ctx.step));
            undo(ctx)
        },
    )
}

pub(super) fn fine(calls: &Calls) -> impl SagaStep + use<> {
    step(calls, |ctx| Ok(ctx.step.into()), |_| Ok(()))
}

pub(super) fn failing(calls: &Calls, class: Class) -> impl SagaStep + use<> {
    step(calls, move |_| Err(refused(class)), |_| Ok(()))
}

pub(super) fn refused(class: Class) -> Error {
    Error::new(Code::AGENT_FAILED, "on purpose").classed(class)
}

pub(super) fn quick(attempts: u32) -> RetryPolicy {
    RetryPolicy { attempts, base_ms: 1, max_ms: 1, jitter: Jitter::None, hinted: 0 }
}

pub(super) fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
