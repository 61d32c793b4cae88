//! The kernel's self-healing: degradation, isolation, playbooks and the safe state, fed by its calls
//! and its bus, driven by one timer, and told of on the bus.
//!
//! | subject | what it says |
//! |---|---|
//! | `recovery.degrade.changed` | the level changed, and why |
//! | `recovery.isolate.suspect`, `.quarantined`, `.probing`, `.healthy` | a target's new state, with the evidence |
//! | `recovery.playbook.pending`, `.running`, `.done`, `.failed`, `.refused`, `.denied`, `.expired` | an entry of the record |
//! | `recovery.failsafe.triggered`, `.safe` | where the failsafe stands |

mod actions;
mod admit;
#[cfg(feature = "agent")]
mod around;
mod builder;
mod bundle;
mod handle;
mod policies;
mod stages;
mod tell;

pub use handle::Recovery;
pub use policies::{KeptPolicies, RecoveryPolicies};

pub(super) use builder::Plan;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::guards::Guards;
use super::shared::{Shared, Steps};
use crate::base::error::Fixed;
use crate::base::id::TimerId;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::event::CallbackGuard;
use crate::observe::Level;
use crate::recovery::{Degradation, Failsafe, FailsafePolicy, Isolation, Playbooks};
use crate::{Class, Code, Error, Result};

/// What the kernel keeps of its healing.
pub(super) struct Heal {
    pub(super) degradation: Arc<Degradation>,
    pub(super) isolation: Arc<Isolation>,
    pub(super) playbooks: Playbooks,
    pub(super) failsafe: Failsafe,
    /// Whether evidence of calls is fed to the isolation: somebody has given it a policy.
    pub(super) watches: Arc<AtomicBool>,
    /// Whether calls are refused: the safe state.
    shut: AtomicBool,
    /// Whether what was under way then has been answered.
    drained: AtomicBool,
    /// What there was to see when the safe state was taken.
    seen: Mutex<bundle::Seen>,
    /// Where the diagnosis bundle stands.
    bundle: Mutex<Option<PathBuf>>,
    /// The timer that is set, and for when.
    timer: Mutex<Option<(Moment, TimerId)>>,
    /// What listens for the playbooks; they are made anew with a policy.
    listeners: Mutex<Vec<CallbackGuard>>,
    /// Whether SIGTERM and panics are watched as the policy says: from the start on.
    watched: Mutex<bool>,
}

impl Heal {
    pub(super) fn new(plan: &Plan, runtime: &Arc<dyn Runtime>) -> Result<Self> {
        let playbooks = Playbooks::new(Arc::clone(runtime), plan.playbooks.clone())?;
        for action in &plan.actions {
            playbooks.register(Arc::clone(action))?;
        }
        Ok(Self {
            degradation: Arc::new(Degradation::new(plan.degradation.clone())?),
            isolation: Arc::new(Isolation::new(plan.isolation.clone().unwrap_or_default())?),
            playbooks,
            failsafe: Failsafe::new(plan.failsafe())?,
            watches: Arc::new(AtomicBool::new(plan.isolation.is_some())),
            shut: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            seen: Mutex::default(),
            bundle: Mutex::default(),
            timer: Mutex::default(),
            listeners: Mutex::default(),
            watched: Mutex::new(false),
        })
    }

    /// The steps of the guarded call, behind what healing has to say.
    pub(super) fn behind(&self, steps: Steps, guards: &Guards) -> Steps {
        #[cfg(not(feature = "agent"))]
        let _ = guards;
        Steps {
            guard: Arc::new(admit::Guarded::new(steps.guard, self)),
            #[cfg(feature = "agent")]
            router: steps
                .router
                .map(|router| Arc::new(around::Around::new(router, self, guards)) as _),
            ..steps
        }
    }

    /// Connects it with the kernel that it belongs to. Everything holds that weakly.
    pub(super) fn connect(shared: &Arc<Shared>, plan: Plan) -> Result<()> {
        actions::register(shared)?;
        for stage in plan.stages {
            shared.heal.failsafe.add(stage)?;
        }
        stages::add(shared)?;
        tell::connect(shared);
        shared.heal.listen(shared)
    }

    /// Does what a running kernel needs: hears of SIGTERM and panics, if the host has asked for that.
    pub(super) fn start(&self) -> Result<()> {
        let mut watched = self.watched.lock();
        *watched = true;
        self.watch()
    }

    /// Takes another failsafe policy; once started, what it says of SIGTERM and panics counts at once.
    fn set_failsafe_policy(&self, policy: FailsafePolicy) -> Result<()> {
        let watched = self.watched.lock();
        let (before, times) = (self.failsafe.policy(), stages::times(&policy));
        self.failsafe.set_policy(policy)?;
        for (stage, within) in times {
            self.failsafe.set_within(stage, within)?;
        }
        let after = self.failsafe.policy();
        if before.on_panic && !after.on_panic {
            self.failsafe.ignore_panics();
        }
        #[cfg(unix)]
        if before.on_sigterm && !after.on_sigterm {
            self.failsafe.ignore_sigterm();
        }
        if *watched { self.watch() } else { Ok(()) }
    }

    fn watch(&self) -> Result<()> {
        let policy = self.failsafe.policy();
        if policy.on_panic {
            self.failsafe.install_panic_hook();
        }
        if policy.on_sigterm {
            #[cfg(unix)]
            self.failsafe.watch_sigterm()?;
            #[cfg(not(unix))]
            return Err(Error::new(Code::UNSUPPORTED, "this system has no SIGTERM"));
        }
        Ok(())
    }

    /// The kernel has stopped.
    pub(super) fn stop(&self, runtime: &dyn Runtime) {
        let listeners = std::mem::take(&mut *self.listeners.lock());
        drop(listeners);
        let timer = self.timer.lock().take();
        if let Some((_, timer)) = timer {
            runtime.cancel(timer);
        }
    }

    /// Whether a new call is taken.
    #[inline]
    pub(super) fn admits(&self) -> Result<()> {
        static SAFE: Fixed = Fixed {
            code: Code::SAFE_STATE,
            message: "the kernel is in its safe state and takes no calls",
        };
        if self.shut.load(Ordering::Acquire) { Err(Error::from(&SAFE)) } else { Ok(()) }
    }

    /// Whether what was under way has been answered, and nothing may be any more.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }

    /// A call failed: a critical error may take the safe state.
    #[inline]
    pub(super) fn failed(&self, error: &Error) {
        if error.class() == Class::Critical {
            self.failsafe.observe(error);
        }
    }

    /// Listens for the events that the playbooks speak of.
    pub(super) fn listen(&self, shared: &Arc<Shared>) -> Result<()> {
        let patterns = self.playbooks.patterns();
        let mut listeners = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            // An event that several patterns match is heard of through the first of them.
            let earlier: Vec<_> = patterns.iter().take(index).cloned().collect();
            let weak = Arc::downgrade(shared);
            let listener = shared.bus.subscribe(pattern).deliver(move |delivery| {
                let subject = delivery.event.subject.as_str();
                if earlier.iter().any(|pattern| pattern.matches(subject)) {
                    return;
                }
                if let Some(shared) = weak.upgrade() {
                    shared.heal.playbooks.event(subject, &delivery.event.payload);
                    shared.arm();
                }
            })?;
            listeners.push(listener);
        }
        // Dropped without the lock: unsubscribing wakes.
        let before = std::mem::replace(&mut *self.listeners.lock(), listeners);
        drop(before);
        Ok(())
    }

    /// When something is due by the time alone.
    fn next_tick(&self) -> Option<Moment> {
        let due =
            [self.degradation.next_tick(), self.isolation.next_tick(), self.playbooks.next_tick()];
        due.into_iter().flatten().min()
    }
}

impl Shared {
    /// Says in the log which actions the playbooks name and nobody has registered.
    pub(super) fn warn_of_actions(&self) {
        let playbooks = &self.heal.playbooks;
        for unknown in playbooks.unknown(&playbooks.policy()) {
            let fields = [
                ("playbook", unknown.playbook.clone()),
                ("action", unknown.action.clone()),
                ("error", unknown.error().to_string()),
            ];
            let what = "a playbook names an action that nobody has registered";
            self.kept.log().record(Level::Warn, "sutazai.recovery", what, fields);
        }
    }

    /// Sets the timer for what is due next, if none is set for so soon.
    pub(super) fn arm(self: &Arc<Self>) {
        let Some(due) = self.heal.next_tick() else { return };
        let now = self.runtime.now();
        // One whose moment has passed may have fired before it was noted here.
        if self.heal.timer.lock().is_some_and(|(at, _)| now < at && at <= due) {
            return;
        }
        let weak = Arc::downgrade(self);
        let id = self.runtime.spawn_at(due, Box::new(move || fire(&weak, due)));
        let before = self.heal.timer.lock().replace((due, id));
        if let Some((_, stale)) = before {
            self.runtime.cancel(stale);
        }
    }
}

fn fire(shared: &Weak<Shared>, due: Moment) {
    let Some(shared) = shared.upgrade() else { return };
    {
        let mut timer = shared.heal.timer.lock();
        if timer.is_some_and(|(at, _)| at == due) {
            *timer = None;
        }
    }
    let now = shared.runtime.now();
    shared.heal.degradation.tick(now);
    shared.heal.isolation.tick(now);
    shared.heal.playbooks.tick();
    shared.arm();
}
