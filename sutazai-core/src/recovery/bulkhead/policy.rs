//! What a bulkhead is told: [`BulkheadPolicy`].

use serde::{Deserialize, Serialize};

#[cfg(feature = "tune")]
use crate::base::limit::LimitPolicy;
use crate::{Code, Error, Result};

/// How many calls run and wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BulkheadPolicy {
    /// Calls that run at once, 1 or more. Default 64.
    pub concurrency: u32,
    /// Calls that may wait for a place. Default 64; 0 to reject at once.
    pub queue: u32,
    /// Finds out, from what calls take, how many its target can take at once, and lets in no more; never more than
    /// `concurrency`, so that neither its `min` nor the `initial` that it is told may be more than that. What calls take is known where
    /// they go through a [`Guard`](crate::recovery::Guard).
    #[cfg(feature = "tune")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapt: Option<LimitPolicy>,
}

impl Default for BulkheadPolicy {
    fn default() -> Self {
        Self {
            concurrency: 64,
            queue: 64,
            #[cfg(feature = "tune")]
            adapt: None,
        }
    }
}

impl BulkheadPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        if self.concurrency == 0 {
            return Err(Error::new(Code::INVALID, "the bulkhead is not valid")
                .operation("recovery.bulkhead")
                .with("field", "concurrency")
                .with("rule", "must be at least 1"));
        }
        #[cfg(feature = "tune")]
        if let Some(adapt) = &self.adapt {
            adapt.check()?;
            self.holds("adapt.min", adapt.min)?;
        }
        Ok(())
    }

    /// As [`check`](Self::check), for one that somebody puts in force. Where a limit begins counts only then: who lowers `concurrency`
    /// later need not lower that as well.
    ///
    /// # Errors
    /// As there.
    pub fn check_anew(&self) -> Result<()> {
        self.check()?;
        #[cfg(feature = "tune")]
        if let Some(initial) = self.adapt.as_ref().and_then(|adapt| adapt.initial) {
            self.holds("adapt.initial", initial)?;
        }
        Ok(())
    }

    /// For a target that takes `most` at once: what adapts is held within that, too.
    pub(crate) fn at_most(&mut self, most: u32) {
        self.concurrency = self.concurrency.min(most.max(1));
        #[cfg(feature = "tune")]
        if let Some(adapt) = &mut self.adapt {
            adapt.min = adapt.min.min(self.concurrency);
            adapt.initial = adapt.initial.map(|initial| initial.min(self.concurrency));
        }
    }

    /// Whether a bound of the limit that adapts is one within `concurrency`.
    #[cfg(feature = "tune")]
    fn holds(&self, field: &'static str, value: u32) -> Result<()> {
        if value <= self.concurrency {
            return Ok(());
        }
        let what = "the limit that adapts cannot be above the bulkhead's concurrency";
        Err(Error::new(Code::INVALID, what)
            .operation("recovery.bulkhead")
            .with("field", field)
            .with("value", value)
            .with("concurrency", self.concurrency)
            .advice("lower it, or allow more calls at once (concurrency)"))
    }
}
