//! The decisions of isolation: a state machine that takes the time, over all targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::policy::IsolatePolicy;
use super::target::{Mode, Probing, Target, Verdict};
use super::{Evidence, IsolateChange, IsolateWhy, TargetStatus};
use crate::base::nearest::nearest;
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// The longest name of a target, in bytes.
const LONGEST_NAME: usize = 128;

/// See the module's documentation. Every method takes the time; none reads a clock.
#[derive(Debug)]
pub(super) struct Machine {
    policy: IsolatePolicy,
    targets: BTreeMap<Arc<str>, Target>,
    /// How many of them are set apart or probed.
    apart: usize,
}

impl Machine {
    pub(super) fn new(policy: IsolatePolicy) -> Self {
        Self { policy, targets: BTreeMap::new(), apart: 0 }
    }

    pub(super) fn policy(&self) -> &IsolatePolicy {
        &self.policy
    }

    pub(super) fn change_policy(&mut self, policy: IsolatePolicy) {
        let same_windows = policy.error_storm.window_ms == self.policy.error_storm.window_ms
            && policy.memory.window_ms == self.policy.memory.window_ms;
        self.policy = policy;
        if !same_windows {
            self.targets.values_mut().for_each(|target| target.clear(&self.policy));
        }
    }

    /// How many targets are set apart or probed.
    pub(super) fn apart(&self) -> usize {
        self.apart
    }

    /// Whether this target is set apart or probed.
    pub(super) fn is_apart(&self, name: &str) -> bool {
        let mode = self.targets.get(name).map(|target| target.mode);
        matches!(mode, Some(Mode::Quarantined(_) | Mode::Probing(_)))
    }

    /// Makes sure that a target is in the table.
    pub(super) fn known(&mut self, name: &str, now: Moment) -> Result<()> {
        if let Some(target) = self.targets.get_mut(name) {
            target.seen = now;
            return Ok(());
        }
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(Error::new(Code::INVALID, "the name of a target has 1 to 128 bytes")
                .operation("recovery.isolate"));
        }
        if self.targets.len() >= self.policy.most_targets as usize {
            let healthy = self.targets.iter().filter(|(_, t)| t.mode == Mode::Healthy);
            let Some(oldest) = healthy.min_by_key(|(_, t)| t.seen).map(|(n, _)| Arc::clone(n))
            else {
                return Err(Error::new(
                    Code::OVERLOADED,
                    "as many targets as may be known are suspect or set apart",
                )
                .operation("recovery.isolate")
                .with("most", self.policy.most_targets));
            };
            self.targets.remove(&oldest);
        }
        self.targets.insert(name.into(), Target::new(&self.policy, now));
        Ok(())
    }

    pub(super) fn observe(
        &mut self,
        name: &str,
        evidence: Evidence,
        now: Moment,
    ) -> Option<IsolateChange> {
        let policy = &self.policy;
        let target = self.targets.get_mut(name)?;
        match target.mode {
            // What is heard of it now was under way when it was set apart.
            Mode::Quarantined(_) => return None,
            Mode::Probing(probing) => {
                let slow_is_bad = policy.error_storm.slow_rate > 0.0;
                match evidence {
                    Evidence::Crash => return self.relapse(name, IsolateWhy::ProbeFailed, now),
                    Evidence::Memory(_) => {}
                    // Not a probe of ours: a call from before the quarantine.
                    _ if probing.in_flight == 0 => return None,
                    Evidence::Failure => return self.relapse(name, IsolateWhy::ProbeFailed, now),
                    Evidence::Slow if slow_is_bad => {
                        return self.relapse(name, IsolateWhy::ProbeFailed, now);
                    }
                    Evidence::Success | Evidence::Slow => {
                        return self.probe_succeeded(name, now);
                    }
                }
            }
            Mode::Healthy | Mode::Suspect(_) => {}
        }
        target.add(evidence, policy, now);
        self.judge(name, now)
    }

    /// What the rules make of a target that is not quarantined.
    fn judge(&mut self, name: &str, now: Moment) -> Option<IsolateChange> {
        let suspect_for = Duration::from_millis(self.policy.suspect_ms);
        let target = self.targets.get_mut(name)?;
        match (target.judge(&self.policy, now), target.mode) {
            (_, Mode::Quarantined(_)) => None,
            (Verdict::Harm(why), _) => self.relapse(name, why, now),
            (_, Mode::Probing(_)) | (Verdict::Well, Mode::Healthy) => None,
            (Verdict::Suspect(_), Mode::Suspect(_)) => {
                target.mode = Mode::Suspect(now);
                None
            }
            (Verdict::Suspect(why), Mode::Healthy) => {
                self.turn(name, Mode::Suspect(now), why, None)
            }
            (Verdict::Well, Mode::Suspect(since)) if now.since(since) >= suspect_for => {
                self.turn(name, Mode::Healthy, IsolateWhy::Calm, None)
            }
            (Verdict::Well, Mode::Suspect(_)) => None,
        }
    }

    /// Sets a target apart, for longer than the last time.
    fn relapse(&mut self, name: &str, why: IsolateWhy, now: Moment) -> Option<IsolateChange> {
        let target = self.targets.get_mut(name)?;
        if !target.mode.is_apart() {
            let well = now.since(target.well_since).as_millis();
            let forgiven = well / u128::from(self.policy.forgive_ms);
            let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
            target.relapses = target.relapses.saturating_sub(forgiven);
        }
        target.relapses = target.relapses.saturating_add(1);
        target.clear(&self.policy);
        let length = self.policy.quarantine_for(target.relapses);
        self.turn(name, Mode::Quarantined(now + length), why, Some(length))
    }

    fn probe_succeeded(&mut self, name: &str, now: Moment) -> Option<IsolateChange> {
        let target = self.targets.get_mut(name)?;
        let Mode::Probing(probing) = &mut target.mode else { return None };
        probing.in_flight = probing.in_flight.saturating_sub(1);
        probing.succeeded += 1;
        if probing.succeeded < self.policy.readmit_after {
            return None;
        }
        target.well_since = now;
        self.turn(name, Mode::Healthy, IsolateWhy::ProbesSucceeded, None)
    }

    /// Whether a call may be made; one that probes takes a place.
    pub(super) fn admit(&mut self, name: &str, now: Moment) -> (bool, Option<IsolateChange>) {
        let change = self.due(name, now);
        let patience = Duration::from_millis(self.policy.probe_timeout_ms);
        let Some(target) = self.targets.get_mut(name) else { return (true, None) };
        let admitted = match &mut target.mode {
            Mode::Healthy | Mode::Suspect(_) => true,
            Mode::Quarantined(_) => false,
            Mode::Probing(probing) => {
                if now.since(probing.last) > patience {
                    probing.in_flight = 0;
                }
                let free = probing.in_flight < self.policy.probes;
                if free {
                    probing.in_flight += 1;
                    probing.last = now;
                }
                free
            }
        };
        (admitted, change)
    }

    /// A probe has come to nothing.
    pub(super) fn let_go(&mut self, name: &str) {
        if let Some(Mode::Probing(probing)) = self.targets.get_mut(name).map(|it| &mut it.mode) {
            probing.in_flight = probing.in_flight.saturating_sub(1);
        }
    }

    /// What [`admit`](Self::admit) would say.
    pub(super) fn would_admit(&self, name: &str, now: Moment) -> bool {
        let patience = Duration::from_millis(self.policy.probe_timeout_ms);
        match self.targets.get(name).map(|target| target.mode) {
            None | Some(Mode::Healthy | Mode::Suspect(_)) => true,
            Some(Mode::Quarantined(until)) => until <= now,
            Some(Mode::Probing(probing)) => {
                probing.in_flight < self.policy.probes || now.since(probing.last) > patience
            }
        }
    }

    /// Ends a quarantine whose time is over.
    fn due(&mut self, name: &str, now: Moment) -> Option<IsolateChange> {
        match self.targets.get(name)?.mode {
            Mode::Quarantined(until) if until <= now => {
                let probing = Probing { last: now, ..Probing::default() };
                self.turn(name, Mode::Probing(probing), IsolateWhy::Waited, None)
            }
            _ => None,
        }
    }

    /// Does one thing that is due by the time alone; `None` when nothing is.
    pub(super) fn tick(&mut self, now: Moment) -> Option<IsolateChange> {
        let suspect_for = Duration::from_millis(self.policy.suspect_ms);
        let name = self.targets.iter_mut().find_map(|(name, target)| match target.mode {
            Mode::Quarantined(until) if until <= now => Some(Arc::clone(name)),
            Mode::Suspect(since) if now.since(since) >= suspect_for => {
                if target.judge(&self.policy, now) == Verdict::Well {
                    return Some(Arc::clone(name));
                }
                // It still looks bad, by evidence that is still in its window.
                target.mode = Mode::Suspect(now);
                None
            }
            _ => None,
        })?;
        self.due(&name, now).or_else(|| self.judge(&name, now))
    }

    /// When [`tick`](Self::tick) may do something.
    pub(super) fn next_tick(&self) -> Option<Moment> {
        let suspect_for = Duration::from_millis(self.policy.suspect_ms);
        let due = self.targets.values().filter_map(|target| match target.mode {
            Mode::Quarantined(until) if until != Moment::FAR => Some(until),
            Mode::Suspect(since) => Some(since + suspect_for),
            Mode::Quarantined(_) | Mode::Healthy | Mode::Probing(_) => None,
        });
        due.min()
    }

    pub(super) fn quarantine(
        &mut self,
        name: &str,
        length: Option<Duration>,
        by: &str,
        now: Moment,
    ) -> Option<IsolateChange> {
        let policy = &self.policy;
        self.targets.get_mut(name)?.clear(policy);
        let until = length.map_or(Moment::FAR, |length| now + length);
        let why = IsolateWhy::Manual { by: by.to_owned() };
        self.turn(name, Mode::Quarantined(until), why, length)
    }

    pub(super) fn release(
        &mut self,
        name: &str,
        by: &str,
        now: Moment,
    ) -> Result<Option<IsolateChange>> {
        let policy = &self.policy;
        let Some(target) = self.targets.get_mut(name) else {
            let error = Error::new(Code::NOT_FOUND, "nothing is known of a target of this name")
                .operation("recovery.isolate")
                .with("target", name);
            return Err(match nearest(name, self.targets.keys().map(|name| &**name)) {
                Some(near) => error.advice(format!("did you mean '{near}'?")),
                None => error,
            });
        };
        target.relapses = 0;
        target.well_since = now;
        target.clear(policy);
        if target.mode == Mode::Healthy {
            return Ok(None);
        }
        Ok(self.turn(name, Mode::Healthy, IsolateWhy::Manual { by: by.to_owned() }, None))
    }

    pub(super) fn forget(&mut self, name: &str) {
        if self.targets.remove(name).is_some_and(|target| target.mode.is_apart()) {
            self.apart -= 1;
        }
    }

    pub(super) fn status(&self, name: &str, now: Moment) -> Option<TargetStatus> {
        let (name, target) = self.targets.get_key_value(name)?;
        Some(view(name, target, now))
    }

    pub(super) fn list(&self, now: Moment) -> Vec<TargetStatus> {
        self.targets.iter().map(|(name, target)| view(name, target, now)).collect()
    }

    fn turn(
        &mut self,
        name: &str,
        to: Mode,
        why: IsolateWhy,
        length: Option<Duration>,
    ) -> Option<IsolateChange> {
        let name = Arc::clone(self.targets.get_key_value(name)?.0);
        let target = self.targets.get_mut(&name)?;
        let from = target.mode.state();
        match (target.mode.is_apart(), to.is_apart()) {
            (false, true) => self.apart += 1,
            (true, false) => self.apart -= 1,
            _ => {}
        }
        target.mode = to;
        target.why = Some(why.clone());
        let for_ms = length.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
        Some(IsolateChange { target: name, from, to: to.state(), why, for_ms })
    }
}

fn view(name: &Arc<str>, target: &Target, now: Moment) -> TargetStatus {
    let until = match target.mode {
        Mode::Quarantined(until) if until != Moment::FAR => Some(until.since(now)),
        _ => None,
    };
    TargetStatus {
        target: Arc::clone(name),
        state: target.mode.state(),
        why: target.why.clone(),
        probe_in_ms: until.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        relapses: target.relapses,
    }
}
