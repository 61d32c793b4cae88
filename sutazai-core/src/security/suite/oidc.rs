//! Issuers of ID tokens, and accounts there that are linked to principals: what changes is on the record first.

use super::super::audit::NAME_MAX;
use super::super::authn::{Oidc, OidcIssuer};
use super::security::Security;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditValue};

impl Security {
    /// The issuers of ID tokens, and accounts there.
    pub fn oidc(&self) -> &Oidc {
        &self.oidc
    }

    /// Takes these issuers of ID tokens in the place of all, until the process ends. It answers how many there are.
    ///
    /// # Errors
    /// As [`Oidc::set_issuers`], and what the audit log answers.
    pub fn set_oidc(&self, issuers: Vec<OidcIssuer>, by: &str, now: Timestamp) -> Result<usize> {
        let names: Vec<&str> = issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
        let names = shortened(&names.join(" "));
        let details = [("issuers", AuditValue::Text(&names))];
        let event = AuditEvent::new(AuditClass::Configuration, "oidc.set", by, now)
            .object("oidc")
            .details(&details);
        self.done_on_record(&event, || self.oidc.set_issuers(issuers))
    }

    /// Takes other keys of an issuer of ID tokens. It answers how many of them can be used.
    ///
    /// # Errors
    /// As [`Oidc::set_keys`], and what the audit log answers.
    pub fn set_oidc_keys(
        &self,
        issuer: &str,
        jwks: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<usize> {
        let object = shortened(issuer);
        let event =
            AuditEvent::new(AuditClass::Configuration, "oidc.keys", by, now).object(&object);
        self.done_on_record(&event, || self.oidc.set_keys(issuer, jwks))
    }

    /// Links an account at an issuer to a principal.
    ///
    /// # Errors
    /// As [`Oidc::link`], and what the audit log answers.
    pub fn link_oidc(
        &self,
        principal: &str,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<()> {
        let object = if principal.len() > NAME_MAX { "-" } else { principal };
        let details =
            [("issuer", AuditValue::Text(issuer)), ("subject", AuditValue::Text(subject))];
        let event = AuditEvent::new(AuditClass::Authentication, "oidc.link", "host", now)
            .object(object)
            .details(&details);
        self.done_on_record(&event, || self.oidc.link(principal, issuer, subject, now))
    }

    /// Ends a link; whether there was one.
    ///
    /// # Errors
    /// What store and audit log answer.
    pub fn unlink_oidc(&self, issuer: &str, subject: &str, now: Timestamp) -> Result<bool> {
        let object = format!("{issuer}#{subject}");
        let unlink = || self.oidc.unlink(issuer, subject, now);
        self.on_record(AuditClass::Authentication, "oidc.unlink", &object, now, unlink)
    }
}

/// As long as a name on the record may be.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(NAME_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
