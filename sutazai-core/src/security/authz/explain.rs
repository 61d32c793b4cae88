//! Which policies decided, and what would have changed it.

use std::fmt;

use cedar_policy_core::ast::{Literal, Value, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use serde::Serialize;

use super::answer::AnswerView;
use super::engine::PolicyEngine;
use super::evaluate::Plane;
use super::index::Held;
use super::request::Request;
use super::set::{ClauseKind, Effect, Rule};

/// How many near misses an explanation holds.
const NEAR: usize = 8;
/// How many policies whose scope misses by one part are looked into.
const LOOKED_INTO: usize = 512;

/// A decision explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Explanation {
    /// The decision.
    pub answer: AnswerView,
    /// When a forbid denies it: the permits that hold, and would allow it if none forbade.
    pub permitted_by: Vec<String>,
    /// The policies that would have changed it and missed by little, the nearest first: permits when it is
    /// denied, forbids when it is allowed.
    pub near: Vec<NearMiss>,
    /// How many near misses there are beyond these.
    pub more: u64,
}

/// A policy that nearly applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct NearMiss {
    /// The policy.
    pub policy: String,
    /// What it would have done.
    pub effect: Effect,
    /// What of it did not hold. Were all of it otherwise, it would have applied.
    pub missed: Vec<Miss>,
}

/// A part of a policy that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Miss {
    /// Which part.
    pub part: PolicyPart,
    /// As it stands in the policy.
    pub text: String,
    /// Why it could not be evaluated, if that is why it did not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A part of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyPart {
    /// What its scope asks of the principal.
    Principal,
    /// What its scope asks of the action.
    Action,
    /// What its scope asks of the resource.
    Resource,
    /// A condition that must hold.
    When,
    /// A condition that must not.
    Unless,
}

impl PolicyEngine {
    /// Decides as [`decide`](Self::decide) does, past the cache, and says what would have changed the decision.
    /// Takes time in proportion to the number of policies: meant for people, not for every call.
    ///
    /// A near miss is a policy whose scope holds but not its conditions, or whose scope misses by one part of
    /// three.
    ///
    /// ```
    /// use sutazai_core::security::authz::{Entities, PolicyEngine, PolicySet, Request};
    /// let set = PolicySet::from_cedar("p", r#"
    ///     permit (principal, action == Action::"read", resource) when { context.level > 3 };
    /// "#)?;
    /// let engine = PolicyEngine::new(set, Entities::empty());
    /// let read = Request::new("U::\"a\"".parse()?, "Action::\"read\"".parse()?, "P::\"x\"".parse()?);
    /// let context = sutazai_core::security::authz::Context::from_json(serde_json::json!({"level": 2}))?;
    /// let told = engine.explain(&read.with_context(context));
    /// assert_eq!(told.to_string(), "denied: nothing permits it\n\
    ///     would be permitted by policy0, but for: when { context.level > 3 }");
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    pub fn explain(&self, request: &Request) -> Explanation {
        let state = self.state();
        let plane = &state.live;
        let answer = plane.decide(request, state.generation);
        let held = plane.reach.held(request);
        let evaluator = plane.evaluator(request);
        let forbidden = !answer.is_allowed() && !answer.decided().is_empty();
        let permitted_by = if forbidden {
            let permits = plane.candidates(held).into_iter().filter_map(|at| plane.set.rule(at));
            let permits = permits.filter(|rule| rule.effect == Effect::Permit);
            let holding = permits
                .filter(|rule| matches!(super::evaluate::holds(&evaluator, rule), Ok(Ok(true))));
            holding.map(|rule| rule.id.to_string()).collect()
        } else {
            Vec::new()
        };
        let effect = if answer.is_allowed() { Effect::Forbid } else { Effect::Permit };
        let (near, more) = if permitted_by.is_empty() {
            near(plane, request, held, effect)
        } else {
            // Only that no forbid held would change it.
            (Vec::new(), 0)
        };
        Explanation { answer: answer.view(), permitted_by, near, more }
    }
}

/// Near misses of one effect, the nearest first, and how many more there are.
fn near(plane: &Plane, request: &Request, held: Held<'_>, effect: Effect) -> (Vec<NearMiss>, u64) {
    let evaluator = plane.evaluator(request);
    let mut found: Vec<(u32, NearMiss)> = Vec::new();
    let mut by_one = 0_u64;
    for ((rule, scope), at) in plane.set.rules().iter().zip(plane.set.scopes().triples()).zip(0..) {
        if rule.effect != effect {
            continue;
        }
        let holds = |(atom, atoms): &(&u32, &[u32])| atoms.binary_search(atom).is_ok();
        let parts: Vec<bool> = scope.iter().zip(held).map(|pair| holds(&pair)).collect();
        let missing = parts.iter().filter(|holds| !**holds).count();
        if missing > 1 {
            continue;
        }
        by_one += missing as u64;
        if by_one > LOOKED_INTO as u64 && missing > 0 {
            continue;
        }
        let mut missed = missed_scope(rule, &parts);
        missed_clauses(plane, &evaluator, rule, at, &mut missed);
        if !missed.is_empty() {
            let miss = NearMiss { policy: rule.id.to_string(), effect, missed };
            // What holds in its scope is nearer than what does not, by however many conditions.
            found.push((u32::from(missing > 0), miss));
        }
    }
    let all = found.len() as u64 + by_one.saturating_sub(LOOKED_INTO as u64);
    found.sort_by_key(|(missing, miss)| (miss.missed.len(), *missing));
    found.truncate(NEAR);
    let more = all - found.len() as u64;
    (found.into_iter().map(|(_, miss)| miss).collect(), more)
}

fn missed_scope(rule: &Rule, parts: &[bool]) -> Vec<Miss> {
    let told = |part, text| Miss { part, text, error: None };
    let core = &rule.core;
    let missed = parts.iter().zip(0..).filter(|(holds, _)| !**holds);
    missed
        .map(|(_, dimension)| match dimension {
            0 => told(PolicyPart::Principal, core.principal_constraint().to_string()),
            1 => told(PolicyPart::Action, core.action_constraint().to_string()),
            _ => told(PolicyPart::Resource, core.resource_constraint().to_string()),
        })
        .collect()
}

fn missed_clauses(
    plane: &Plane,
    evaluator: &Evaluator<'_>,
    rule: &Rule,
    at: u32,
    missed: &mut Vec<Miss>,
) {
    let mut reached = true;
    for clause in plane.set.clauses(at) {
        let part = match clause.kind {
            ClauseKind::When => PolicyPart::When,
            ClauseKind::Unless => PolicyPart::Unless,
        };
        let error = match evaluator.interpret(&clause.holds, rule.core.env()) {
            Ok(value) => match truth(&value) {
                Some(true) => continue,
                Some(false) => None,
                None => Some("it is neither true nor false".to_owned()),
            },
            // One that the condition before it keeps from being evaluated may fail by design.
            Err(_) if !reached => continue,
            Err(error) => Some(error.to_string()),
        };
        reached = false;
        missed.push(Miss { part, text: clause.written(), error });
    }
}

fn truth(value: &Value) -> Option<bool> {
    match &value.value {
        ValueKind::Lit(Literal::Bool(holds)) => Some(*holds),
        _ => None,
    }
}

impl fmt::Display for Explanation {
    /// The decision and its reasons in one line, then a line for each near miss.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = self.answer.reasons.join(", ");
        match (self.answer.allowed, self.answer.reasons.is_empty()) {
            (true, _) => write!(f, "allowed by {reasons}")?,
            (false, true) => f.write_str("denied: nothing permits it")?,
            (false, false) => write!(f, "denied by {reasons}")?,
        }
        if !self.permitted_by.is_empty() {
            write!(f, "\nwould otherwise be permitted by {}", self.permitted_by.join(", "))?;
        }
        for near in &self.near {
            let verb = if near.effect == Effect::Permit { "permitted" } else { "forbidden" };
            write!(f, "\nwould be {verb} by {}, but for: ", near.policy)?;
            for (at, miss) in near.missed.iter().enumerate() {
                write!(f, "{}{}", if at > 0 { "; " } else { "" }, miss.text)?;
                if let Some(error) = &miss.error {
                    write!(f, " ({error})")?;
                }
            }
        }
        if self.more > 0 {
            write!(f, "\nand {} more that would nearly have changed it", self.more)?;
        }
        self.answer.errors.iter().try_for_each(|error| write!(f, "\nerror {error}"))
    }
}
