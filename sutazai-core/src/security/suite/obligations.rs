//! What permits ask for in their annotations.

use super::super::authz::PolicyView;
use crate::port::Obligation;

/// Adds what the permit asks for; or says what of it cannot be.
pub(super) fn of(policy: PolicyView<'_>, all: &mut Vec<Obligation>) -> Result<(), String> {
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
