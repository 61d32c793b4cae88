//! Sagas and checkpoints of a kernel.

use std::sync::{Arc, OnceLock, Weak};

use super::Change;
use super::builder::Builder;
use super::handle::Kernel;
use super::record::Kept;
use super::shared::{Phase, Shared};
use crate::base::payload::Payload;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::event::Bus;
use crate::observe::{Level, Log};
use crate::port::Checkpointed;
use crate::recovery::{
    CheckpointConfig, CheckpointNews, CheckpointObserver, Checkpoints, Saga, SagaConfig, SagaEvent,
    SagaNews, SagaObserver, Sagas, publish_checkpoints, publish_sagas,
};
use crate::store::Store;
use crate::{Code, Error, Result};

/// What a builder was told.
#[derive(Default)]
pub(super) struct Given {
    sagas: Vec<Saga>,
    saga_config: SagaConfig,
    checkpointed: Vec<Arc<dyn Checkpointed>>,
    checkpoint_config: CheckpointConfig,
}

/// The kernel, once it is there, for what is made before it.
pub(super) type Later = Arc<OnceLock<Weak<Shared>>>;

/// What a kernel rolls back with.
pub(super) struct Rollback {
    sagas: Sagas,
    checkpoints: Checkpoints,
}

impl Builder {
    /// Defines a saga. Those that an earlier process left unfinished go on when the kernel has started.
    pub fn saga(mut self, saga: Saga) -> Self {
        self.rollback.sagas.push(saga);
        self
    }

    /// Sets the bounds of sagas.
    pub fn saga_config(mut self, config: SagaConfig) -> Self {
        self.rollback.saga_config = config;
        self
    }

    /// Has something saved in checkpoints and restored from them. The kernel's own are `kernel.log`, the
    /// filter of its log; `recovery.policies`, all that can be set while it runs; `recovery.level`, the
    /// level of degradation that it is forced to; and `agent.versions`, which version of each agent is in
    /// charge.
    pub fn checkpointed(mut self, thing: impl Checkpointed) -> Self {
        self.rollback.checkpointed.push(Arc::new(thing));
        self
    }

    /// As [`checkpointed`](Self::checkpointed), for one that is shared.
    pub fn shared_checkpointed(mut self, thing: Arc<dyn Checkpointed>) -> Self {
        self.rollback.checkpointed.push(thing);
        self
    }

    /// Sets the bounds of checkpoints.
    pub fn checkpoint_config(mut self, config: CheckpointConfig) -> Self {
        self.rollback.checkpoint_config = config;
        self
    }
}

impl Kernel {
    /// Its sagas: run one, list, inspect, cancel, see to those that are stuck. They are told of on the bus
    /// as `recovery.saga.*`.
    pub fn sagas(&self) -> &Sagas {
        &self.shared.rollback.sagas
    }

    /// Defines a saga on a kernel that is built already. On a running one those of its name that an earlier
    /// process left unfinished go on, soon after.
    ///
    /// # Errors
    /// As [`Sagas::define`]; what the runtime says when it has no room for looking for unfinished ones:
    /// the saga is defined then, and [`Sagas::resume`] goes on.
    pub fn define_saga(&self, saga: Saga) -> Result<()> {
        let shared = &self.shared;
        let name = saga.name().to_owned();
        let change = Change::configuration("recovery.saga_define", &name);
        shared.changes(change, || shared.rollback.sagas.define(saga))?;
        if shared.phase() != Phase::Running {
            return Ok(());
        }
        let weak = Arc::downgrade(shared);
        let resume = Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.resume_sagas();
            }
        });
        shared.runtime.spawn_blocking(resume).map_err(|refused| refused.error)
    }

    /// Its checkpoints: register what is saved, take one, compare, restore. They are told of on the bus as
    /// `recovery.checkpoint.*`.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.shared.rollback.checkpoints
    }
}

impl Given {
    /// Registers everything; starts nothing.
    pub(super) fn build(
        self,
        runtime: &Arc<dyn Runtime>,
        store: &Store,
        bus: &Bus,
        kept: &Kept,
        seed: u64,
        kernel: &Later,
    ) -> Result<Rollback> {
        let log = kept.log();
        let (runtime, store) = (Arc::clone(runtime), store.clone());
        let observer = watch_sagas(bus, log, kernel);
        let sagas =
            Sagas::new(Arc::clone(&runtime), store.clone(), seed, self.saga_config, observer)?;
        self.sagas.into_iter().try_for_each(|saga| sagas.define(saga))?;
        let observer = watch_checkpoints(bus, log);
        let checkpoints = Checkpoints::new(runtime, store, self.checkpoint_config, observer)?;
        checkpoints.register(Arc::new(LogFilter(log.clone())))?;
        self.checkpointed.into_iter().try_for_each(|thing| checkpoints.register(thing))?;
        Ok(Rollback { sagas, checkpoints })
    }
}

impl Rollback {
    pub(super) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Interrupts the sagas: what runs has until `deadline` to be done.
    pub(super) fn stop(&self, deadline: Moment) {
        self.sagas.stop(deadline);
    }
}

impl Shared {
    /// Goes on with the sagas of earlier processes. What is wrong with one keeps neither the others nor the
    /// kernel from going on, and is in the log.
    pub(super) fn resume_sagas(&self) {
        let log = self.kept.log();
        match self.rollback.sagas.resume() {
            Ok(resumed) => {
                for saga in resumed.waiting {
                    let fields = [("saga", saga.id.to_string()), ("name", saga.name.to_string())];
                    let what = "an unfinished saga waits for its definition";
                    log.record(Level::Warn, "sutazai.recovery", what, fields);
                }
            }
            Err(error) => {
                let fields = [("error", format!("{error:#}"))];
                let what = "unfinished sagas could not be resumed";
                log.record(Level::Error, "sutazai.recovery", what, fields);
            }
        }
    }
}

/// Puts the news of sagas on the bus, and those that somebody has to look at in the log. One that is stuck
/// is critical: neither done nor undone.
fn watch_sagas(bus: &Bus, log: &Log, kernel: &Later) -> SagaObserver {
    let (publish, log, kernel) = (publish_sagas(bus), log.clone(), Arc::clone(kernel));
    Arc::new(move |news| {
        match news {
            SagaNews::Transition(transition) => {
                if let SagaEvent::Stuck { failure, .. } = transition.event {
                    let fields = [
                        ("saga", transition.saga.to_string()),
                        ("name", transition.name.to_owned()),
                        ("step", transition.step.unwrap_or_default().to_owned()),
                        ("error", failure.message.clone()),
                    ];
                    let error = Error::new(Code::SAGA_STUCK, "a saga is stuck")
                        .with("saga", transition.saga)
                        .with("name", transition.name);
                    log.record(Level::Error, "sutazai.recovery", "a saga is stuck", fields);
                    if let Some(shared) = kernel.get().and_then(Weak::upgrade) {
                        shared.heal.failed(&error);
                    }
                }
            }
            SagaNews::SetAside { saga, name, error } => {
                let fields = [
                    ("saga", saga.to_string()),
                    ("name", (*name).to_owned()),
                    ("error", format!("{error:#}")),
                ];
                let what = "a saga is set aside: its journal or its steps have no place";
                log.record(Level::Error, "sutazai.recovery", what, fields);
            }
        }
        publish(news);
    })
}

/// Puts the news of checkpoints on the bus, and a restore that failed in the log.
fn watch_checkpoints(bus: &Bus, log: &Log) -> CheckpointObserver {
    let (publish, log) = (publish_checkpoints(bus), log.clone());
    Arc::new(move |news| {
        if let CheckpointNews::RestoreFailed { checkpoint, error } = news {
            let fields = [("checkpoint", checkpoint.to_string()), ("error", format!("{error:#}"))];
            let what = "a checkpoint was not restored";
            log.record(Level::Error, "sutazai.recovery", what, fields);
        }
        publish(news);
    })
}

/// The filter of the kernel's log.
struct LogFilter(Log);

impl Checkpointed for LogFilter {
    fn name(&self) -> &str {
        "kernel.log"
    }

    fn save(&self) -> Result<Payload> {
        Ok(self.0.filter().into())
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        self.0.set_filter(&state.to::<String>()?)
    }
}
