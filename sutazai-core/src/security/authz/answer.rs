//! What a decision is, and why.

use std::fmt;
use std::sync::Arc;

use cedar_policy_core::evaluator::EvaluationError;
use serde::Serialize;

use super::set::{PolicySet, PolicyView};

/// A decision with the policies that made it. Cheap to clone.
#[derive(Clone)]
pub struct Answer(Arc<Inner>);

struct Inner {
    allowed: bool,
    generation: u64,
    reasons: Vec<u32>,
    faults: Vec<(u32, EvaluationError)>,
    set: PolicySet,
}

/// A policy that could not be evaluated, and so decided nothing.
#[derive(Clone, Copy)]
pub struct PolicyFault<'a> {
    policy: PolicyView<'a>,
    fault: &'a EvaluationError,
}

/// An answer in words: for records, and for hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct AnswerView {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The policies that decided; none when nothing permitted it.
    pub reasons: Vec<String>,
    /// The policies that could not be evaluated, each with what was wrong.
    pub errors: Vec<String>,
    /// Which state of policies and entities decided.
    pub generation: u64,
}

impl Answer {
    pub(super) fn new(set: &PolicySet, generation: u64, mut verdict: Verdict) -> Self {
        let allowed = verdict.forbids.is_empty() && !verdict.permits.is_empty();
        let mut reasons = if allowed { verdict.permits } else { verdict.forbids };
        reasons.sort_unstable();
        verdict.faults.sort_unstable_by_key(|(policy, _)| *policy);
        Self(Arc::new(Inner {
            allowed,
            generation,
            reasons,
            faults: verdict.faults,
            set: set.clone(),
        }))
    }

    /// Whether it is allowed: something permits it, and nothing forbids it.
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.0.allowed
    }

    /// The policies that decided: those that permit, when it is allowed; those that forbid, when any does;
    /// none, when nothing permits it. In the order in which they were loaded.
    pub fn reasons(&self) -> impl Iterator<Item = PolicyView<'_>> {
        self.0.reasons.iter().filter_map(|at| self.0.set.view(*at))
    }

    /// The policies that could not be evaluated. They decided nothing: a permit that fails permits nothing,
    /// and **a forbid that fails forbids nothing**, as in every Cedar engine. Strict validation against a
    /// schema is what keeps policies from failing.
    pub fn errors(&self) -> impl Iterator<Item = PolicyFault<'_>> {
        let faults = self.0.faults.iter();
        faults.filter_map(|(at, fault)| {
            self.0.set.view(*at).map(|policy| PolicyFault { policy, fault })
        })
    }

    /// Which state of policies and entities decided. It grows with every change.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// In words.
    pub fn view(&self) -> AnswerView {
        AnswerView {
            allowed: self.is_allowed(),
            reasons: self.reasons().map(|policy| policy.id().to_owned()).collect(),
            errors: self.errors().map(|fault| fault.to_string()).collect(),
            generation: self.generation(),
        }
    }

    pub(super) fn decided(&self) -> &[u32] {
        &self.0.reasons
    }

    #[cfg(test)]
    pub(super) fn faults(&self) -> &[(u32, EvaluationError)] {
        &self.0.faults
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl<'a> PolicyFault<'a> {
    /// The policy.
    pub fn policy(self) -> PolicyView<'a> {
        self.policy
    }
}

impl fmt::Display for PolicyFault<'_> {
    /// The policy, and what Cedar says was wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "while evaluating policy `{}`: {}", self.policy.id(), self.fault)
    }
}

impl fmt::Debug for PolicyFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the policies of a set say, by their numbers.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) permits: Vec<u32>,
    pub(super) forbids: Vec<u32>,
    pub(super) faults: Vec<(u32, EvaluationError)>,
}
