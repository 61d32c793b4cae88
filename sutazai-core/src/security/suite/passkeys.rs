//! Authenticators of principals: what changes is on the record first.

use super::super::audit::NAME_MAX;
use super::super::authn::{PasskeyView, Passkeys, WebauthnPolicy};
use super::security::Security;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};

/// What came of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The authenticator is kept, and counts.
    Done(PasskeyView),
    /// What the browser answered does not hold.
    Refused {
        /// Why.
        why: String,
    },
}

impl Security {
    /// The authenticators.
    pub fn passkeys(&self) -> &Passkeys {
        &self.passkeys
    }

    /// Takes another policy for authenticators, until the process ends; without one nobody can register one or log in
    /// with one.
    ///
    /// # Errors
    /// As [`Passkeys::set_policy`], and what the audit log answers.
    pub fn set_webauthn(
        &self,
        policy: Option<WebauthnPolicy>,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        let rp_id = policy.as_ref().map_or_else(String::new, |policy| policy.rp_id.clone());
        let details = [("rp_id", AuditValue::Text(&rp_id))];
        let event = AuditEvent::new(AuditClass::Configuration, "webauthn.set", by, now)
            .object("webauthn")
            .details(if rp_id.len() > 253 { &[] } else { &details });
        self.done_on_record(&event, || self.passkeys.set_policy(policy))
    }

    /// Finishes a registration that [`Passkeys::register`] began, with what the browser answered: from then on the
    /// authenticator counts.
    ///
    /// # Errors
    /// As [`Passkeys::verify`] and [`Passkeys::keep`], and what the audit log answers.
    pub fn finish_passkey(
        &self,
        principal: &str,
        answer: &str,
        now: Timestamp,
    ) -> Result<Registered> {
        let now = self.clock().observe(now);
        match self.passkeys.verify(principal, answer, now)? {
            Ok(verified) => {
                let keep = || self.passkeys.keep(verified, now);
                let class = AuditClass::Authentication;
                self.on_record(class, "passkey.add", principal, now, keep).map(Registered::Done)
            }
            Err(why) => {
                let details = [("why", AuditValue::Text(&why))];
                let class = AuditClass::Authentication;
                let event = AuditEvent::new(class, "passkey.add", "host", now)
                    .object(principal)
                    .outcome(AuditOutcome::Denied)
                    .details(&details);
                self.audit().record(&event)?;
                Ok(Registered::Refused { why })
            }
        }
    }

    /// Calls one of somebody's authenticators something else; whether they have it.
    ///
    /// # Errors
    /// As [`Passkeys::rename`], and what the audit log answers.
    pub fn rename_passkey(
        &self,
        principal: &str,
        id: &str,
        label: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let rename = || self.passkeys.rename(principal, id, label, now);
        self.of_passkey("passkey.rename", principal, id, now, rename)
    }

    fn of_passkey(
        &self,
        action: &str,
        principal: &str,
        id: &str,
        now: Timestamp,
        change: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let object = if principal.len() > NAME_MAX { "-" } else { principal };
        let details = [("passkey", AuditValue::Text(id))];
        let event = AuditEvent::new(AuditClass::Authentication, action, "host", now)
            .object(object)
            .details(&details);
        self.done_on_record(&event, change)
    }

    /// Takes one of somebody's authenticators away; whether they had it.
    ///
    /// # Errors
    /// As [`Passkeys::remove`], and what the audit log answers.
    pub fn remove_passkey(&self, principal: &str, id: &str, now: Timestamp) -> Result<bool> {
        let remove = || {
            let removed = self.passkeys.remove(principal, id, now)?;
            if removed {
                self.logins().cancel_of(principal);
            }
            Ok(removed)
        };
        self.of_passkey("passkey.remove", principal, id, now, remove)
    }
}
