//! What the failures of guarded calls are: by the host's rules, the built-in ones, and what the agent's
//! calls failed with before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::base::runtime::Runtime;
use crate::recovery::{Classifier, ClassifyPolicy, Facts, History, Verdict};
use crate::{Class, Error, Result};

/// Judges failures.
pub(super) struct Judge {
    classifier: Arc<Classifier>,
    history: Mutex<History>,
    /// Whether anything is held against an agent: what succeeds then costs one load.
    held: AtomicBool,
}

impl Judge {
    pub(super) fn new(policy: ClassifyPolicy) -> Result<Self> {
        Ok(Self {
            classifier: Arc::new(Classifier::with_rules(policy.rules)?),
            history: Mutex::new(History::new(policy.history)?),
            held: AtomicBool::new(false),
        })
    }

    pub(super) fn policy(&self) -> ClassifyPolicy {
        let history = self.history.lock().policy().clone();
        ClassifyPolicy { rules: self.classifier.rules(), history }
    }

    pub(super) fn classifier(&self) -> &Arc<Classifier> {
        &self.classifier
    }

    /// Takes other rules; what was seen stays.
    pub(super) fn set_policy(&self, policy: ClassifyPolicy) -> Result<()> {
        policy.check()?;
        let mut history = self.history.lock();
        self.classifier.set_rules(policy.rules)?;
        history.set_policy(policy.history)
    }

    /// Says what a failure is; `agent` is whose it is, if an agent got the call.
    pub(super) fn judge(
        &self,
        agent: Option<&str>,
        error: &Error,
        runtime: &dyn Runtime,
    ) -> Verdict {
        let verdict = self.classifier.classify_error(error, runtime.timestamp());
        let Some(agent) = agent.filter(|_| verdict.class == Class::Transient) else {
            return verdict;
        };
        let mut history = self.history.lock();
        let verdict = history.judge(agent, &Facts::of(error), verdict, runtime.now());
        self.held.store(true, Ordering::Release);
        verdict
    }

    /// A call of the agent succeeded: what was held against it is forgiven.
    #[inline]
    pub(super) fn succeeded(&self, agent: &str) {
        if self.held.load(Ordering::Acquire) {
            let mut history = self.history.lock();
            history.succeeded(agent);
            self.held.store(!history.is_empty(), Ordering::Release);
        }
    }
}
