//! What a kernel's handles, calls and callbacks share. It owns no thread and stops nothing: that is
//! the [`Owner`](super::handle::Owner)'s.

use std::sync::Arc;
#[cfg(feature = "agent")]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicU8, Ordering};

use super::clock::Clock;
#[cfg(feature = "agent")]
use super::inflight::InFlight;
use super::lifecycle::Lifecycle;
use super::limits::Limits;
use super::load::Load;
use super::record::Kept;
#[cfg(feature = "agent")]
use crate::agent::Registry;
use crate::base::id::IdSource;
use crate::base::runtime::Runtime;
use crate::event::Bus;
use crate::observe::Level;
use crate::port::{Authenticator, CallRecord, Guard, Policy, Recorder, Router};
use crate::store::{DataDir, Store};

/// Where a kernel is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Built; no thread runs.
    Built,
    /// Its components are being started.
    Starting,
    /// It takes calls.
    Running,
    /// It finishes what it has and takes no more.
    Draining,
    /// It has stopped, for good.
    Stopped,
}

const PHASES: [Phase; 5] =
    [Phase::Built, Phase::Starting, Phase::Running, Phase::Draining, Phase::Stopped];

pub(crate) struct Shared {
    pub(super) phase: AtomicU8,
    pub(super) limits: Limits,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    pub(super) ids: Arc<IdSource>,
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) data_dir: Option<DataDir>,
    pub(super) kept: Kept,
    #[cfg(feature = "recovery")]
    pub(super) guards: super::guards::Guards,
    #[cfg(feature = "recovery")]
    pub(super) judge: super::judge::Judge,
    #[cfg(feature = "recovery")]
    pub(super) trees: super::trees::Trees,
    pub(super) steps: Steps,
    #[cfg(feature = "security")]
    pub(super) secured: super::security::Secured,
    #[cfg(feature = "monitor")]
    pub(super) monitoring: super::monitoring::Monitoring,
    #[cfg(feature = "tune")]
    pub(super) tuning: super::tuning::Tuning,
    pub(super) lifecycle: Lifecycle,
    pub(super) load: Arc<Load>,
    /// Calls of a batch that are made at a time, where nobody says how many.
    #[cfg(feature = "agent")]
    pub(super) side_by_side: AtomicUsize,
    #[cfg(feature = "recovery")]
    pub(super) heal: super::heal::Heal,
    #[cfg(feature = "recovery")]
    pub(super) rollback: super::rollback::Rollback,
    #[cfg(feature = "agent")]
    pub(super) agents: Registry,
    #[cfg(feature = "agent")]
    pub(super) discovery: super::discovery::Discovery,
    #[cfg(feature = "agent")]
    pub(super) creation: super::creation::Creation,
    #[cfg(feature = "agent")]
    pub(super) tracing: Arc<super::tracing::Tracing>,
    #[cfg(feature = "agent")]
    pub(super) in_flight: InFlight,
    #[cfg(feature = "agent")]
    pub(super) liveness: super::liveness::Liveness,
    #[cfg(feature = "agent")]
    pub(super) approvals: super::approval::Approvals,
    #[cfg(all(feature = "agent", feature = "recovery"))]
    pub(super) allowances: super::allowance::Allowances,
    #[cfg(feature = "agent")]
    pub(super) once: super::once::Once,
    #[cfg(feature = "agent")]
    pub(super) answered: super::allocation::Answered,
    /// The kernel's own router, unless the host has replaced it.
    #[cfg(feature = "agent")]
    pub(super) adaptive: Option<Arc<crate::agent::route::AdaptiveRouter>>,
    #[cfg(all(feature = "recovery", feature = "agent"))]
    pub(super) supervised: super::supervised::Supervised,
    #[cfg(all(feature = "recovery", feature = "agent"))]
    pub(super) queues: Arc<super::pursue::Queues>,
}

/// The steps of the guarded call that a host can replace.
pub(super) struct Steps {
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) policy: Arc<dyn Policy>,
    /// None without the room that has one.
    pub(super) router: Option<Arc<dyn Router>>,
    pub(super) guard: Arc<dyn Guard>,
    pub(super) recorders: Vec<Arc<dyn Recorder>>,
}

impl Shared {
    #[inline]
    pub(super) fn phase(&self) -> Phase {
        let phase = usize::from(self.phase.load(Ordering::Acquire));
        PHASES.get(phase).copied().unwrap_or(Phase::Stopped)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Moves from one phase to another, unless it is in a third.
    pub(super) fn move_phase(&self, from: Phase, to: Phase) -> bool {
        self.phase
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The record step: the kernel's own books, then the host's recorders.
    #[inline]
    pub(super) fn record(&self, call: &CallRecord<'_>) {
        self.kept.record(call);
        #[cfg(feature = "security")]
        self.audit_call(call);
        for recorder in &self.steps.recorders {
            self.guarded("recorder", || recorder.record(call));
        }
        if let Some(error) = call.failure {
            #[cfg(feature = "recovery")]
            self.heal.failed(error);
            self.announce_failure(call, error);
        }
    }

    /// Runs a step of the host's that must not keep a call from its answer: a panic is logged.
    #[inline]
    pub(super) fn guarded(&self, step: &'static str, f: impl FnOnce()) {
        if let Err(error) = super::caught(|| {
            f();
            Ok(())
        }) {
            let fields = [("step", step.to_owned()), ("error", error.to_string())];
            self.kept.log().record(Level::Error, "sutazai.call", "a step panicked", fields);
        }
    }

    #[cold]
    fn announce_failure(&self, call: &CallRecord<'_>, error: &crate::Error) {
        let agent = call.agent.map(|card| &*card.name);
        let event = serde_json::json!({
            "call": call.call,
            "skill": &**call.skill,
            "agent": agent,
            "code": error.code().name(),
            "class": error.class(),
            "message": error.to_string(),
        });
        self.publish("call.failed", event);
    }

    /// Publishes an event of the kernel's own.
    pub(super) fn publish(&self, subject: &'static str, event: serde_json::Value) {
        // The subjects are constants of this crate; a test publishes them all.
        let _ = self.bus.publish(subject, event);
    }
}

#[cfg(feature = "agent")]
impl Shared {
    /// Enters a call that was not answered at once, and sets the timer when it has to be.
    pub(super) fn enter(
        self: &Arc<Self>,
        id: crate::base::id::CallId,
        deadline: crate::base::time::Moment,
        settler: crate::base::ticket::Settler<crate::port::Outcome>,
        now: crate::base::time::Moment,
        what: super::inflight::What,
    ) {
        if let Some(at) = self.in_flight.enter(id, deadline, settler, now, what) {
            self.sweep_at(at);
        }
    }

    fn sweep_at(self: &Arc<Self>, at: crate::base::time::Moment) {
        let weak = Arc::downgrade(self);
        let job = Box::new(move || {
            if let Some(shared) = weak.upgrade()
                && shared.in_flight.fires(at)
            {
                shared.sweep();
            }
        });
        let timer = self.runtime.spawn_at(at, job);
        if let Some(stale) = self.in_flight.armed(at, timer) {
            self.runtime.cancel(stale);
        }
    }

    fn sweep(self: &Arc<Self>) {
        self.clock.measure(&*self.runtime);
        let (due, next) = self.in_flight.sweep(self.runtime.now());
        if let Some(at) = next {
            self.sweep_at(at);
        }
        for due in due {
            let error = due.error().operation("kernel.call").with("call", due.id);
            due.settler.settle(Err(error));
        }
    }
}
