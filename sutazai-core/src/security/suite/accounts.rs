//! What is changed of somebody's factors, of the factors there are, and of what decides: on the record first.

use std::sync::Arc;

use super::super::audit::NAME_MAX;
use super::super::authn::{ApiKeyOrder, MadeApiKey, scheme_of};
use super::super::authz::Entities;
use super::security::Security;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue, AuthProvider};

impl Security {
    /// Sets somebody's password.
    ///
    /// # Errors
    /// As [`Passwords::set`](super::super::authn::Passwords::set), and what the audit log answers.
    pub fn set_password(&self, principal: &str, password: &str, now: Timestamp) -> Result<()> {
        let set = || self.passwords().set(principal, password, now);
        self.on_record(AuditClass::Authentication, "password.set", principal, now, set)
    }

    /// Takes somebody's password away; whether there was one.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn remove_password(&self, principal: &str, now: Timestamp) -> Result<bool> {
        let remove = || self.passwords().remove(principal, now);
        self.on_record(AuditClass::Authentication, "password.remove", principal, now, remove)
    }

    /// Confirms a secret for one-time codes: it counts from now on.
    ///
    /// # Errors
    /// As [`Totp::confirm`](super::super::authn::Totp::confirm), and what the audit log answers.
    pub fn confirm_totp(&self, principal: &str, code: &str, now: Timestamp) -> Result<()> {
        let confirm = || self.totp().confirm(principal, code, self.clock().observe(now));
        self.on_record(AuditClass::Authentication, "totp.confirm", principal, now, confirm)
    }

    /// Takes somebody's one-time codes away; whether there were any.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn remove_totp(&self, principal: &str, now: Timestamp) -> Result<bool> {
        let remove = || self.totp().remove(principal, now);
        self.on_record(AuditClass::Authentication, "totp.remove", principal, now, remove)
    }

    /// Makes somebody's recovery codes anew.
    ///
    /// # Errors
    /// As [`RecoveryCodes::make`](super::super::authn::RecoveryCodes::make), and what the audit log answers.
    pub fn make_recovery_codes(&self, principal: &str, now: Timestamp) -> Result<Vec<String>> {
        let make = || self.recovery_codes().make(principal, now);
        self.on_record(AuditClass::Authentication, "recovery.make", principal, now, make)
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// As [`ApiKeys::make`](super::super::authn::ApiKeys::make), and what the audit log answers.
    pub fn make_api_key(&self, order: ApiKeyOrder, now: Timestamp) -> Result<MadeApiKey> {
        let principal = order.principal.clone();
        let make = || self.api_keys().make(order, self.clock().observe(now));
        self.on_record(AuditClass::Authentication, "api_key.make", &principal, now, make)
    }

    /// Ends an API key at once; whether there was one.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn revoke_api_key(&self, id: &str, now: Timestamp) -> Result<bool> {
        let revoke = || self.api_keys().revoke(id, now);
        self.on_record(AuditClass::Revocation, "api_key.revoke", id, now, revoke)
    }

    /// Adds a factor that the host has written, for the attempts that come from now on.
    ///
    /// # Errors
    /// As [`Logins::add_provider`](super::super::authn::Logins::add_provider), and what the audit log answers.
    pub fn add_provider(&self, provider: Arc<dyn AuthProvider>, now: Timestamp) -> Result<()> {
        let scheme = scheme_of(&*provider)?;
        let add = || self.logins().add_provider(provider);
        self.on_record(AuditClass::Configuration, "provider.add", &scheme, now, add)
    }

    /// Takes other entities in the place of all. It answers their generation.
    ///
    /// # Errors
    /// What the audit log answers; the entities are as they were then.
    pub fn set_entities(&self, entities: Entities, by: &str, now: Timestamp) -> Result<u64> {
        let count = i64::try_from(entities.len()).unwrap_or(i64::MAX);
        let details = [("entities", AuditValue::Int(count))];
        let event = AuditEvent::new(AuditClass::Configuration, "entities.set", by, now)
            .object("entities")
            .details(&details);
        self.audit().record(&event)?;
        Ok(self.policies().replace_entities(entities))
    }

    /// Does it once it is on the record; where it fails, that is on the record as well. Who changes it the
    /// operation does not say: it is the host.
    fn on_record<T>(
        &self,
        class: AuditClass,
        action: &str,
        object: &str,
        now: Timestamp,
        change: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        // What cannot be named is refused by what is changed itself.
        let object = if object.len() > NAME_MAX { "-" } else { object };
        let event = AuditEvent::new(class, action, "host", now).object(object);
        self.audit().record(&event)?;
        let changed = change();
        if let Err(error) = &changed {
            let details = [("code", AuditValue::Text(error.code().name()))];
            let event = event.outcome(AuditOutcome::Failure).details(&details);
            self.audit().record(&event)?;
        }
        changed
    }
}
