//! The handle on a kernel: start, call, ask, stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use super::builder::Builder;
use super::clock::Clock;
use super::inject::{Injector, Provided};
use super::lifecycle::Lifecycle;
use super::limits::Limits;
use super::load::Load;
use super::record::Kept;
use super::shared::{Phase, Shared, Steps};
use super::status::KernelStatus;
use super::steps::{AllowAll, DeadlineOnly, Local};
#[cfg(feature = "agent")]
use crate::agent::route::AdaptiveRouter;
use crate::base::id::IdSource;
use crate::base::runtime::{Runtime, block, may_block_here};
use crate::event::Bus;
use crate::observe::{Level, Log, Registry, SpanRecorder};
use crate::store::{DataDir, Store};
use crate::{Code, Error, Result};

/// A running program's operations kernel. Cheap to clone; clones are the same kernel, which stops
/// when the last one is dropped, if [`stop`](Self::stop) was not called before.
#[derive(Clone)]
pub struct Kernel {
    pub(super) shared: Arc<Shared>,
    owner: Arc<Owner>,
}

/// Stops the kernel when the last handle goes. Calls and callbacks hold [`Shared`] only.
struct Owner {
    shared: Arc<Shared>,
    injector: Injector,
    provided: Provided,
    owns_runtime: bool,
    /// Whether it is to stop where it is dropped, whatever the thread.
    in_place: bool,
}

/// What a stop gives each thing at least.
const LEAST_GRACE: Duration = Duration::from_millis(100);

/// What a stop gives the store at least: a disk may take seconds to write what is queued and to fold
/// in the log, and only what hangs takes longer.
const STORE_GRACE: Duration = Duration::from_secs(5);

/// How long a kernel whose last handle was dropped gives what it runs.
const DROP_GRACE: Duration = Duration::from_secs(2);

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
                guards.set(calls, Some(policy))?;
            }
            guards
        };
        #[cfg(feature = "recovery")]
        let heal = super::heal::Heal::new(&builder.heal, &runtime)?;
        let kept = Kept::new(&limits, &runtime, &ids, data_dir.as_ref(), &builder.log)?;
        #[cfg(feature = "agent")]
        let adaptive = match &builder.router {
            Some(_) => None,
            None => {
                let policy = builder.route_policy.unwrap_or_else(super::allocation::least_loaded);
                Some(Arc::new(AdaptiveRouter::new(policy, seed)?))
            }
        };
        let steps = Steps {
            authenticator: builder.authenticator.unwrap_or_else(|| Arc::new(Local::new())),
            policy: builder.policy.unwrap_or_else(|| Arc::new(AllowAll)),
            #[cfg(feature = "agent")]
            router: builder.router.or_else(|| adaptive.clone().map(|router| router as _)),
            #[cfg(not(feature = "agent"))]
            router: builder.router,
            guard: builder.guard.unwrap_or_else(|| Arc::new(DeadlineOnly::new(limits.timeout))),
            recorders: builder.recorders,
        };
        #[cfg(feature = "recovery")]
        let steps = heal.behind(steps);
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
            #[cfg(feature = "recovery")]
            heal,
            steps,
            #[cfg(feature = "recovery")]
            rollback,
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
            in_flight: super::inflight::InFlight::new(),
            #[cfg(feature = "agent")]
            liveness: Default::default(),
            #[cfg(feature = "agent")]
            once: Default::default(),
            #[cfg(feature = "agent")]
            answered: Default::default(),
            #[cfg(feature = "agent")]
            adaptive,
            #[cfg(all(feature = "recovery", feature = "agent"))]
            supervised: Default::default(),
            #[cfg(all(feature = "recovery", feature = "agent"))]
            factories: Default::default(),
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
                shared.publish("kernel.started", serde_json::Value::Null);
                // Agents that came after the others had been started.
                #[cfg(feature = "agent")]
                if let Err(error) = shared.start_agents() {
                    let fields = [("error", format!("{error:#}"))];
                    let log = self.log();
                    log.record(Level::Error, "sutazai.agent", "an agent did not start", fields);
                }
                #[cfg(feature = "agent")]
                shared.keep_ledgers();
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
        #[cfg(feature = "recovery")]
        shared.heal.start()?;
        shared.lifecycle.start()?;
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

impl Owner {
    fn stop(&self, grace: Duration) -> Result<()> {
        let shared = &self.shared;
        if shared.move_phase(Phase::Built, Phase::Stopped) {
            return self.close_store(grace);
        }
        if !shared.move_phase(Phase::Running, Phase::Draining) {
            return match shared.phase() {
                Phase::Starting => {
                    Err(Error::new(Code::NOT_RUNNING, "the kernel is being started; stop it then")
                        .operation("kernel.stop"))
                }
                Phase::Draining => {
                    shared.load.hurry(grace);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        shared.publish("kernel.draining", serde_json::Value::Null);
        #[cfg(feature = "recovery")]
        let drained = shared.runtime.now() + grace;
        // No further step of a saga; those that are in a call are done with it or interrupted.
        #[cfg(feature = "recovery")]
        shared.rollback.stop(shared.runtime.now());
        let left = shared.load.awaited();
        if left > 0 {
            let fields = [("calls", left.to_string()), ("grace", format!("{grace:?}"))];
            let message = "stopping: waits for the calls under way";
            self.shared.kept.log().record(Level::Info, "sutazai.kernel", message, fields);
        }
        if shared.runtime.may_block() {
            // On a worker of the pool its slot is lent out: the calls may need it.
            let _ = block(|| shared.load.wait_idle(grace));
        }
        let end = shared.load.hurried().map_or(grace, |hurried| hurried.min(grace));
        #[cfg(feature = "recovery")]
        shared.rollback.stop(drained.min(shared.runtime.now() + end));
        self.end(end)
    }

    /// Ends what has started, in reverse order.
    fn end(&self, grace: Duration) -> Result<()> {
        let shared = &self.shared;
        let deadline = shared.runtime.now() + grace.max(LEAST_GRACE);
        #[cfg(feature = "agent")]
        {
            shared.cancel_all();
            shared.liveness.stop(&*shared.runtime);
            shared.stop_agents(deadline);
        }
        let stopped = shared.lifecycle.stop(deadline);
        shared.set_phase(Phase::Stopped);
        // Those that came in between; from here on a call sees the phase.
        #[cfg(feature = "agent")]
        shared.cancel_all();
        shared.publish("kernel.stopped", serde_json::Value::Null);
        #[cfg(feature = "recovery")]
        shared.heal.stop(&*shared.runtime);
        shared.kept.stop();
        let left = || deadline.since(shared.runtime.now());
        let closed = self.close_store(left());
        if self.owns_runtime {
            shared.runtime.stop(left().max(LEAST_GRACE));
        }
        let failures = [stopped, closed].into_iter().filter_map(Result::err);
        let problems = failures.flat_map(|error| error.problems().to_vec()).collect();
        Error::join(problems).map_or(Ok(()), Err)
    }

    /// Closes the store, after which the data directory is free for another kernel, whoever still
    /// holds a handle on this one; and what the host provided goes, now that nothing runs that may use
    /// it. A store that hangs frees the directory itself.
    fn close_store(&self, grace: Duration) -> Result<()> {
        let closed = self.shared.store.close(grace.max(STORE_GRACE));
        self.provided.close();
        closed?;
        if let Some(dir) = &self.shared.data_dir {
            dir.release();
        }
        Ok(())
    }
}

impl Owner {
    /// Stops, if it runs, with two seconds of grace.
    fn close(&self) {
        if self.shared.phase() != Phase::Running {
            // A scope may hold on to what was provided to a kernel that never started.
            self.provided.close();
            return;
        }
        // Where the runtime may not be waited for (virtual time, a host's only thread) stopping waits
        // for nothing; on a thread that drives futures, and on a child's, it goes to one of our own.
        #[cfg(feature = "recovery")]
        let child = self.shared.trees.may_stop_here().is_err();
        #[cfg(not(feature = "recovery"))]
        let child = false;
        if self.in_place || (may_block_here() && !child) {
            let _ = self.stop(DROP_GRACE);
            return;
        }
        let owner = Self {
            shared: Arc::clone(&self.shared),
            injector: self.injector.clone(),
            provided: self.provided.clone(),
            owns_runtime: self.owns_runtime,
            in_place: true,
        };
        // Without the thread the closure is dropped here, and the owner in it stops in place.
        let _ = std::thread::Builder::new().name("sutazai-stop".to_owned()).spawn(move || {
            drop(owner);
        });
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
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
