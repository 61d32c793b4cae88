//! What is put on the record of a login.

use std::time::Duration;

use super::logins::Logins;
use super::step::LoginStep;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};

/// What every record of a step says.
pub(super) struct Told<'a> {
    pub(super) action: &'static str,
    pub(super) origin: Option<&'a str>,
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
        let details = [("scheme", AuditValue::Text(scheme)), ("why", AuditValue::Text(why))];
        let personal = [("origin", AuditValue::Text(told.origin.unwrap_or("")))];
        let principal = if principal.is_empty() { "-" } else { principal };
        let mut event =
            AuditEvent::new(AuditClass::Authentication, told.action, principal, told.now)
                .outcome(outcome)
                .details(if why.is_empty() { &details[..1] } else { &details });
        if told.origin.is_some() {
            event = event.personal(principal, &personal);
        }
        audit.record(&event)
    }
}
