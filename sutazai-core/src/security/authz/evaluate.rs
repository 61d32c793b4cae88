//! Evaluates what the index finds: the same answers as Cedar's own authorizer.
//!
//! **Why skipping is sound.** Cedar evaluates a policy as `principal scope && (action scope && (resource scope
//! && condition))`. With a principal, action and resource that are known, each part of a scope compares
//! entities, types and ancestors, and cannot fail; `&&` evaluates nothing behind a part that is false. So a
//! policy whose scope does not hold is false: it neither decides nor fails, and whether it is evaluated at all
//! cannot be told from the response. One whose scope holds is what its condition is, which is therefore the
//! only thing evaluated here.

use cedar_policy_core::ast::{Literal, PartialValue, Value, ValueKind};
use cedar_policy_core::evaluator::{EvaluationError, Evaluator};
use cedar_policy_core::extensions::Extensions;

use super::answer::{Answer, Verdict};
use super::entities::Entities;
use super::index::Held;
use super::reach::Reach;
use super::request::Request;
use super::set::{Effect, PolicySet, Rule};

/// Policies, entities, and where they meet.
pub(super) struct Plane {
    pub(super) set: PolicySet,
    pub(super) entities: Entities,
    pub(super) reach: Reach,
}

/// Something that cannot be decided by evaluating conditions alone: a value is not known.
pub(super) struct Unknown;

impl Plane {
    pub(super) fn new(set: PolicySet, entities: Entities) -> Self {
        let reach = Reach::new(set.scopes(), &entities);
        Self { set, entities, reach }
    }

    /// The answer, by way of the index.
    pub(super) fn decide(&self, request: &Request, generation: u64) -> Answer {
        match self.judge(request) {
            Ok(verdict) => Answer::new(&self.set, generation, verdict),
            // Only where another crate of the host's has Cedar's partial evaluation compiled in, and the
            // policies use it.
            Err(Unknown) => self.decide_by_authorizer(request, generation),
        }
    }

    /// The answer of Cedar's own authorizer, which evaluates every policy.
    pub(super) fn decide_by_authorizer(&self, request: &Request, generation: u64) -> Answer {
        let authorizer = cedar_policy::Authorizer::new();
        let request = cedar_policy::Request::from(request.core());
        let said = authorizer.is_authorized(&request, self.set.cedar(), self.entities.cedar());
        let mut verdict = Verdict::default();
        let reasons = said.diagnostics().reason();
        let reasons = reasons.filter_map(|id| self.set.number(id.as_ref())).collect();
        match said.decision() {
            cedar_policy::Decision::Allow => verdict.permits = reasons,
            cedar_policy::Decision::Deny => verdict.forbids = reasons,
        }
        for error in said.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            if let Some(at) = self.set.number(error.policy_id().as_ref()) {
                verdict.faults.push((at, error.clone().into_inner()));
            }
        }
        Answer::new(&self.set, generation, verdict)
    }

    fn judge(&self, request: &Request) -> Result<Verdict, Unknown> {
        let mut verdict = Verdict::default();
        let mut evaluator = None;
        let mut known = Ok(());
        self.set.index().candidates(self.reach.held(request), &mut |at| {
            let Some(rule) = self.set.rule(at) else { return };
            let holds = match &rule.condition {
                None => Ok(true),
                Some(_) => {
                    let evaluator = evaluator.get_or_insert_with(|| self.evaluator(request));
                    match holds(evaluator, rule) {
                        Ok(holds) => holds,
                        Err(unknown) => return known = Err(unknown),
                    }
                }
            };
            match (holds, rule.effect) {
                (Ok(true), Effect::Permit) => verdict.permits.push(at),
                (Ok(true), Effect::Forbid) => verdict.forbids.push(at),
                (Ok(false), _) => {}
                (Err(error), _) => verdict.faults.push((at, error)),
            }
        });
        known.map(|()| verdict)
    }

    pub(super) fn evaluator(&self, request: &Request) -> Evaluator<'_> {
        Evaluator::new(request.core(), self.entities.core(), Extensions::all_available())
    }

    /// The policies whose scope holds.
    pub(super) fn candidates(&self, held: Held<'_>) -> Vec<u32> {
        let mut found = Vec::new();
        self.set.index().candidates(held, &mut |at| found.push(at));
        found.sort_unstable();
        found
    }
}

/// Whether the condition of a policy holds whose scope does.
pub(super) fn holds(
    evaluator: &Evaluator<'_>,
    rule: &Rule,
) -> Result<Result<bool, EvaluationError>, Unknown> {
    let Some(condition) = &rule.condition else { return Ok(Ok(true)) };
    Ok(match evaluator.partial_interpret(condition, rule.core.env()) {
        Ok(PartialValue::Value(Value { value: ValueKind::Lit(Literal::Bool(holds)), .. })) => {
            Ok(holds)
        }
        Ok(PartialValue::Residual(_)) => return Err(Unknown),
        // An error takes the place of the smallest expression around it that has one; where that is the
        // policy, only the policy as a whole tells it. It also tells what is wrong with a value that is none.
        Err(error) if !rule.placed_by_policy => Err(error),
        Err(_) | Ok(PartialValue::Value(_)) => evaluator.evaluate(&rule.core),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Cedar's authorizer says is what the index says, to the last byte: which place in the text an error
    /// names is a part of it.
    #[test]
    fn errors_are_the_authorizers_with_their_places() {
        let conditions = [
            "when { context.missing }",
            "when { context.missing && true }",
            "when { 1 }",
            "when { true } when { \"x\" } unless { false }",
            "when { 1 + \"x\" == 2 }",
            "unless { principal.name == \"x\" }",
            "when { true && 1 }",
            "when { if context then true else false }",
            "when { 9223372036854775807 + 1 > 0 } unless { true }",
            "when { ip(\"nowhere\").isLoopback() }",
            "when { resource in 3 }",
            "when { principal.getTag(\"t\") == 1 }",
            "when { [1, 2].contains(principal.age) }",
            "when { context.n.m has o }",
        ];
        let text: String = conditions
            .iter()
            .map(|condition| format!("permit (principal, action, resource) {condition};\n"))
            .collect();
        let json = text.parse::<cedar_policy::PolicySet>().unwrap().to_json().unwrap().to_string();
        // Made in the program: the policy has a place and its condition has none, or the other way around.
        let mixed = mixed(&text);
        for set in [
            PolicySet::from_cedar("text", &text).unwrap(),
            PolicySet::from_json("json", &json).unwrap(),
            mixed,
        ] {
            let plane = Plane::new(set, Entities::empty());
            let request = Request::new(
                r#"User::"a""#.parse().unwrap(),
                r#"Action::"b""#.parse().unwrap(),
                r#"Page::"c""#.parse().unwrap(),
            );
            let [ours, theirs] =
                [plane.decide(&request, 1), plane.decide_by_authorizer(&request, 1)];
            assert_eq!(ours.faults().len(), conditions.len());
            assert_eq!(ours.faults(), theirs.faults());
            assert_eq!(format!("{:?}", ours.faults()), format!("{:?}", theirs.faults()));
        }
    }

    fn mixed(text: &str) -> PolicySet {
        use cedar_policy_core::ast::{self, Expr};
        let mut set = ast::PolicySet::new();
        let parsed: cedar_policy::PolicySet = text.parse().unwrap();
        for policy in parsed.policies() {
            let policy: &ast::Policy = policy.as_ref();
            let condition = policy.non_scope_constraints().unwrap().clone();
            let placeless = Expr::and(Expr::val(true), condition).with_maybe_source_loc(None);
            let body = ast::StaticPolicy::new(
                policy.id().clone(),
                policy.loc().cloned(),
                ast::Annotations::new(),
                policy.effect(),
                ast::PrincipalConstraint::any(),
                ast::ActionConstraint::any(),
                ast::ResourceConstraint::any(),
                Some(placeless),
            );
            set.add_static(body.unwrap()).unwrap();
        }
        PolicySet::new(set.into(), None, Vec::new())
    }
}
