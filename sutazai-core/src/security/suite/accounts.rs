//! What is changed of somebody's factors, and of what decides: on the record first.

use super::super::authn::{ApiKeyOrder, MadeApiKey};
use super::super::authz::Entities;
use super::security::Security;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditValue};

impl Security {
    /// Sets somebody's password.
    ///
    /// # Errors
    /// As [`Passwords::set`](super::super::authn::Passwords::set), and what the audit log answers.
    pub fn set_password(&self, principal: &str, password: &str, now: Timestamp) -> Result<()> {
        self.factor("password.set", principal, now)?;
        self.passwords().set(principal, password, now)
    }

    /// Takes somebody's password away; whether there was one.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn remove_password(&self, principal: &str, now: Timestamp) -> Result<bool> {
        self.factor("password.remove", principal, now)?;
        self.passwords().remove(principal, now)
    }

    /// Confirms a secret for one-time codes: it counts from now on.
    ///
    /// # Errors
    /// As [`Totp::confirm`](super::super::authn::Totp::confirm), and what the audit log answers.
    pub fn confirm_totp(&self, principal: &str, code: &str, now: Timestamp) -> Result<()> {
        self.factor("totp.confirm", principal, now)?;
        self.totp().confirm(principal, code, self.clock().observe(now))
    }

    /// Takes somebody's one-time codes away; whether there were any.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn remove_totp(&self, principal: &str, now: Timestamp) -> Result<bool> {
        self.factor("totp.remove", principal, now)?;
        self.totp().remove(principal, now)
    }

    /// Makes somebody's recovery codes anew.
    ///
    /// # Errors
    /// As [`RecoveryCodes::make`](super::super::authn::RecoveryCodes::make), and what the audit log answers.
    pub fn make_recovery_codes(&self, principal: &str, now: Timestamp) -> Result<Vec<String>> {
        self.factor("recovery.make", principal, now)?;
        self.recovery_codes().make(principal, now)
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// As [`ApiKeys::make`](super::super::authn::ApiKeys::make), and what the audit log answers.
    pub fn make_api_key(&self, order: ApiKeyOrder, now: Timestamp) -> Result<MadeApiKey> {
        self.factor("api_key.make", &order.principal, now)?;
        self.api_keys().make(order, self.clock().observe(now))
    }

    /// Ends an API key at once; whether there was one.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn revoke_api_key(&self, id: &str, now: Timestamp) -> Result<bool> {
        let event = AuditEvent::new(AuditClass::Revocation, "api_key.revoke", "-", now).object(id);
        self.audit().record(&event)?;
        self.api_keys().revoke(id, now)
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

    fn factor(&self, action: &str, principal: &str, now: Timestamp) -> Result<()> {
        // Whoever it is that may be called so is refused by the factor itself.
        let named = if principal.is_empty() || principal.len() > 256 { "-" } else { principal };
        let event = AuditEvent::new(AuditClass::Authentication, action, named, now).object(named);
        self.audit().record(&event).map(drop)
    }
}
