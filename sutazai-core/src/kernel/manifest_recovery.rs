//! `[recovery]` of a manifest.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::builder::Builder;
use super::guards::{self, CallsTo};
use crate::Error;
use crate::config::Section;
use crate::recovery::supervise::SupervisorSpec;
use crate::recovery::{
    ClassifyPolicy, DegradePolicy, FailsafePolicy, GuardPolicy, IsolatePolicy, Playbook,
    PlaybookPolicy,
};

/// What stands between calls and trouble, and what is done when trouble comes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Recovery {
    /// The guards of calls.
    guards: Guards,
    /// What failures are.
    classification: Option<ClassifyPolicy>,
    /// Levels of degradation, what leads to them, and what features and agents do at each.
    degradation: Option<DegradePolicy>,
    /// When agents that harm the rest are set apart.
    isolation: Option<IsolatePolicy>,
    /// What bounds all playbooks together.
    playbooks: Option<PlaybookPolicy>,
    /// The playbooks, each a `[[recovery.playbook]]`: on this condition, do that.
    playbook: Vec<Playbook>,
    /// When the safe state is taken, and how.
    failsafe: Option<FailsafePolicy>,
    /// Trees of supervisors, by the names of their roots. What their children do the host registers
    /// before the kernel starts.
    tree: BTreeMap<String, SupervisorSpec>,
}

/// Guards, by the calls that they are for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Guards {
    /// Of all calls that have none of their own.
    all: Option<GuardPolicy>,
    /// Of the calls of a skill, by its name.
    skill: BTreeMap<String, GuardPolicy>,
    /// Of the calls to an agent, as far as they concern the agent, by its name.
    agent: BTreeMap<String, GuardPolicy>,
}

impl Guards {
    fn each(&self) -> impl Iterator<Item = (CallsTo, &GuardPolicy)> {
        let all = self.all.iter().map(|policy| (CallsTo::All, policy));
        let skills = self.skill.iter().map(|(name, p)| (CallsTo::Skill(name.clone()), p));
        let agents = self.agent.iter().map(|(name, p)| (CallsTo::Agent(name.clone()), p));
        all.chain(skills).chain(agents)
    }
}

impl Recovery {
    /// The playbooks and what bounds them, if there are any.
    fn playbooks(&self) -> Option<PlaybookPolicy> {
        if self.playbook.is_empty() {
            return self.playbooks.clone();
        }
        let mut policy = self.playbooks.clone().unwrap_or_default();
        policy.playbooks.extend(self.playbook.iter().cloned());
        Some(policy)
    }

    /// What is wrong with it, each with where it stands.
    fn check<'a>(&'a self) -> Vec<(Vec<&'a str>, Error)> {
        let guard = |kind, name, calls: CallsTo, policy| {
            (vec!["guards", kind, name], guards::check(&calls, policy))
        };
        let all = self.guards.all.iter();
        let skills = self.guards.skill.iter();
        let agents = self.guards.agent.iter();
        let checked = all
            .map(|policy| (vec!["guards", "all"], guards::check(&CallsTo::All, policy)))
            .chain(skills.map(|(n, p)| guard("skill", n.as_str(), CallsTo::Skill(n.clone()), p)))
            .chain(agents.map(|(n, p)| guard("agent", n.as_str(), CallsTo::Agent(n.clone()), p)))
            .chain(self.classification.iter().map(|p| (vec!["classification"], p.check())))
            .chain(self.degradation.iter().map(|p| (vec!["degradation"], p.check())))
            .chain(self.isolation.iter().map(|p| (vec!["isolation"], p.check())))
            .chain(self.playbooks().into_iter().map(|p| (vec![self.playbooks_at()], p.check())))
            .chain(self.failsafe.iter().map(|p| (vec!["failsafe"], p.check())))
            .chain(self.tree.iter().map(|(name, spec)| (vec!["tree", name], spec.check())));
        let wrong = checked.filter_map(|(path, checked)| Some((path, checked.err()?)));
        let apart = |(path, error): (Vec<&'a str>, Error)| {
            let problems = error.problems().to_vec();
            problems.into_iter().map(move |one| (path.clone(), one)).collect::<Vec<_>>()
        };
        wrong.flat_map(apart).collect()
    }

    /// The position of what an error names, in the list at `path`.
    fn position(&self, path: &[&str], error: &Error) -> Option<String> {
        let named = |key| error.context().find(|(k, _)| *k == key).map(|(_, name)| name);
        let found = match path {
            ["classification"] => {
                let rules = &self.classification.as_ref()?.rules;
                rules.iter().position(|rule| Some(rule.name.as_str()) == named("rule"))
            }
            ["playbook"] => {
                let name = named("playbook")?;
                self.playbook.iter().position(|playbook| playbook.name == name)
            }
            _ => None,
        };
        found.map(|index| index.to_string())
    }

    /// The key under which the playbooks stand.
    fn playbooks_at(&self) -> &'static str {
        if self.playbook.is_empty() { "playbooks" } else { "playbook" }
    }
}

/// What the section says; everything that is wrong with it.
fn read(section: &Section) -> Result<Recovery, Vec<Error>> {
    let recovery: Recovery = section.read()?;
    let wrong = recovery.check();
    let mistake = |(path, error): &(Vec<&str>, Error)| {
        let position = recovery.position(path, error);
        let mut path = path.clone();
        if let Some(position) = &position {
            path.extend((path == ["classification"]).then_some("rules"));
            path.push(position);
        }
        section.mistake(&path, error)
    };
    let mistakes: Vec<Error> = wrong.iter().map(mistake).collect();
    if mistakes.is_empty() { Ok(recovery) } else { Err(mistakes) }
}

/// What is wrong with the section.
pub(super) fn check(section: &Section) -> Vec<Error> {
    read(section).err().unwrap_or_default()
}

/// Takes what the section says over.
pub(super) fn take(mut builder: Builder, section: &Section) -> Builder {
    let recovery = match read(section) {
        Ok(recovery) => recovery,
        Err(mistakes) => {
            builder.mistakes.extend(mistakes);
            return builder;
        }
    };
    for (calls, policy) in recovery.guards.each() {
        builder = builder.guard_calls(calls, policy.clone());
    }
    if let Some(policy) = recovery.playbooks() {
        builder = builder.playbooks(policy);
    }
    if let Some(policy) = recovery.classification {
        builder = builder.classification(policy);
    }
    if let Some(policy) = recovery.degradation {
        builder = builder.degradation(policy);
    }
    if let Some(policy) = recovery.isolation {
        builder = builder.isolation(policy);
    }
    if let Some(policy) = recovery.failsafe {
        builder = builder.failsafe(policy);
    }
    for (name, spec) in recovery.tree {
        builder = builder.supervise(name, spec);
    }
    builder
}
