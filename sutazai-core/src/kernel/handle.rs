//! The handle on a kernel: start, call, ask, stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
#[cfg(feature = "agent")]
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::builder::Builder;
use super::clock::Clock;
use super::inject::{Injector, Provided};
use super::lifecycle::Lifecycle;
use super::limits::Limits;
use super::load::Load;
use super::owner::{DROP_GRACE, Owner};
use super::record::Kept;
use super::shared::{Phase, Shared, Steps};
use super::status::KernelStatus;
use super::steps::DeadlineOnly;
#[cfg(not(feature = "security"))]
use super::steps::{AllowAll, Local};
#[cfg(feature = "agent")]
use crate::agent::route::AdaptiveRouter;
use crate::base::id::IdSource;
use crate::base::runtime::Runtime;
use crate::event::Bus;
use crate::observe::{Log, Registry, SpanRecorder};
use crate::store::{DataDir, Store};
use crate::{Code, Error, Result};

/// A running program's operations kernel. Cheap to clone; clones are the same kernel, which stops
/// when the last one is dropped, if [`stop`](Self::stop) was not called before.
#[derive(Clone)]
pub struct Kernel {
    pub(super) shared: Arc<Shared>,
    owner: Arc<Owner>,
}

impl Kernel {
    /// A builder with everything as by default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn build(builder: Builder) -> Result<Self> {
        let owns_runtime = builder.runtime.is_none();
        let limits = builder.limits;
        let runtime = builder.runtime.unwrap_or_else(|| limits.threads());
        let injector = builder.container.seal()?;
        let data_dir = builder.data_dir.map(DataDir::open).transpose()?;
        let mut migrations = super::migrations();
        migrations.extend(builder.migrations);
        let store = match &data_dir {
            Some(dir) => Store::open(dir, &migrations)?,
            None => Store::memory(&migrations)?,
        };
        let bus = Bus::new(Arc::clone(&runtime));
        let seed = builder.seed.unwrap_or_else(super::builder::fresh_seed);
        let ids = Arc::new(IdSource::new(seed));
        #[cfg(feature = "recovery")]
        let judge = super::judge::Judge::new(builder.classification)?;
        #[cfg(feature = "recovery")]
        let guards = {
            let bus = bus.clone();
            let classifier = Arc::clone(judge.classifier());
            let guards = super::guards::Guards::new(Arc::clone(&runtime), bus, classifier, seed);
            for (calls, policy) in builder.guards {
                super::guards::check(&calls, &policy)?;
                guards.set(calls, Some(policy))?;
            }
            guards
        };
        #[cfg(feature = "recovery")]
        let heal = super::heal::Heal::new(&builder.heal, &runtime)?;
        let kept = Kept::new(&limits, &runtime, &ids, data_dir.as_ref(), &builder.log)?;
        #[cfg(feature = "agent")]
        let discovery = super::discovery::Discovery::new(seed, kept.metrics())?;
        #[cfg(feature = "agent")]
        let adaptive = match &builder.router {
            Some(_) => None,
            None => {
                let policy = builder.route_policy.unwrap_or_default();
                Some(Arc::new(AdaptiveRouter::new(policy, seed)?))
            }
        };
        #[cfg(feature = "security")]
        let secured = super::security::Secured::new(builder.security, builder.auth_providers)?;
        #[cfg(feature = "security")]
        let (own_authenticator, own_policy) = (secured.authenticator(), secured.policy());
        #[cfg(not(feature = "security"))]
        let (own_authenticator, own_policy) = (Local::new(), AllowAll);
        #[cfg(feature = "monitor")]
        let monitoring = super::monitoring::Monitoring::new(
            builder.watch,
            builder.sample_every,
            builder.monitors,
        )?;
        let steps = Steps {
            authenticator: builder.authenticator.unwrap_or_else(|| Arc::new(own_authenticator)),
            policy: builder.policy.unwrap_or_else(|| Arc::new(own_policy)),
            #[cfg(feature = "agent")]
            router: builder.router.or_else(|| adaptive.clone().map(|router| router as _)),
            #[cfg(not(feature = "agent"))]
            router: builder.router,
            guard: builder.guard.unwrap_or_else(|| Arc::new(DeadlineOnly::new(limits.timeout))),
            recorders: builder.recorders,
        };
        #[cfg(feature = "recovery")]
        let steps = heal.behind(steps, &guards);
        #[cfg(feature = "recovery")]
        let trees = super::trees::Trees::new(&runtime, &bus, kept.log(), seed);
        #[cfg(feature = "recovery")]
        let later = super::rollback::Later::default();
        #[cfg(feature = "recovery")]
        let rollback = builder.rollback.build(&runtime, &store, &bus, &kept, seed, &later)?;
        let shared = Arc::new(Shared {
            phase: AtomicU8::new(Phase::Built as u8),
            clock: Clock::new(&*runtime),
            ids,
            lifecycle: Lifecycle::new(
                Arc::clone(&runtime),
                super::record::announcer(&bus, kept.log()),
            ),
            load: Load::new(limits.calls),
            #[cfg(feature = "agent")]
            side_by_side: AtomicUsize::new(super::batch::SIDE_BY_SIDE),
            #[cfg(feature = "recovery")]
            heal,
            steps,
            #[cfg(feature = "security")]
            secured,
            #[cfg(feature = "monitor")]
            monitoring,
            #[cfg(feature = "tune")]
            tuning: super::tuning::Tuning::new(builder.tuning),
            #[cfg(feature = "recovery")]
            rollback,
            #[cfg(feature = "agent")]
            tracing: Arc::new(super::tracing::Tracing::new(limits.spans)),
            limits,
            runtime,
            bus,
            store,
            data_dir,
            kept,
            #[cfg(feature = "recovery")]
            guards,
            #[cfg(feature = "recovery")]
            judge,
            #[cfg(feature = "recovery")]
            trees,
            #[cfg(feature = "agent")]
            agents: Default::default(),
            #[cfg(feature = "agent")]
            discovery,
            #[cfg(feature = "agent")]
            creation: super::creation::Creation::new(builder.creation)?,
            #[cfg(feature = "agent")]
            in_flight: super::inflight::InFlight::new(),
            #[cfg(feature = "agent")]
            liveness: Default::default(),
            #[cfg(feature = "agent")]
            approvals: Default::default(),
            #[cfg(all(feature = "agent", feature = "recovery"))]
            allowances: Default::default(),
            #[cfg(feature = "agent")]
            once: Default::default(),
            #[cfg(feature = "agent")]
            answered: Default::default(),
            #[cfg(feature = "agent")]
            adaptive,
            #[cfg(all(feature = "recovery", feature = "agent"))]
            supervised: Default::default(),
            #[cfg(all(feature = "recovery", feature = "agent"))]
            queues: Default::default(),
        });
        super::record::register(&shared)?;
        #[cfg(feature = "recovery")]
        let _ = later.set(Arc::downgrade(&shared));
        #[cfg(feature = "recovery")]
        super::heal::Heal::connect(&shared, builder.heal)?;
        #[cfg(feature = "recovery")]
        {
            super::checkpointed::register(&shared)?;
            builder.trees.into_iter().try_for_each(|(name, spec)| shared.supervise(&name, spec))?;
        }
        for component in builder.components {
            shared.lifecycle.add(component)?;
        }
        shared.lifecycle.check()?;
        #[cfg(feature = "agent")]
        for agent in builder.agents {
            shared.agents.add(agent)?;
        }
        #[cfg(feature = "agent")]
        builder.sources.into_iter().try_for_each(|planned| shared.plan(planned))?;
        let owner = Arc::new(Owner {
            shared: Arc::clone(&shared),
            injector,
            provided: Provided::new(),
            owns_runtime,
            in_place: false,
        });
        Ok(Self { shared, owner })
    }

    /// Starts the runtime, the store, the components in order of their needs, and the agents. Blocks
    /// until all are ready. Calling it on a running kernel does nothing.
    ///
    /// # Errors
    /// What failed to start, named; what had started is stopped again, and so is the kernel: build
    /// another to try again. [`Code::NOT_RUNNING`] when the kernel has been stopped. What is wrong
    /// with the graph of [`provided`](Self::provided) (`kernel.inject_*`): then nothing has started,
    /// and the start may be tried again.
    pub fn start(&self) -> Result<()> {
        let shared = &self.shared;
        if shared.phase() == Phase::Built {
            self.owner.provided.seal()?;
        }
        if !shared.move_phase(Phase::Built, Phase::Starting) {
            return match shared.phase() {
                Phase::Running => Ok(()),
                phase => Err(Error::new(Code::NOT_RUNNING, "the kernel cannot be started now")
                    .operation("kernel.start")
                    .with("phase", format!("{phase:?}").to_lowercase())
                    .advice("a kernel starts once; build another")),
            };
        }
        match self.start_all() {
            Ok(()) => {
                shared.set_phase(Phase::Running);
                shared.started();
                shared.publish("kernel.started", serde_json::Value::Null);
                #[cfg(feature = "agent")]
                shared.agents_begin();
                #[cfg(feature = "tune")]
                shared.start_tuning();
                #[cfg(feature = "recovery")]
                {
                    shared.warn_of_actions();
                    shared.resume_sagas();
                }
                Ok(())
            }
            Err(error) => {
                let _ = self.owner.end(DROP_GRACE);
                Err(error)
            }
        }
    }

    fn start_all(&self) -> Result<()> {
        let shared = &self.shared;
        shared.runtime.start()?;
        shared.store.start()?;
        shared.kept.start()?;
        shared.clock.measure(&*shared.runtime);
        #[cfg(feature = "security")]
        shared.secured.start(&shared.store, shared.data_dir.as_ref(), &shared.runtime)?;
        #[cfg(feature = "monitor")]
        shared.start_monitoring()?;
        #[cfg(feature = "recovery")]
        shared.heal.start()?;
        shared.lifecycle.start()?;
        #[cfg(feature = "agent")]
        shared.recall_routes();
        #[cfg(feature = "agent")]
        shared.start_agents()?;
        #[cfg(all(feature = "recovery", feature = "agent"))]
        shared.start_pending()?;
        Ok(())
    }

    /// Stops: takes no more calls, lets those under way finish within `grace`, answers the rest with
    /// [`Code::CANCELLED`], stops agents and components in reverse order, writes what is to be
    /// written, and ends the kernel's threads. Blocks for at most about twice `grace`.
    ///
    /// Calling it again, while another thread is in it, returns at once and leaves the calls under
    /// way no longer than the new `grace`: zero ends the waiting. On a stopped kernel it does nothing.
    ///
    /// # Errors
    /// [`Code::WOULD_DEADLOCK`], and nothing is stopped, on the thread of a child of one of its trees;
    /// [`Code::COMPONENT_STOP`] when a component did not stop in time, or failed to;
    /// [`Code::STORE_HANGS`], after `grace` or 5 s, when a write of the store does not return: the
    /// data directory stays locked until it does. Everything else is stopped all the same.
    pub fn stop(&self, grace: Duration) -> Result<()> {
        self.may_stop_here()?;
        self.owner.stop(grace)
    }

    /// Whether this thread may wait for its stop.
    ///
    /// # Errors
    /// [`Code::WOULD_DEADLOCK`] while it runs, on the thread of a child of one of its trees: the stop would
    /// wait for the child, and the child for the stop.
    pub fn may_stop_here(&self) -> Result<()> {
        #[cfg(feature = "recovery")]
        if self.phase() == Phase::Running {
            return self.shared.trees.may_stop_here();
        }
        Ok(())
    }

    /// Does what dropping the last handle does: stops the kernel, if it runs, with two seconds of
    /// grace (on a thread made for that, where this one drives futures), and lets go of what was
    /// provided. For hosts that give out one handle: an operation that has just answered may hold
    /// another for a moment.
    pub fn close(&self) {
        self.owner.close();
    }

    /// Where the kernel is in its life.
    pub fn phase(&self) -> Phase {
        self.shared.phase()
    }

    /// What the kernel is doing.
    pub fn status(&self) -> KernelStatus {
        self.shared.status()
    }

    /// Where state is kept; `None` when it is in memory.
    pub fn data_dir(&self) -> Option<&Path> {
        self.shared.data_dir.as_ref().map(DataDir::path)
    }

    /// What it runs on.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.shared.runtime
    }

    /// Moves the clock of a kernel in virtual time on, running what falls due on the way; says how
    /// many pieces of work ran.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED`] when its runtime follows the real time.
    pub fn advance(&self, duration: Duration) -> Result<usize> {
        match self.shared.runtime.virtual_time() {
            Some(manual) => Ok(manual.advance(duration)),
            None => {
                Err(Error::new(Code::UNSUPPORTED, "the kernel's runtime follows the real time")
                    .operation("kernel.advance")
                    .with("runtime", self.shared.runtime.name())
                    .advice("build the kernel on the runtime Manual"))
            }
        }
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Its bus. The kernel's own events have the subjects `kernel.*`, `component.*`, `agent.*`,
    /// `call.failed` and, with feature `recovery`, `recovery.>`.
    pub fn bus(&self) -> &Bus {
        &self.shared.bus
    }

    /// Its database.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        self.shared.kept.log()
    }

    /// Its metrics, with which every room and host registers its figures.
    pub fn metrics(&self) -> &Registry {
        self.shared.kept.metrics()
    }

    /// Its recent spans: one a guarded call.
    pub fn spans(&self) -> &SpanRecorder {
        self.shared.kept.spans()
    }

    /// What the container provides.
    pub fn injector(&self) -> &Injector {
        &self.owner.injector
    }

    /// What the host provides by name, until [`start`](Self::start); let go of by
    /// [`stop`](Self::stop). A graph of its own beside [`injector`](Self::injector).
    pub fn provided(&self) -> &Provided {
        &self.owner.provided
    }

    /// Its components: add to a running kernel, ask for states, remove.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.shared.lifecycle
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("phase", &self.phase())
            .field("data_dir", &self.data_dir())
            .finish_non_exhaustive()
    }
}
