//! Cedar's own authorizer, asked directly: nothing of ours stands in between.

use std::collections::BTreeSet;

use sutazai_core::security::authz::Answer;

/// What is compared of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub allowed: bool,
    pub reasons: BTreeSet<String>,
    /// Policy, and what was wrong.
    pub errors: BTreeSet<(String, String)>,
}

impl Said {
    pub fn of(answer: &Answer) -> Self {
        Self {
            allowed: answer.is_allowed(),
            reasons: answer.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: answer
                .errors()
                .map(|fault| (fault.policy().id().to_owned(), fault.to_string()))
                .collect(),
        }
    }

    pub fn failed(&self) -> BTreeSet<String> {
        self.errors.iter().map(|(policy, _)| policy.clone()).collect()
    }
}

/// Policies and entities as Cedar holds them, read from the same texts.
pub struct Peer {
    pub policies: cedar_policy::PolicySet,
    pub entities: cedar_policy::Entities,
}

impl Peer {
    pub fn ask(&self, request: &cedar_policy::Request) -> Said {
        let said =
            cedar_policy::Authorizer::new().is_authorized(request, &self.policies, &self.entities);
        Said {
            allowed: said.decision() == cedar_policy::Decision::Allow,
            reasons: said.diagnostics().reason().map(ToString::to_string).collect(),
            errors: said
                .diagnostics()
                .errors()
                .map(|cedar_policy::AuthorizationError::PolicyEvaluationError(error)| {
                    let said = error.to_string();
                    let said = said.strip_prefix("error ").unwrap_or(&said).to_owned();
                    (error.policy_id().to_string(), said)
                })
                .collect(),
        }
    }
}
