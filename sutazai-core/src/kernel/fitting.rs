//! Which agents meet the terms of a call, whatever router chooses among them.

use super::shared::Shared;
use crate::agent::{Entry, SkillList};
use crate::base::time::Moment;
use crate::port::{Candidate, Candidates, Task, Terms};
use crate::{Code, Error, Result};

/// Those of the agents with a skill that meet a call's terms.
pub(super) struct Fitting<'a> {
    all: &'a SkillList,
    places: Vec<usize>,
}

impl Fitting<'_> {
    /// The place among all of the one at `index` here.
    pub(super) fn place(&self, index: usize) -> usize {
        self.places.get(index).copied().unwrap_or(usize::MAX)
    }
}

impl Candidates for Fitting<'_> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn get(&self, index: usize) -> Option<&dyn Candidate> {
        self.places.get(index).and_then(|place| self.all.get(*place))
    }
}

/// Why an agent does not meet a call's terms.
enum Unfit {
    Excluded,
    Label(String),
    Cost(f64),
    Writes,
}

impl Shared {
    /// The agents that meet the terms of a call; `None` where it has none that leave anybody out.
    ///
    /// # Errors
    /// [`Code::AGENT_NONE_FITS`], with the reasons, when there is none.
    pub(super) fn fitting<'a>(
        &self,
        task: &Task,
        all: &'a SkillList,
        now: Moment,
    ) -> Result<Option<Fitting<'a>>> {
        let terms = task.given_terms().filter(|terms| terms.constrain());
        if terms.is_none() && !task.is_read_only() {
            return Ok(None);
        }
        let mut unfit = Vec::new();
        let fits = |place: &usize| {
            let Some(entry) = all.entry(*place) else { return false };
            let reason = unfit_for(entry, task, terms.map(|terms| &**terms), now);
            reason.map(|reason| unfit.push(format!("{}: {reason}", entry.name()))).is_none()
        };
        let places: Vec<usize> = (0..all.len()).filter(fits).collect();
        if places.is_empty() {
            return Err(none_fits(task, unfit));
        }
        Ok(Some(Fitting { all, places }))
    }

    /// Whether the agent that a call asks for meets its terms.
    ///
    /// # Errors
    /// [`Code::AGENT_NONE_FITS`], with the reason, when it does not.
    pub(super) fn fits(&self, task: &Task, entry: &Entry, now: Moment) -> Result<()> {
        match unfit_for(entry, task, task.given_terms().map(|terms| &**terms), now) {
            Some(reason) => Err(none_fits(task, vec![format!("{}: {reason}", entry.name())])),
            None => Ok(()),
        }
    }
}

fn unfit_for(entry: &Entry, task: &Task, terms: Option<&Terms>, now: Moment) -> Option<Unfit> {
    let card = entry.card();
    let reads = || card.about.get(task.skill()).is_some_and(|about| about.read_only);
    if task.is_read_only() && !reads() {
        return Some(Unfit::Writes);
    }
    let terms = terms?;
    if terms.exclude.iter().any(|excluded| **excluded == *card.name) {
        return Some(Unfit::Excluded);
    }
    let lacks = |(key, value): &(&String, &String)| card.labels.get(*key) != Some(*value);
    if let Some((key, value)) = terms.labels.iter().find(lacks) {
        return Some(Unfit::Label(format!("{key}={value}")));
    }
    let most = terms.max_cost?;
    entry.cost_of(task.skill(), now).filter(|cost| *cost > most).map(Unfit::Cost)
}

/// Agents that an error names, at most.
const NAMED: usize = 10;

fn none_fits(task: &Task, mut unfit: Vec<String>) -> Error {
    let more = unfit.len().saturating_sub(NAMED);
    unfit.truncate(NAMED);
    if more > 0 {
        unfit.push(format!("and {more} more"));
    }
    Error::new(Code::AGENT_NONE_FITS, "no agent that has the skill meets the call's terms")
        .operation("kernel.call")
        .with("skill", task.skill())
        .with("unfit", unfit.join("; "))
        .advice("relax the terms, or register an agent that meets them")
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Excluded => f.write_str("excluded"),
            Self::Writes => f.write_str(
                "its card does not call the skill read_only, and the call may only read",
            ),
            Self::Label(label) => write!(f, "without the label {label}"),
            Self::Cost(cost) => write!(f, "a call costs {cost}"),
        }
    }
}
