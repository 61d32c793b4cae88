//! Which class a failure is of.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::facts::Facts;
use super::hint::{self, Hint};
use super::read::is_vague;
use super::rules::{Rule, Rules};
use super::verdict::Verdict;
use super::weigh::weigh_all;
use crate::base::time::Timestamp;
use crate::{Class, Code, Error, Result};

/// Says which class a failure is of, and why.
///
/// In this order: the host's rules, the first that fits; what the library's own code means, or the
/// class that the error declares itself; the built-in rules, which weigh everything that is known
/// by how much it says; the error's own class; and for what nothing is known of, persistent.
///
/// A failure that its own code decides is classified without allocation, and without looking at
/// texts unless a rule of the host's does.
///
/// ```
/// use sutazai_core::Class;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::recovery::{Classifier, Facts};
/// let classifier = Classifier::new();
/// let class = |status, text| {
///     let facts = Facts { http_status: Some(status), ..Facts::text(text) };
///     classifier.classify(&facts, Timestamp::now()).class
/// };
/// assert_eq!(class(429, "Too Many Requests"), Class::Transient);
/// assert_eq!(class(429, "You exceeded your current quota: insufficient_quota"), Class::Persistent);
/// assert_eq!(class(403, "API rate limit exceeded"), Class::Transient);
/// assert_eq!(class(500, "no space left on device"), Class::Critical);
/// ```
#[derive(Debug, Default)]
pub struct Classifier {
    rules: ArcSwap<Rules>,
}

impl Classifier {
    /// With the built-in rules only.
    pub fn new() -> Self {
        Self::default()
    }

    /// With rules of the host's, which are tried first.
    ///
    /// # Errors
    /// [`Code::INVALID`]: every mistake of every rule, each with the rule and the field.
    pub fn with_rules(rules: Vec<Rule>) -> Result<Self> {
        Ok(Self { rules: ArcSwap::from_pointee(Rules::new(rules)?) })
    }

    /// Puts other rules of the host's in the place of the present ones, while others classify.
    ///
    /// # Errors
    /// As [`Classifier::with_rules`]; the present rules stay then.
    pub fn set_rules(&self, rules: Vec<Rule>) -> Result<()> {
        self.rules.store(Arc::new(Rules::new(rules)?));
        Ok(())
    }

    /// The host's rules.
    pub fn rules(&self) -> Vec<Rule> {
        self.rules.load().given.clone()
    }

    /// Classifies a failure; `now` is for hints that are dates.
    pub fn classify(&self, facts: &Facts<'_>, now: Timestamp) -> Verdict {
        let rules = self.rules.load();
        let Some(found) = rules.find(facts) else { return built_in(facts, now) };
        let mut verdict =
            Verdict::new(found.class, found.name.clone(), "a rule of the host's says so");
        match found.retry_after {
            Some(wait) => verdict.retry_after = Some(wait),
            None if found.class == Class::Transient => {
                let spoken = || weigh_all(facts).wait.map(Hint::after);
                advise(&mut verdict, hint::of(facts, true, now).or_else(spoken));
            }
            None => {}
        }
        verdict
    }

    /// Classifies an error of the library's by what it, its context and its sources say.
    pub fn classify_error(&self, error: &Error, now: Timestamp) -> Verdict {
        // Most often the code is all there is to it, and then there is no need to gather facts.
        if error.context().next().is_none()
            && self.rules.load().is_empty()
            && let Some(verdict) = decided(error.code(), error.class())
        {
            return verdict;
        }
        self.classify(&Facts::of(error), now)
    }
}

fn built_in(facts: &Facts<'_>, now: Timestamp) -> Verdict {
    if let Some(mut verdict) = by_code(facts) {
        advise(&mut verdict, hint::of(facts, false, now));
        return verdict;
    }
    let weighed = weigh_all(facts);
    let Some(found) = weighed.scale.heaviest() else {
        return Verdict::new(
            Class::Persistent,
            "unknown",
            "nothing is known of it that says that trying again would help",
        );
    };
    let reason = match found.quote {
        Some(quote) => Cow::Owned(format!("{}: {quote:?}", found.reason)),
        None => Cow::Borrowed(found.reason),
    };
    let mut verdict = Verdict::new(found.class, found.rule, reason);
    let limited = facts.http_status == Some(429)
        || matches!(found.rule, "text.rate_limit" | "text.try_again" | "http.retry_after");
    let hint = hint::of(facts, limited, now).or_else(|| weighed.wait.map(Hint::after));
    advise(&mut verdict, hint);
    verdict
}

/// What the library's own codes say, when they say enough.
fn by_code(facts: &Facts<'_>) -> Option<Verdict> {
    let code = facts.code?;
    let class = facts.class.unwrap_or_else(|| code.class());
    decided(code, class).or_else(|| {
        let (code, class) = facts.cause?;
        decided(code, class)
    })
}

fn decided(code: Code, class: Class) -> Option<Verdict> {
    if class != code.class() {
        let reason = match class {
            Class::Transient => "the error declares itself transient",
            Class::Persistent => "the error declares itself persistent",
            Class::Critical => "the error declares itself critical",
        };
        return Some(Verdict::new(class, "error.class", reason));
    }
    (!is_vague(code)).then(|| Verdict::new(class, code.name(), code.doc()))
}

/// Puts a hint into the verdict on what is transient, and says when it was not taken as it is.
fn advise(verdict: &mut Verdict, hint: Option<Hint>) {
    if let Some(hint) = hint
        && verdict.class == Class::Transient
    {
        verdict.retry_after = Some(hint.wait);
        if let Some(bounded) = hint.bounded {
            verdict.remark(bounded.remark());
        }
    }
}
