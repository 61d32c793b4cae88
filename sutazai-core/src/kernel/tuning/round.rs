//! What members have made of their shares in a round.

use std::collections::BTreeMap;

use super::super::shared::Shared;
use super::divided::Divided;
use super::measure::Seen;
use super::shares::ShareMember;
use crate::base::time::Moment;
use crate::tune::KnobValue;

impl Shared {
    /// Learns from the round that is over.
    pub(super) fn end_round(&self, divided: &Divided, now: Moment) {
        let (began, answered, reported, had) = {
            let state = divided.state.lock();
            (state.began, state.answered.clone(), state.reported.clone(), state.units.clone())
        };
        let seconds = now.since(began).as_secs_f64().max(1e-3);
        let mut benefits = BTreeMap::new();
        let mut given = BTreeMap::new();
        // Several benefits may be of one series: what was seen of it counts from the next round on.
        let seen = divided.state.lock().seen.clone();
        let mut latest = Seen::default();
        for (name, member) in &divided.spec.members {
            let units = had.get(name).copied().unwrap_or(0);
            // Somebody else has set the knob since: what came of it is nobody's.
            let moved = divided.knobs.get(name).is_some_and(|knob| {
                !matches!(knob.value(), Ok(KnobValue::Integer(now)) if u64::try_from(now) == Ok(units))
            });
            if moved {
                continue;
            }
            let measured = self.measured_benefit(member, &seen, &mut latest);
            // More than the whole is no share of it: nothing is learned from that.
            let share = units as f64 / f64::from(divided.spec.units);
            if share > 1.0 {
                continue;
            }
            given.insert(name.clone(), share);
            let benefit =
                measured.or_else(|| reported.get(name).map(|sum| sum / seconds)).or_else(|| {
                    let (before, now) = (answered.get(name)?, self.answered_well(name)?);
                    Some(now.saturating_sub(*before) as f64 / seconds)
                });
            benefits.extend(benefit.map(|benefit| (name.clone(), benefit)));
        }
        let mut state = divided.state.lock();
        state.seen.extend(latest);
        state.shares.took(&given);
        state.shares.report(&benefits);
        state.benefits = benefits;
    }

    /// Calls that an agent of this name has answered well; `None` where there is none.
    #[cfg(feature = "agent")]
    pub(super) fn answered_well(&self, agent: &str) -> Option<u64> {
        let stats = self.agents.get(agent)?.ledger().stats(self.runtime.now());
        Some(stats.calls.saturating_sub(stats.failures.total()))
    }

    #[cfg(not(feature = "agent"))]
    #[expect(clippy::unused_self, reason = "as with the room that has agents")]
    pub(super) fn answered_well(&self, _: &str) -> Option<u64> {
        None
    }

    #[cfg(feature = "monitor")]
    fn measured_benefit(
        &self,
        member: &ShareMember,
        seen: &Seen,
        latest: &mut Seen,
    ) -> Option<f64> {
        self.figure_of(member.benefit.as_ref()?, seen, latest)
    }

    #[cfg(not(feature = "monitor"))]
    #[expect(clippy::unused_self, reason = "as with the room that measures")]
    fn measured_benefit(&self, _: &ShareMember, _: &Seen, _: &mut Seen) -> Option<f64> {
        None
    }
}
