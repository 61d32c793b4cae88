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
/// clones are the same. A part stays when its last guard is gone: the next one of that name finds it as it
/// was.
#[derive(Clone, Debug, Default)]
pub struct SharedParts(Arc<Mutex<Named>>);

#[derive(Debug, Default)]
struct Named {
    budgets: HashMap<String, (BudgetPolicy, Arc<Budget>)>,
    breakers: HashMap<String, (BreakerPolicy, Arc<Breaker>)>,
    bulkheads: HashMap<String, (BulkheadPolicy, Bulkhead)>,
    rates: HashMap<String, (RatePolicy, Arc<RateLimit>)>,
}

/// The parts of one guard, those that are off included.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) budget: Arc<Budget>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) bulkhead: Bulkhead,
    pub(super) rate: Arc<RateLimit>,
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

    /// Lets go of the parts that no guard has any more.
    pub fn let_go(&self) {
        let mut named = self.0.lock();
        named.budgets.retain(|_, (_, part)| Arc::strong_count(part) > 1);
        named.breakers.retain(|_, (_, part)| Arc::strong_count(part) > 1);
        named.bulkheads.retain(|_, (_, part)| part.is_held());
        named.rates.retain(|_, (_, part)| Arc::strong_count(part) > 1);
    }

    /// A guard has taken another policy, which its shared parts have now.
    pub(super) fn changed(&self, policy: &GuardPolicy) {
        let mut named = self.0.lock();
        let share = &policy.share;
        keep(&mut named.budgets, share.budget.as_deref(), policy.budget.as_ref());
        keep(&mut named.breakers, share.breaker.as_deref(), policy.breaker.as_ref());
        keep(&mut named.bulkheads, share.bulkhead.as_deref(), policy.bulkhead.as_ref());
        keep(&mut named.rates, share.rate.as_deref(), policy.rate.as_ref());
    }

    /// What a guard of this name and policy gets: the shared parts that it names, and its own.
    pub(super) fn choose(&self, name: &str, policy: &GuardPolicy) -> Result<Chosen> {
        let mut named = self.0.lock();
        let share = &policy.share;
        Ok(Chosen {
            budget: pick(
                name,
                share.budget.as_deref(),
                policy.budget.clone(),
                &mut named.budgets,
                |name, policy| Budget::new(name, policy).map(Arc::new),
                |part, policy| part.set_policy(policy),
            )?,
            breaker: pick(
                name,
                share.breaker.as_deref(),
                policy.breaker.clone(),
                &mut named.breakers,
                |name, policy| Breaker::new(name, policy).map(Arc::new),
                |part, policy| part.set_policy(policy),
            )?,
            bulkhead: pick(
                name,
                share.bulkhead.as_deref(),
                policy.bulkhead.clone(),
                &mut named.bulkheads,
                Bulkhead::new,
                |part, policy| part.set_policy(policy),
            )?,
            rate: pick(
                name,
                share.rate.as_deref(),
                policy.rate.clone(),
                &mut named.rates,
                |name, policy| RateLimit::new(name, policy).map(Arc::new),
                |part, policy| part.set_policy(policy),
            )?,
        })
    }
}

fn keep<P: Clone, T>(named: &mut HashMap<String, (P, T)>, name: Option<&str>, policy: Option<&P>) {
    if let (Some((kept, _)), Some(policy)) = (name.and_then(|name| named.get_mut(name)), policy) {
        kept.clone_from(policy);
    }
}

/// One part: the shared one of this name, or one of the guard's own.
fn pick<P: Clone + PartialEq + Default, T: Clone>(
    guard: &str,
    shared: Option<&str>,
    policy: Option<P>,
    named: &mut HashMap<String, (P, T)>,
    make: impl FnOnce(Arc<str>, P) -> Result<T>,
    set: impl FnOnce(&T, P) -> Result<()>,
) -> Result<T> {
    let Some(name) = shared else { return make(guard.into(), policy.unwrap_or_default()) };
    if let Some((theirs, part)) = named.get_mut(name) {
        return match policy {
            // The others have left it to whoever says something.
            Some(ours) if *theirs == P::default() && ours != *theirs => {
                set(part, ours.clone())?;
                *theirs = ours;
                Ok(part.clone())
            }
            Some(ours) if ours != *theirs && ours != P::default() => {
                Err(Error::new(Code::INVALID, "guards that share a part disagree about its policy")
                    .operation("recovery.guard")
                    .with("guard", guard)
                    .with("shared", name)
                    .advice("give the policy in one of them only, or the same in all"))
            }
            _ => Ok(part.clone()),
        };
    }
    let policy = policy.unwrap_or_default();
    let part = make(name.into(), policy.clone())?;
    named.insert(name.to_owned(), (policy, part.clone()));
    Ok(part)
}
