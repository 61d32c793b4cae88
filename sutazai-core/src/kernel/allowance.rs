//! How many calls a policy allows somebody.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Result;
use crate::base::time::Moment;
use crate::recovery::{RateLimit, RatePolicy};

/// Rate limits that are kept. Of more, those go that have all their calls again; a limit that is lost begins
/// anew.
const MOST: usize = 10_000;

/// The rate limits that policies ask for, by caller and name.
#[derive(Default)]
pub(super) struct Allowances(Mutex<HashMap<Key, Arc<RateLimit>>>);

type Key = (String, String, u32, u64);

impl Allowances {
    pub(super) fn admit(
        &self,
        principal: &str,
        of: &str,
        calls: u32,
        per_s: u64,
        now: Moment,
    ) -> Result<()> {
        let key = (principal.to_owned(), of.to_owned(), calls, per_s);
        let limit = {
            let mut limits = self.0.lock();
            match limits.get(&key) {
                Some(limit) => Arc::clone(limit),
                None => {
                    let mut policy = RatePolicy::default();
                    (policy.calls, policy.period_ms) = (calls, per_s.saturating_mul(1000));
                    let limit = Arc::new(RateLimit::new(of, policy)?);
                    if limits.len() >= MOST {
                        limits.retain(|_, limit| !limit.free_in(now).is_zero());
                    }
                    if limits.len() >= MOST {
                        let any = limits.keys().next().cloned();
                        any.map(|any| limits.remove(&any));
                    }
                    limits.insert(key, Arc::clone(&limit));
                    limit
                }
            }
        };
        limit.admit(now)
    }
}
