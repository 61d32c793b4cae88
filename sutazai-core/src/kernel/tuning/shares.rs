//! How something scarce is divided: [`ShareSpec`], and what hosts see of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

#[cfg(feature = "monitor")]
use super::measure::Measure;
use super::{every, named, shown};
use crate::base::time::Timestamp;
use crate::tune::{Adjust, Autonomy, KnobKind, SharePolicy, SharesView};
use crate::{Code, Error, Result};

/// Who may share in one thing, at most.
const MEMBERS: usize = 1_000;

/// Who has a share, and how it gets it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ShareMember {
    /// The knob that is set to its units: a whole number, such as `guard/agent:writer/bulkhead/concurrency`. Without one the host
    /// gives it what the event `tune.share` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knob: Option<String>,
    /// Units that it has in any case. Default 0, and what its knob takes at least.
    pub floor: u32,
    /// Units that it has at most. Without it all, and what its knob takes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u32>,
    /// What it makes of its share, a second. Without it an agent of this name makes the calls that it answers well, and of others
    /// the host reports it.
    #[cfg(feature = "monitor")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub benefit: Option<Measure>,
}

impl ShareMember {
    /// One whose units this knob is set to.
    pub fn knob(name: impl Into<String>) -> Self {
        Self { knob: Some(name.into()), ..Self::default() }
    }

    /// One to whom the host gives its units.
    pub fn host() -> Self {
        Self::default()
    }

    /// With so many units at least and at most.
    #[must_use]
    pub fn bounds(mut self, floor: u32, ceiling: u32) -> Self {
        (self.floor, self.ceiling) = (floor, Some(ceiling));
        self
    }
}

/// How something is divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ShareSpec {
    /// How many units there are, 1 to 1,000,000,000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub units: u32,
    /// Who shares them, by name: 2 to 1,000.
    pub members: BTreeMap<String, ShareMember>,
    /// How far it goes by itself: it only watches, it says how it would divide, it asks, or it acts. Default: it acts.
    #[serde(default = "it_acts")]
    pub autonomy: Autonomy,
    /// How fast shares follow, and how far they are moved to learn what they are worth.
    #[serde(default)]
    pub policy: SharePolicy,
    /// Milliseconds of a round, 100 to a day: long enough for benefits to show. Default 10,000.
    #[serde(default = "ten_seconds")]
    #[schemars(range(min = 100, max = 86_400_000))]
    pub every_ms: u64,
    /// Milliseconds in which a change must be approved, 1 to a year. Default 300,000.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1, max = 31_622_400_000_u64))]
    pub approval_ms: u64,
}

fn it_acts() -> Autonomy {
    Autonomy::Act
}

fn ten_seconds() -> u64 {
    10_000
}

fn five_minutes() -> u64 {
    300_000
}

impl ShareSpec {
    /// So many units among these.
    pub fn new(units: u32, members: impl IntoIterator<Item = (String, ShareMember)>) -> Self {
        Self {
            units,
            members: members.into_iter().collect(),
            autonomy: it_acts(),
            policy: SharePolicy::default(),
            every_ms: ten_seconds(),
            approval_ms: five_minutes(),
        }
    }
}

/// Units that wait to be approved.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ShareProposal {
    /// Its number, which an answer repeats.
    pub proposal: u64,
    /// What each would have.
    pub units: BTreeMap<String, u64>,
    /// Units that all have now beyond those that there are: what would be taken back. 0 where there are enough.
    pub beyond: u64,
    /// Until when an approval counts.
    pub until: Timestamp,
}

/// Something that is divided, as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SharedOut {
    /// Its name.
    pub name: Arc<str>,
    /// How it is divided.
    pub spec: ShareSpec,
    /// What each has now: as its knob says, or as the host was told.
    pub units: BTreeMap<String, u64>,
    /// Units that all have together beyond those that there are: knobs that stood higher when it began, or that others set. Acting takes them back in
    /// its next round; below that they stay until it is approved.
    pub beyond: u64,
    /// Units that nobody may have: those that are more than the ceilings of all members together, and what their knobs take at most.
    pub unplaced: u64,
    /// What each made of it in the last round, a second.
    pub benefits: BTreeMap<String, f64>,
    /// What waits to be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<ShareProposal>,
    /// What went wrong last when knobs were set or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub trouble: Option<Error>,
    /// The shares, and what they are worth.
    #[serde(flatten)]
    pub view: SharesView,
}

impl ShareMember {
    #[cfg(feature = "monitor")]
    pub(super) fn is_measured(&self) -> bool {
        self.benefit.is_some()
    }

    #[cfg(feature = "monitor")]
    fn check_measure(&self) -> Result<()> {
        self.benefit.as_ref().map_or(Ok(()), Measure::check)
    }

    #[cfg(not(feature = "monitor"))]
    #[expect(clippy::unused_self, reason = "as with the room that measures")]
    pub(super) fn is_measured(&self) -> bool {
        false
    }

    #[cfg(not(feature = "monitor"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as with the room that measures"
    )]
    fn check_measure(&self) -> Result<()> {
        Ok(())
    }
}

impl ShareSpec {
    pub(in crate::kernel) fn check(&self) -> Result<()> {
        every(self.every_ms).map_err(|error| error.with("field", "every"))?;
        let invalid = |field: &'static str, rule: &'static str| {
            Err(Error::new(Code::INVALID, "this cannot be divided so")
                .with("field", field)
                .with("rule", rule))
        };
        if !(1..=1_000_000_000).contains(&self.units) {
            return invalid("units", "must be 1 to 1,000,000,000");
        }
        if !(2..=MEMBERS).contains(&self.members.len()) {
            return invalid("members", "must be 2 to 1,000");
        }
        if !(1..=366 * 86_400_000).contains(&self.approval_ms) {
            return invalid("approval_ms", "must be 1 millisecond to a year");
        }
        for (name, member) in &self.members {
            let of = |error: Error| error.with("member", shown(name));
            named(name, "not a name for who has a share").map_err(of)?;
            member.check_measure().map_err(of)?;
        }
        self.policy.check()
    }

    /// The bounds of a member, in units.
    pub(super) fn bounds(
        &self,
        member: &ShareMember,
        knob: Option<&dyn Adjust>,
    ) -> Result<(u32, u32)> {
        let (mut floor, mut ceiling) = (member.floor, member.ceiling.unwrap_or(self.units));
        ceiling = ceiling.min(self.units);
        let mut takes = None;
        if let Some(knob) = knob {
            let KnobKind::Integer { low, high, .. } = knob.kind() else {
                return Err(Error::new(Code::INVALID, "a share needs a knob of whole numbers")
                    .with("knob", shown(knob.name())));
            };
            takes = Some(format!("{low} to {high}"));
            floor = floor.max(u32::try_from(low.max(0)).unwrap_or(u32::MAX));
            ceiling = ceiling.min(u32::try_from(high.max(0)).unwrap_or(u32::MAX));
        }
        if floor > ceiling || ceiling == 0 {
            let error = Error::new(
                Code::INVALID,
                "a floor is at most the ceiling, which is at least one unit",
            )
            .with("floor", floor)
            .with("ceiling", ceiling);
            return Err(match (takes, knob) {
                (Some(takes), Some(knob)) => {
                    error.with("knob", shown(knob.name())).with("takes", takes).advice(
                        "both are held within what the knob takes and the units that there are",
                    )
                }
                _ => error,
            });
        }
        Ok((floor, ceiling))
    }
}
