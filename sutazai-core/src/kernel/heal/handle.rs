//! The handle on a kernel's healing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::Change;
use super::super::handle::Kernel;
use super::super::shared::{Phase, Shared};
use super::stages;
use crate::base::time::Moment;
use crate::port::{FailsafeStage, PlaybookAction};
use crate::recovery::{
    Degradation, DegradePolicy, DegradeStatus, Evidence, Failsafe, FailsafePolicy, FailsafeStatus,
    FeatureMode, IsolatePolicy, Isolation, PlaybookPolicy, Playbooks, TargetStatus, Trigger,
    UnknownAction,
};
use crate::{Error, Result};

/// A kernel's healing: degradation, isolation, playbooks, the safe state. Cheap to clone; it does not
/// keep the kernel running.
///
/// ```
/// use sutazai_core::kernel::Kernel;
/// use sutazai_core::recovery::{DegradePolicy, FeatureMode};
///
/// let policy: DegradePolicy = serde_json::from_str(r#"{
///     "rules": [{"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.7}],
///     "features": {"previews": {"reduced": "off"}}
/// }"#).unwrap();
/// let kernel = Kernel::builder().degradation(policy).build()?;
/// let recovery = kernel.recovery();
/// assert_eq!(recovery.check("previews")?, FeatureMode::On);
/// recovery.signal("load", 0.93)?;
/// assert!(recovery.check("previews").is_err());
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Recovery {
    shared: Arc<Shared>,
}

impl Kernel {
    /// Its healing. Keep the handle where it is asked often.
    pub fn recovery(&self) -> Recovery {
        Recovery { shared: Arc::clone(&self.shared) }
    }
}

impl Recovery {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Feeds a signal to whoever listens, degradation rules and playbooks; says whether any does.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a value that is not a number.
    pub fn signal(&self, name: &str, value: f64) -> Result<bool> {
        let heal = &self.shared.heal;
        let degrades = heal.degradation.signal(name, value, self.now())?;
        let plays = heal.playbooks.signal(name, value)?;
        self.shared.arm();
        Ok(degrades || plays)
    }

    /// What a feature does at the present level; one atomic load while all are on.
    ///
    /// # Errors
    /// [`Code::DEGRADED`](crate::Code::DEGRADED) when it is off.
    #[inline]
    pub fn check(&self, feature: &str) -> Result<FeatureMode> {
        self.shared.heal.degradation.check(feature)
    }

    /// Where degradation stands.
    pub fn level(&self) -> DegradeStatus {
        self.shared.heal.degradation.status(self.now())
    }

    /// Puts the kernel at a level by hand, or gives it back to the rules; `by` says who.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) for a level that there is not.
    pub fn force_level(&self, level: Option<&str>, by: &str) -> Result<()> {
        let change = Change::forced("recovery.degrade_force", level.unwrap_or("-")).by(by);
        let force = || self.shared.heal.degradation.force(level, by, self.now());
        let forced = self.shared.changes(change, force);
        self.shared.arm();
        forced
    }

    /// Takes another degradation policy.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID); the old one stays.
    pub fn set_degrade_policy(&self, policy: DegradePolicy) -> Result<()> {
        let change = Change::configuration("recovery.degrade_set_policy", "degradation");
        let set = || self.shared.heal.degradation.set_policy(policy, self.now());
        self.shared.changes(change, set)?;
        self.shared.arm();
        Ok(())
    }

    /// The degradation itself. What is fed to it directly is not followed by the kernel's timer.
    pub fn degradation(&self) -> &Degradation {
        &self.shared.heal.degradation
    }

    /// Feeds evidence about a target in, beside that of the agents' calls.
    ///
    /// # Errors
    /// What [`Isolation::observe`] says.
    pub fn observe(&self, target: &str, evidence: Evidence) -> Result<()> {
        let observed = self.shared.heal.isolation.observe(target, evidence, self.now());
        self.shared.arm();
        observed
    }

    /// Sets a target apart by hand, for so long or until it is released; `by` says who.
    ///
    /// # Errors
    /// What [`Isolation::quarantine`] says.
    pub fn quarantine(&self, target: &str, length: Option<Duration>, by: &str) -> Result<()> {
        let change = Change::forced("recovery.isolate_quarantine", target).by(by);
        let quarantine = || self.shared.heal.isolation.quarantine(target, length, by, self.now());
        self.shared.changes(change, quarantine)
    }

    /// Lets a target in by hand; `by` says who.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) for one that nothing is known of.
    pub fn release(&self, target: &str, by: &str) -> Result<()> {
        let change = Change::forced("recovery.isolate_release", target).by(by);
        let release = || self.shared.heal.isolation.release(target, by, self.now());
        self.shared.changes(change, release)
    }

    /// The targets that something is known of, sorted by name.
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.shared.heal.isolation.list(self.now())
    }

    /// Takes another isolation policy; from here on the agents' calls are evidence.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID); the old one stays.
    pub fn set_isolate_policy(&self, policy: IsolatePolicy) -> Result<()> {
        let heal = &self.shared.heal;
        let change = Change::configuration("recovery.isolate_set_policy", "isolation");
        self.shared.changes(change, || heal.isolation.set_policy(policy))?;
        heal.watches.store(true, Ordering::Relaxed);
        self.shared.arm();
        Ok(())
    }

    /// The isolation itself.
    pub fn isolation(&self) -> &Isolation {
        &self.shared.heal.isolation
    }

    /// The playbooks: what they are, what they did, approving and denying.
    pub fn playbooks(&self) -> &Playbooks {
        &self.shared.heal.playbooks
    }

    /// Takes other playbooks, and listens for their events. In a kernel that runs, an action that is not
    /// registered and is nearly the name of one is refused as misspelt; any other may still come, and is a
    /// warning in the log. One that is built looks when it starts, and only warns.
    ///
    /// # Errors
    /// What [`PlaybookPolicy::check`] says; [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) for each action that
    /// is misspelt. The old ones stay.
    pub fn set_playbooks(&self, policy: PlaybookPolicy) -> Result<()> {
        let heal = &self.shared.heal;
        let running = self.shared.phase() == Phase::Running;
        if running {
            policy.check()?;
            let unknown = heal.playbooks.unknown(&policy);
            let misspelt = unknown.iter().filter(|action| action.meant.is_some());
            if let Some(error) = Error::join(misspelt.map(UnknownAction::error).collect()) {
                return Err(error);
            }
        }
        let change = Change::configuration("recovery.playbook_set_policy", "playbooks");
        self.shared.changes(change, || heal.playbooks.set_policy(policy))?;
        if running {
            self.shared.warn_of_actions();
        }
        heal.listen(&self.shared)?;
        self.shared.arm();
        Ok(())
    }

    /// Adds something that playbooks can do, as
    /// [`Builder::playbook_action`](crate::kernel::Builder::playbook_action) does, to a kernel that is
    /// built, running or not.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`](crate::Code::ALREADY_EXISTS) for a name that is taken,
    /// [`Code::INVALID`](crate::Code::INVALID) for an empty one.
    pub fn add_action(&self, action: Arc<dyn PlaybookAction>) -> Result<()> {
        self.shared.heal.playbooks.register(action)
    }

    /// Adds a stage of the host's on the way to the safe state, as
    /// [`Builder::failsafe_stage`](crate::kernel::Builder::failsafe_stage) does: after those of the host's that are there,
    /// before the kernel's own.
    ///
    /// # Errors
    /// What [`Failsafe::add`] says.
    pub fn add_stage(&self, stage: Arc<dyn FailsafeStage>) -> Result<()> {
        self.shared.heal.failsafe.add_before(stages::FIRST, stage)
    }

    /// Takes another failsafe policy. In a kernel that runs, SIGTERM and panics are watched, or not any
    /// more, from here on; in one that is built, from its start.
    ///
    /// # Errors
    /// What [`Failsafe::set_policy`] and [`Failsafe::watch_sigterm`] say;
    /// [`Code::UNSUPPORTED`](crate::Code::UNSUPPORTED) for SIGTERM where the system has none.
    pub fn set_failsafe_policy(&self, policy: FailsafePolicy) -> Result<()> {
        let change = Change::configuration("recovery.failsafe_set_policy", "failsafe");
        self.shared.changes(change, || self.shared.heal.set_failsafe_policy(policy))
    }

    /// Takes the safe state; returns at once, and says whether it was this call that did it.
    pub fn take_safe_state(&self, reason: &str) -> bool {
        // It is taken whatever becomes of the record.
        self.shared.changed_at_once(
            Change::forced("recovery.failsafe_trigger", "kernel").with("why", reason),
        );
        self.shared.heal.failsafe.trigger(Trigger::host(reason))
    }

    /// Reports an error of the host's: a critical one takes the safe state if the policy says so. Says
    /// whether it did.
    pub fn report(&self, error: &Error) -> bool {
        self.shared.heal.failsafe.observe(error)
    }

    /// Blocks until the safe state is taken, for at most `timeout` of real time; where it stands then.
    pub fn wait_safe(&self, timeout: Duration) -> FailsafeStatus {
        self.shared.heal.failsafe.wait(timeout)
    }

    /// The failsafe itself.
    pub fn failsafe(&self) -> &Failsafe {
        &self.shared.heal.failsafe
    }

    /// Where the diagnosis bundle was written.
    pub fn bundle(&self) -> Option<PathBuf> {
        self.shared.heal.bundle.lock().clone()
    }

    fn now(&self) -> Moment {
        self.shared.runtime.now()
    }
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovery")
            .field("level", &self.shared.heal.degradation.level())
            .field("failsafe", &self.shared.heal.failsafe.status().state)
            .finish_non_exhaustive()
    }
}
