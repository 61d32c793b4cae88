//! The conditions of a policy, one by one.

use std::sync::Arc;

use cedar_policy::pst;
use cedar_policy_core::ast::{Expr, ExprKind};

use super::Rule;

/// One `when` or `unless`.
pub(in super::super) struct Clause {
    pub(in super::super) kind: ClauseKind,
    /// What must hold: of an `unless`, that its condition does not.
    pub(in super::super) holds: Arc<Expr>,
    /// The condition as it was written.
    pub(in super::super) text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum ClauseKind {
    When,
    Unless,
}

/// The conditions of a policy. Cedar joins them by `&&`, to the right; it keeps how many there were and of
/// which kind elsewhere.
pub(super) fn of(rule: &Rule, policy: Option<&cedar_policy::Policy>) -> Vec<Clause> {
    let Some(condition) = &rule.condition else { return Vec::new() };
    let kinds: Vec<ClauseKind> = policy
        .and_then(|policy| policy.to_pst().ok())
        .map(|policy| policy.body().clauses().iter().map(kind).collect())
        .unwrap_or_default();
    let mut clauses = Vec::new();
    let mut rest = Arc::clone(condition);
    for at in 0..kinds.len().max(1) {
        let kind = kinds.get(at).copied().unwrap_or(ClauseKind::When);
        let parts = match rest.expr_kind() {
            ExprKind::And { left, right } if at + 1 < kinds.len() => {
                Some((Arc::clone(left), Arc::clone(right)))
            }
            _ => None,
        };
        let Some((left, right)) = parts else {
            clauses.push(Clause::new(kind, rest));
            break;
        };
        clauses.push(Clause::new(kind, left));
        rest = right;
    }
    clauses
}

fn kind(clause: &pst::Clause) -> ClauseKind {
    match clause {
        pst::Clause::When(_) => ClauseKind::When,
        pst::Clause::Unless(_) => ClauseKind::Unless,
    }
}

impl Clause {
    fn new(kind: ClauseKind, holds: Arc<Expr>) -> Self {
        let inner = match (kind, holds.expr_kind()) {
            (ClauseKind::Unless, ExprKind::UnaryApp { arg, .. }) => Arc::clone(arg),
            _ => Arc::clone(&holds),
        };
        let text = inner.source_loc().and_then(|place| place.snippet());
        let text = text.map_or_else(|| inner.to_string(), str::to_owned);
        Self { kind, holds, text }
    }

    /// As it stands in the policy.
    pub(in super::super) fn written(&self) -> String {
        match self.kind {
            ClauseKind::When => format!("when {{ {} }}", self.text),
            ClauseKind::Unless => format!("unless {{ {} }}", self.text),
        }
    }
}
