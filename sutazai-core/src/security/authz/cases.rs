//! Tests of policies: requests, and how they are to be decided.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::answer::AnswerView;
use super::context::Context;
use super::engine::{EngineOptions, PolicyEngine};
use super::entities::Entities;
use super::request::Request;
use super::set::PolicySet;
use super::uid::EntityUid;
use crate::base::error::Location;
use crate::{Code, Error, Result};

/// Cases that a set of policies has to pass, of any format that serde reads.
///
/// ```
/// use sutazai_core::security::authz::{Entities, PolicyCases, PolicySet};
/// let cases = PolicyCases::from_json("cases.json", r#"{"cases": [
///     {"name": "readers read", "principal": "User::\"alice\"", "action": "Action::\"read\"",
///      "resource": "Page::\"home\"", "expect": "allow", "reasons": ["all read"]},
///     {"name": "nobody deletes", "principal": "User::\"alice\"", "action": "Action::\"delete\"",
///      "resource": "Page::\"home\"", "expect": "deny"}
/// ]}"#)?;
/// let set = PolicySet::from_cedar("p", r#"@id("all read") permit (principal, action == Action::"read", resource);"#)?;
/// let report = cases.run(&set, &Entities::empty());
/// assert!(report.has_passed() && report.passed == 2, "{report}");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyCases {
    /// The cases.
    pub cases: Vec<PolicyCase>,
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyCase {
    /// What it shows.
    pub name: String,
    /// Who, as `Type::"id"`.
    #[schemars(with = "String")]
    pub principal: EntityUid,
    /// Wants to do what.
    #[schemars(with = "String")]
    pub action: EntityUid,
    /// To what.
    #[schemars(with = "String")]
    pub resource: EntityUid,
    /// What else is known; a JSON object.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
    /// How it is to be decided.
    pub expect: Expected,
    /// The policies that are to decide; any, when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<String>>,
    /// The policies that are to fail: none, when it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// How a case is to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
}

/// What came of a run of cases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CasesReport {
    /// How many cases passed.
    pub passed: u64,
    /// Those that did not.
    pub failed: Vec<CaseFailure>,
    /// Policies that no case had among its reasons.
    pub untested: Vec<String>,
}

/// A case that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CaseFailure {
    /// The case.
    pub name: String,
    /// What was wrong.
    pub what: String,
    /// How it was decided, if it came to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerView>,
}

impl PolicyCases {
    /// Of a JSON text; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Code::INVALID`], with the place.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
            let at = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
            Error::new(Code::INVALID, error.to_string()).at(Location::in_text(name, text, at))
        })
    }

    /// Decides every case by these policies and entities. With a schema, a request that does not fit it
    /// fails its case.
    pub fn run(&self, policies: &PolicySet, entities: &Entities) -> CasesReport {
        let options = EngineOptions { cache: 0, ..EngineOptions::default() };
        let engine = PolicyEngine::with_options(policies.clone(), entities.clone(), options);
        let mut report = CasesReport::default();
        let mut decided: BTreeSet<String> = BTreeSet::new();
        for case in &self.cases {
            let (what, answer) = match case.request(policies) {
                Err(error) => (Some(error.to_string()), None),
                Ok(request) => {
                    let answer = engine.decide(&request);
                    decided.extend(answer.reasons().map(|policy| policy.id().to_owned()));
                    let failed =
                        answer.errors().map(|fault| fault.policy().id().to_owned()).collect();
                    let answer = answer.view();
                    (case.differs(&answer, failed), Some(answer))
                }
            };
            match what {
                None => report.passed += 1,
                Some(what) => {
                    report.failed.push(CaseFailure { name: case.name.clone(), what, answer });
                }
            }
        }
        let untested = policies.policies().map(|policy| policy.id().to_owned());
        report.untested = untested.filter(|id| !decided.contains(id)).collect();
        report
    }
}

impl PolicyCase {
    fn request(&self, policies: &PolicySet) -> Result<Request> {
        let json = match &self.context {
            serde_json::Value::Null => serde_json::json!({}),
            json => json.clone(),
        };
        let context = match policies.schema() {
            Some(schema) => Context::from_json_for(json, schema, &self.action)?,
            None => Context::from_json(json)?,
        };
        let uids = [&self.principal, &self.action, &self.resource].map(Clone::clone);
        let [principal, action, resource] = uids;
        let request = Request::new(principal, action, resource).with_context(context);
        policies.schema().map_or(Ok(()), |schema| schema.check(&request))?;
        Ok(request)
    }

    /// How the answer differs from what is expected.
    fn differs(&self, answer: &AnswerView, failed: BTreeSet<String>) -> Option<String> {
        let list = |ids: &BTreeSet<String>| {
            if ids.is_empty() {
                "none".to_owned()
            } else {
                ids.iter().cloned().collect::<Vec<_>>().join(", ")
            }
        };
        if answer.allowed != (self.expect == Expected::Allow) {
            let got = if answer.allowed { "it was allowed" } else { "it was denied" };
            return Some(got.to_owned());
        }
        let got: BTreeSet<String> = answer.reasons.iter().cloned().collect();
        if let Some(wanted) = &self.reasons {
            let wanted: BTreeSet<String> = wanted.iter().cloned().collect();
            if wanted != got {
                return Some(format!("decided by {}, not by {}", list(&got), list(&wanted)));
            }
        }
        let wanted: BTreeSet<String> = self.errors.iter().cloned().collect();
        (wanted != failed)
            .then(|| format!("policies that failed: {}, not {}", list(&failed), list(&wanted)))
    }
}

impl CasesReport {
    /// Whether every case passed.
    pub fn has_passed(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for CasesReport {
    /// A line for each failure, and how many there were.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failed {
            writeln!(f, "failed: {}: {}", failure.name, failure.what)?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())?;
        if !self.untested.is_empty() {
            write!(f, "; decided by no case: {}", self.untested.join(", "))?;
        }
        Ok(())
    }
}
