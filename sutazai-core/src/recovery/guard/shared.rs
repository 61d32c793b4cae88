//! The parts that guards share by name.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::policy::GuardPolicy;
use crate::recovery::{
    Breaker, BreakerPolicy, Budget, BudgetPolicy, Bulkhead, BulkheadPolicy, RateLimit, RatePolicy,
};
use crate::{Code, Error, Result};

/// Budgets, breakers, bulkheads and rate limits by name; see [`Share`](super::Share). Cheap to clone;
/// clones are the same.
#[derive(Clone, Debug, Default)]
pub struct SharedParts(Arc<Mutex<Named>>);

#[derive(Debug, Default)]
struct Named {
    budgets: HashMap<String, (BudgetPolicy, Arc<Budget>)>,
    breakers: HashMap<String, (BreakerPolicy, Arc<Breaker>)>,
    bulkheads: HashMap<String, (BulkheadPolicy, Bulkhead)>,
    rates: HashMap<String, (RatePolicy, Arc<RateLimit>)>,
}

/// The parts of one guard.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) breaker: Option<Arc<Breaker>>,
    pub(super) bulkhead: Option<Bulkhead>,
    pub(super) rate: Option<Arc<RateLimit>>,
}

impl SharedParts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The budget of this name, if a guard has made it.
    pub fn budget(&self, name: &str) -> Option<Arc<Budget>> {
        self.0.lock().budgets.get(name).map(|(_, part)| Arc::clone(part))
    }

    /// The breaker of this name, if a guard has made it.
    pub fn breaker(&self, name: &str) -> Option<Arc<Breaker>> {
        self.0.lock().breakers.get(name).map(|(_, part)| Arc::clone(part))
    }

    /// What a guard of this name and policy gets: the shared parts that it names, and its own, of which
    /// it keeps those that it `had`.
    pub(super) fn choose(&self, name: &str, policy: &GuardPolicy, had: &Chosen) -> Result<Chosen> {
        let mut named = self.0.lock();
        let share = &policy.share;
        // A retry without a budget could be a storm, so there is always one.
        let budget = policy
            .budget
            .clone()
            .or_else(|| policy.retry.as_ref().map(|_| BudgetPolicy::default()));
        Ok(Chosen {
            budget: pick(
                name,
                share.budget.as_deref(),
                budget,
                &mut named.budgets,
                had.budget.as_ref(),
                |name, policy| Budget::new(name, policy).map(Arc::new),
                |part, policy| part.set_policy(policy),
            )?,
            breaker: pick(
                name,
                share.breaker.as_deref(),
                policy.breaker.clone(),
                &mut named.breakers,
                had.breaker.as_ref(),
                |name, policy| Breaker::new(name, policy).map(Arc::new),
                |part, policy| part.set_policy(policy),
            )?,
            bulkhead: pick(
                name,
                share.bulkhead.as_deref(),
                policy.bulkhead.clone(),
                &mut named.bulkheads,
                had.bulkhead.as_ref(),
                Bulkhead::new,
                |part, policy| part.set_policy(policy),
            )?,
            rate: pick(
                name,
                share.rate.as_deref(),
                policy.rate.clone(),
                &mut named.rates,
                had.rate.as_ref(),
                |name, policy| RateLimit::new(name, policy).map(Arc::new),
                |part, policy| part.set_policy(policy),
            )?,
        })
    }
}

/// One part: the shared one of this name, or one of the guard's own.
fn pick<P: Clone + PartialEq + Default, T: Clone>(
    guard: &str,
    shared: Option<&str>,
    policy: Option<P>,
    named: &mut HashMap<String, (P, T)>,
    had: Option<&T>,
    make: impl FnOnce(Arc<str>, P) -> Result<T>,
    change: impl FnOnce(&T, P) -> Result<()>,
) -> Result<Option<T>> {
    let Some(name) = shared else {
        return match (policy, had) {
            (None, _) => Ok(None),
            (Some(policy), Some(had)) => change(had, policy).map(|()| Some(had.clone())),
            (Some(policy), None) => make(guard.into(), policy).map(Some),
        };
    };
    if let Some((theirs, part)) = named.get(name) {
        return match policy {
            Some(ours) if ours != *theirs && ours != P::default() => {
                Err(Error::new(Code::INVALID, "guards that share a part disagree about its policy")
                    .operation("recovery.guard")
                    .with("guard", guard)
                    .with("shared", name)
                    .advice("give the policy in one of them only, or the same in all"))
            }
            _ => Ok(Some(part.clone())),
        };
    }
    let policy = policy.unwrap_or_default();
    let part = make(name.into(), policy.clone())?;
    named.insert(name.to_owned(), (policy, part.clone()));
    Ok(Some(part))
}
