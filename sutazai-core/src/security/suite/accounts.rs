//! What is changed of somebody's factors, and of the factors there are: on the record first.

use std::sync::Arc;

use super::super::audit::{NAME_MAX, Record};
use super::super::authn::{
    ApiKeyOrder, ApiKeys, MadeApiKey, TotpEnrolment, check_principal, fingerprint, scheme_of,
};
use super::super::risk::RiskSignal;
use super::super::token::{Grant, Issued};
use super::security::Security;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue, AuthProvider};
use crate::store::Durability;
use crate::{Code, Error, Result};

impl Security {
    /// Sets somebody's password.
    ///
    /// # Errors
    /// As [`Passwords::set`](super::super::authn::Passwords::set), and what the audit log answers.
    pub fn set_password(&self, principal: &str, password: &str, now: Timestamp) -> Result<()> {
        let set = || {
            self.passwords().set(principal, password, now)?;
            // Whoever has proved the one before has proved nothing.
            self.logins().cancel_of(principal);
            Ok(())
        };
        self.on_record(AuditClass::Authentication, "password.set", principal, now, set)
    }

    /// Takes somebody's password away; whether there was one.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn remove_password(&self, principal: &str, now: Timestamp) -> Result<bool> {
        let remove = || {
            let removed = self.passwords().remove(principal, now)?;
            if removed {
                self.logins().cancel_of(principal);
            }
            Ok(removed)
        };
        self.on_record(AuditClass::Authentication, "password.remove", principal, now, remove)
    }

    /// Makes somebody a secret for one-time codes, or takes theirs from elsewhere; it counts once they confirm it.
    ///
    /// # Errors
    /// As [`Totp::enrol`](super::super::authn::Totp::enrol) and [`Totp::import`](super::super::authn::Totp::import), and
    /// what the audit log answers.
    pub fn enrol_totp(
        &self,
        principal: &str,
        secret: Option<&str>,
        now: Timestamp,
    ) -> Result<TotpEnrolment> {
        let enrol = || match secret {
            Some(secret) => self.totp().import(principal, secret, now),
            None => self.totp().enrol(principal, now),
        };
        self.on_record(AuditClass::Authentication, "totp.enrol", principal, now, enrol)
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
        let remove = || {
            let removed = self.totp().remove(principal, now)?;
            if removed {
                self.logins().cancel_of(principal);
            }
            Ok(removed)
        };
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
        let (principal, now) = (order.principal.clone(), self.clock().observe(now));
        let draft = ApiKeys::draft(order, now);
        let id = draft.as_ref().map_or("-", |made| &*made.view.id).to_owned();
        let details = [("key", AuditValue::Text(&id))];
        let keep = || draft.and_then(|made| self.api_keys().keep(&made, now).map(|()| made));
        let event = on(AuditClass::Authentication, "api_key.make", &principal, now);
        self.done_on_record(&event.details(&details), keep)
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

    /// Issues tokens for somebody whom the host vouches for. It is on the record as an override of the logins.
    ///
    /// # Errors
    /// As [`Tokens::login`](super::super::token::Tokens::login); [`Code::PRINCIPAL_DISABLED`] for whoever is disabled.
    pub fn vouch(&self, grant: &Grant, by: &str, now: Timestamp) -> Result<Issued> {
        let now = self.clock().observe(now);
        check_principal(&grant.subject, "security.token_issue")?;
        check_principal(by, "security.token_issue")?;
        self.is_enabled(&grant.subject)?;
        let event =
            AuditEvent::new(AuditClass::Override, "token.vouch", by, now).object(&grant.subject);
        self.audit().record(&event)?;
        self.tokens().login(grant, now)
    }

    /// That somebody is not disabled.
    pub(super) fn is_enabled(&self, principal: &str) -> Result<()> {
        if !self.principals.is_disabled(principal) {
            return Ok(());
        }
        Err(Error::new(Code::PRINCIPAL_DISABLED, "the principal is disabled")
            .operation("security.token_issue")
            .with("principal", principal)
            .advice("enable them first"))
    }

    /// Makes a client certificate known as somebody's; it answers the fingerprint.
    ///
    /// # Errors
    /// As [`Certificates::add`](super::super::authn::Certificates::add), and what the audit log answers.
    pub fn add_certificate(
        &self,
        principal: &str,
        certificate: &[u8],
        ends: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<String> {
        let add = || self.certificates().add(principal, certificate, ends, now);
        let fingerprint = fingerprint(certificate).unwrap_or_else(|| "-".to_owned());
        let details = [("certificate", AuditValue::Text(&fingerprint))];
        let event = on(AuditClass::Authentication, "certificate.add", principal, now);
        self.done_on_record(&event.details(&details), add)
    }

    /// Forgets a client certificate; whether it was known.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn remove_certificate(&self, fingerprint: &str, now: Timestamp) -> Result<bool> {
        let remove = || self.certificates().remove(fingerprint, now);
        self.on_record(AuditClass::Revocation, "certificate.remove", fingerprint, now, remove)
    }

    /// Forgets the devices that somebody has logged in from; how many there were.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn forget_devices(&self, principal: &str, now: Timestamp) -> Result<usize> {
        let forget = || self.logins().devices().forget(principal, now);
        self.on_record(AuditClass::Authentication, "devices.forget", principal, now, forget)
    }

    /// Changes what records of a class survive before they are acknowledged, until it is opened again: how it
    /// begins is for the options to say.
    ///
    /// # Errors
    /// What the audit log answers; it is as it was then.
    pub fn set_audit_durability(
        &self,
        class: AuditClass,
        durability: Durability,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        let details = [("durability", AuditValue::Text(durability.name()))];
        let event = AuditEvent::new(AuditClass::Configuration, "audit.durability", by, now)
            .object(class.name())
            .details(&details);
        self.audit().record(&event)?;
        self.audit().set_durability(class, durability);
        Ok(())
    }

    /// The personal details of a record of the audit log; that they were looked at, and by whom, is on the record.
    ///
    /// # Errors
    /// As [`AuditLog::personal`](super::super::audit::AuditLog::personal), and what the audit log answers.
    pub fn personal_details(
        &self,
        record: &Record,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<serde_json::Value>> {
        let Some(sealed) = &record.personal else { return Ok(None) };
        let event = AuditEvent::new(AuditClass::Override, "audit.personal", by, now)
            .object(&sealed.subject);
        self.audit().record(&event)?;
        self.audit().personal(record)
    }

    /// Does it once it is on the record; where it fails, that is on the record as well. Who changes it the
    /// operation does not say: it is the host.
    pub(super) fn on_record<T>(
        &self,
        class: AuditClass,
        action: &str,
        object: &str,
        now: Timestamp,
        change: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.done_on_record(&on(class, action, object, now), change)
    }

    /// Raises somebody's risk, once that is on the record.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that cannot be, and what the audit log answers.
    pub fn raise_risk(
        &self,
        principal: &str,
        signal: RiskSignal,
        strength: f64,
        now: Timestamp,
    ) -> Result<()> {
        check_principal(principal, "security.risk_raise")?;
        let strong = format!("{strength:.3}");
        let details =
            [("signal", AuditValue::Text(signal.name())), ("strength", AuditValue::Text(&strong))];
        let event = on(AuditClass::Decision, "risk.raise", principal, now);
        self.audit().record(&event.details(&details))?;
        self.risks().raise(principal, signal, strength, now);
        Ok(())
    }

    /// Does it once this is on the record; where it fails, that is on the record as well.
    pub(super) fn done_on_record<T>(
        &self,
        event: &AuditEvent<'_>,
        change: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.audit().record(event)?;
        let changed = change();
        if let Err(error) = &changed {
            let details = [("code", AuditValue::Text(error.code().name()))];
            let event = event.outcome(AuditOutcome::Failure).details(&details);
            self.audit().record(&event)?;
        }
        changed
    }
}

/// What the host does to somebody, or to something.
fn on<'a>(class: AuditClass, action: &'a str, object: &'a str, now: Timestamp) -> AuditEvent<'a> {
    // What cannot be named is refused by what is changed itself.
    let object = if object.len() > NAME_MAX { "-" } else { object };
    AuditEvent::new(class, action, "host", now).object(object)
}
