//! What is put on the record of a login.

use std::collections::BTreeMap;
use std::time::Duration;

use super::api_key::KEY;
use super::certificate::CERTIFICATE;
use super::logins::{AUTHENTICATOR, Logins};
use super::oidc::{ISSUER, SUBJECT};
use super::step::LoginStep;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};

/// The attributes by which factors say what it was that proved somebody: of them records tell.
const MEANS: [&str; 4] = [AUTHENTICATOR, CERTIFICATE, ISSUER, KEY];
/// The same, of what says who somebody is: it can be erased.
const PERSONAL: [&str; 1] = [SUBJECT];

/// What every record of a step says.
pub(super) struct Told<'a> {
    pub(super) action: &'static str,
    pub(super) origin: Option<&'a str>,
    /// What the factors said of whom they have seen.
    pub(super) seen: Option<&'a BTreeMap<String, String>>,
    pub(super) now: Timestamp,
}

impl Logins {
    /// Refuses a step, once that is on the record.
    pub(super) fn refuse(
        &self,
        told: &Told<'_>,
        principal: &str,
        scheme: &str,
        why: &str,
        retry_after: Option<Duration>,
    ) -> Result<LoginStep> {
        self.tell(told, principal, AuditOutcome::Denied, scheme, why)?;
        Ok(LoginStep::Refused { retry_after })
    }

    /// Puts a step on the record.
    pub(super) fn tell(
        &self,
        told: &Told<'_>,
        principal: &str,
        outcome: AuditOutcome,
        scheme: &str,
        why: &str,
    ) -> Result<()> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let seen = |name: &&'static str| {
            let value = told.seen.and_then(|seen| seen.get(*name));
            value.map(|value| (*name, AuditValue::Text(value)))
        };
        let mut details = vec![("scheme", AuditValue::Text(scheme))];
        details.extend((!why.is_empty()).then_some(("why", AuditValue::Text(why))));
        details.extend(MEANS.iter().filter_map(seen));
        let origin = told.origin.map(|origin| ("origin", AuditValue::Text(origin)));
        let personal: Vec<_> = origin.into_iter().chain(PERSONAL.iter().filter_map(seen)).collect();
        let principal = if principal.is_empty() { "-" } else { principal };
        let mut event =
            AuditEvent::new(AuditClass::Authentication, told.action, principal, told.now)
                .outcome(outcome)
                .details(&details);
        if !personal.is_empty() {
            event = event.personal(principal, &personal);
        }
        audit.record(&event)
    }
}
