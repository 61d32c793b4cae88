//! Principals that are disabled.

use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{check_principal, is_principal};
use super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::security::token::Revocations;
use crate::store::Store;
use crate::{Code, Error, Result};

/// The longest reason, in bytes.
pub const REASON_MAX: usize = 512;

/// That somebody is disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DisabledView {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What is known of a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PrincipalView {
    /// Their name.
    pub principal: String,
    /// The schemes of the factors that they have, in order of the alphabet.
    pub factors: Vec<String>,
    /// Why they are disabled, and since when, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<DisabledView>,
}

/// Who is disabled: no login of theirs succeeds, and no token, API key or certificate of theirs is good, until they are
/// enabled.
///
/// It holds for every check that begins after [`disable`](Self::disable) has begun, and after a restart once it has
/// returned.
pub struct Principals {
    records: Records<Record>,
    revocations: Arc<Revocations>,
    /// Held while somebody is disabled or enabled, so that memory and store agree.
    turn: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    principal: String,
    #[serde(flatten)]
    view: DisabledView,
}

impl Principals {
    /// Those of this store; whose they are is refused by these revocations.
    ///
    /// # Errors
    /// What the store answers, also for a record that cannot be read: it may be of somebody who is disabled.
    pub fn open(store: Store, revocations: Arc<Revocations>) -> Result<Self> {
        let records: Records<Record> = Records::new(store, "security.disabled");
        records.find(None, usize::MAX, |record| {
            revocations.suspend(&record.principal);
            None::<()>
        })?;
        Ok(Self { records, revocations, turn: Mutex::new(()) })
    }

    /// Disables somebody, or gives another reason for it. Whether they were not before.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name or a reason that cannot be; what the store answers: then they are disabled until this
    /// process ends.
    pub fn disable(&self, principal: &str, reason: &str, now: Timestamp) -> Result<bool> {
        const OPERATION: &str = "security.principal_disable";
        check_principal(principal, OPERATION)?;
        if reason.len() > REASON_MAX {
            return Err(Error::new(Code::INVALID, "a reason has 512 bytes at most")
                .operation(OPERATION)
                .with("bytes", reason.len()));
        }
        let _turn = self.turn.lock();
        self.revocations.suspend(principal);
        let (principal_is, reason) = (principal.to_owned(), reason.to_owned());
        self.records.change(principal, now, |there| {
            let since = there.as_ref().map_or(now, |there| there.view.since);
            let view = DisabledView { reason, since };
            Ok((Fate::Put(Record { principal: principal_is, view }), there.is_none()))
        })
    }

    /// Enables somebody again; whether they were disabled.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that cannot be; what the store answers: they stay disabled then.
    pub fn enable(&self, principal: &str, now: Timestamp) -> Result<bool> {
        check_principal(principal, "security.principal_enable")?;
        let _turn = self.turn.lock();
        let was =
            self.records.change(principal, now, |there| Ok((Fate::Delete, there.is_some())))?;
        Ok(self.revocations.resume(principal) || was)
    }

    /// Whether somebody is disabled. Asks no store.
    pub fn is_disabled(&self, principal: &str) -> bool {
        self.revocations.is_suspended(principal)
    }

    /// Why somebody is disabled, and since when.
    ///
    /// # Errors
    /// What the store answers.
    pub fn disabled(&self, principal: &str) -> Result<Option<DisabledView>> {
        if !is_principal(principal) {
            return Ok(None);
        }
        Ok(self.records.get(principal)?.map(|record| record.view))
    }

    /// Who is, by name, after `after`.
    pub(in crate::security) fn names(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.records.keys(after, limit)
    }
}

impl std::fmt::Debug for Principals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Principals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::token::RevocationPolicy;

    #[test]
    fn it_is_kept_until_they_are_enabled() {
        let store = Store::memory(&[]).unwrap();
        let at = Timestamp::from_nanos;
        let open = || {
            let policy = RevocationPolicy::default();
            let revocations = Arc::new(Revocations::open(store.clone(), policy).unwrap());
            Principals::open(store.clone(), revocations).unwrap()
        };
        let principals = open();
        assert!(principals.disable("ann", "gone", at(1)).unwrap());
        assert!(!principals.disable("ann", "left", at(2)).unwrap());
        let view = DisabledView { reason: "left".to_owned(), since: at(1) };
        assert_eq!(principals.disabled("ann").unwrap(), Some(view));
        let principals = open();
        assert!(principals.is_disabled("ann") && !principals.is_disabled("bob"));
        assert!(principals.enable("ann", at(3)).unwrap());
        assert!(!principals.enable("ann", at(3)).unwrap() && !principals.is_disabled("ann"));
        assert_eq!(principals.disabled("ann").unwrap(), None);
        let long = "x".repeat(REASON_MAX + 1);
        assert_eq!(principals.disable("bob", &long, at(4)).unwrap_err().code(), Code::INVALID);
        assert!(!principals.is_disabled("bob"));
    }
}
