//! What permits ask for in their annotations.

use super::super::authz::{Effect, PolicySet, PolicyView};
use crate::base::nearest::nearest;
use crate::port::Obligation;
use crate::{Code, Error, Result};

/// The annotations that ask for something, and those that say more of one of them.
const KNOWN: [(&str, Option<&str>); 8] = [
    ("approval", None),
    ("approval_within_s", Some("approval")),
    ("rate_limit", None),
    ("rate_limit_of", Some("rate_limit")),
    ("read_only", None),
    ("redact", None),
    ("step_up", None),
    ("step_up_within_s", Some("step_up")),
];

/// Refuses policies whose annotations were meant to ask for something and do not: one that is nearly such an annotation, one
/// that says more of another that is missing, and one on what forbids. What else is annotated is the host's.
///
/// # Errors
/// [`Code::POLICY_INVALID`], for each of them.
pub(super) fn check(policies: &PolicySet) -> Result<()> {
    let mut problems = Vec::new();
    for policy in policies.policies().filter(|policy| policy.template().is_none()) {
        let mut problem = |what: String, advice: String| {
            let error = Error::new(Code::POLICY_INVALID, what).with("policy", policy.id());
            problems.push(error.advice(advice));
        };
        for (name, _) in policy.annotations() {
            let known = KNOWN.iter().find(|(known, _)| *known == name);
            match known {
                Some(_) if policy.effect() == Effect::Forbid => problem(
                    format!("@{name} stands on a policy that forbids, which asks for nothing"),
                    "permits ask for it".to_owned(),
                ),
                Some((_, Some(main))) if policy.annotation(main).is_none() => problem(
                    format!("@{name} says more of @{main}, which is missing"),
                    format!("annotate the policy with @{main} as well"),
                ),
                None => {
                    if let Some(near) = nearest(name, KNOWN.iter().map(|(known, _)| *known)) {
                        problem(
                            format!("@{name} asks for nothing, and is nearly @{near}"),
                            format!("did you mean @{near}?"),
                        );
                    }
                }
                Some(_) => {}
            }
        }
    }
    Error::join(problems).map_or(Ok(()), Err)
}

/// Adds what the permit asks for; or says what of it cannot be.
pub(super) fn of(
    policy: PolicyView<'_>,
    all: &mut Vec<Obligation>,
) -> std::result::Result<(), String> {
    let words = |text: &str| {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let seconds = |name: &str| match policy.annotation(name) {
        None => Ok(None),
        Some(text) => text.trim().parse().map(Some).map_err(|_| format!("@{name}({text:?})")),
    };
    let mut add = |obligation: Obligation| {
        if !all.contains(&obligation) {
            all.push(obligation);
        }
    };
    if let Some(text) = policy.annotation("step_up") {
        let schemes = words(text);
        if schemes.is_empty() {
            return Err("@step_up without a scheme".to_owned());
        }
        add(Obligation::StepUp { schemes, within_s: seconds("step_up_within_s")? });
    }
    if policy.annotation("read_only").is_some() {
        add(Obligation::ReadOnly);
    }
    if let Some(text) = policy.annotation("rate_limit") {
        let parsed = text.split_once('/').and_then(|(calls, per_s)| {
            let (calls, per_s) = (calls.trim().parse().ok()?, per_s.trim().parse().ok()?);
            (calls > 0 && per_s > 0).then_some((calls, per_s))
        });
        let (calls, per_s) = parsed.ok_or_else(|| format!("@rate_limit({text:?})"))?;
        let of = policy.annotation("rate_limit_of").unwrap_or("").to_owned();
        add(Obligation::RateLimit { calls, per_s, of });
    }
    if let Some(text) = policy.annotation("approval") {
        let within_s = seconds("approval_within_s")?.unwrap_or(600);
        add(Obligation::Approval { by: words(text), within_s });
    }
    if let Some(text) = policy.annotation("redact") {
        let fields = words(text);
        if fields.is_empty() {
            return Err("@redact without a field".to_owned());
        }
        add(Obligation::Redact { fields });
    }
    Ok(())
}
