//! A candidate set beside the one that decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::answer::{Answer, AnswerView};
use super::entities::Entities;
use super::evaluate::Plane;
use super::request::Request;
use super::set::PolicySet;
use crate::base::contain;

/// How many differences are kept as examples.
const EXAMPLES: usize = 32;

/// Where a candidate set differs from the one that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ShadowReport {
    /// How many decisions both have made.
    pub compared: u64,
    /// How many the candidate would allow, and are denied.
    pub would_allow: u64,
    /// How many the candidate would deny, and are allowed.
    pub would_deny: u64,
    /// How many both decide alike, by policies of other names.
    pub other_reasons: u64,
    /// In how many, of those that are decided alike by the same, policies failed in one that did not in the
    /// other.
    pub other_errors: u64,
    /// How many the candidate broke down at.
    pub failed: u64,
    /// The first of the differences.
    pub examples: Vec<ShadowDifference>,
}

/// A request that two sets answer differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ShadowDifference {
    /// Principal, action and resource.
    pub request: String,
    /// What was answered.
    pub live: AnswerView,
    /// What the candidate would have answered.
    pub candidate: AnswerView,
}

#[derive(Clone)]
pub(super) struct Shadow {
    plane: Arc<Plane>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    compared: AtomicU64,
    would_allow: AtomicU64,
    would_deny: AtomicU64,
    other_reasons: AtomicU64,
    other_errors: AtomicU64,
    failed: AtomicU64,
    examples: Mutex<Vec<ShadowDifference>>,
}

impl Shadow {
    pub(super) fn new(set: PolicySet, entities: Entities) -> Self {
        Self { plane: Arc::new(Plane::new(set, entities)), log: Arc::default() }
    }

    /// Whether the candidate speaks of this part of the context.
    pub(super) fn mentions(&self, part: &str) -> bool {
        self.plane.set.mentions(part)
    }

    /// The same candidate with other entities.
    pub(super) fn with(&self, entities: Entities) -> Self {
        let plane = Plane::new(self.plane.set.clone(), entities);
        Self { plane: Arc::new(plane), log: Arc::clone(&self.log) }
    }

    /// Counts what the candidate says of a request that was answered so.
    pub(super) fn compare(&self, request: &Request, live: &Answer) {
        let log = &self.log;
        // Whatever is wrong with a candidate is its own affair.
        let Ok(candidate) = contain::catch(|| self.plane.decide(request, live.generation())) else {
            log.failed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        log.compared.fetch_add(1, Ordering::Relaxed);
        let ids = |answer: &Answer| -> Vec<String> {
            let mut ids: Vec<_> = answer.reasons().map(|policy| policy.id().to_owned()).collect();
            ids.sort_unstable();
            ids
        };
        let failed = |answer: &Answer| -> Vec<String> {
            let mut ids: Vec<_> =
                answer.errors().map(|fault| fault.policy().id().to_owned()).collect();
            ids.sort_unstable();
            ids
        };
        let counter = match (live.is_allowed(), candidate.is_allowed()) {
            (false, true) => &log.would_allow,
            (true, false) => &log.would_deny,
            _ if ids(live) != ids(&candidate) => &log.other_reasons,
            _ if failed(live) != failed(&candidate) => &log.other_errors,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut examples = log.examples.lock();
        if examples.len() < EXAMPLES {
            examples.push(ShadowDifference {
                request: request.to_string(),
                live: live.view(),
                candidate: candidate.view(),
            });
        }
    }

    pub(super) fn report(&self) -> ShadowReport {
        let log = &self.log;
        ShadowReport {
            compared: log.compared.load(Ordering::Relaxed),
            would_allow: log.would_allow.load(Ordering::Relaxed),
            would_deny: log.would_deny.load(Ordering::Relaxed),
            other_reasons: log.other_reasons.load(Ordering::Relaxed),
            other_errors: log.other_errors.load(Ordering::Relaxed),
            failed: log.failed.load(Ordering::Relaxed),
            examples: log.examples.lock().clone(),
        }
    }
}
