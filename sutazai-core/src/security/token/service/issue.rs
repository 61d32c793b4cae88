//! Issuing and refreshing.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::{TokenPurpose, Tokens};
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};
use crate::security::token::claims::{Claims, footer};
use crate::security::token::grant::{Grant, Issued};
use crate::security::token::refresh::{Judged, Record};
use crate::security::token::revoke::{Bearer, Revocation};
use crate::security::token::{fault, paseto, text};
use crate::{Code, Error, Result};

impl Tokens {
    /// Issues an access token.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a grant that is not well-formed or too long; [`Code::TOKEN_KEY`] when there is no
    /// key; what the audit trail answers.
    pub fn issue(&self, grant: &Grant, now: Timestamp) -> Result<Issued> {
        grant.check()?;
        let now = self.clock.observe(now);
        let (access, claims) = self.access(grant, None, now)?;
        self.tell("token.issue", &claims, now)?;
        Ok(Issued { access, claims, refresh: None })
    }

    /// Issues an access token and a refresh token, which begins a family. Waits until the family is on the disk.
    ///
    /// # Errors
    /// As [`issue`](Self::issue); [`Code::OVERLOADED`] when there are too many families; what the store
    /// answers.
    pub fn login(&self, grant: &Grant, now: Timestamp) -> Result<Issued> {
        grant.check()?;
        let now = self.after_revocations(&grant.subject, self.clock.observe(now));
        let (record, refresh) = self.families.begin(grant, now)?;
        let done = self.access(grant, Some(&record.family), now).and_then(|(access, claims)| {
            self.tell("token.issue", &claims, now)?;
            Ok(Issued { access, claims, refresh: Some(refresh) })
        });
        if done.is_err() {
            self.families.end(&record.family)?;
        }
        done
    }

    /// Takes a refresh token and issues an access token and the refresh token that comes next. The one that was
    /// taken is used up; whoever presents it again has the whole family revoked. Waits until that is on
    /// the disk.
    ///
    /// # Errors
    /// [`Code::REFRESH_INVALID`] when it is none, expired or revoked; [`Code::REFRESH_REUSED`] when it was used
    /// before; what store and audit trail answer, and then it may be tried again.
    pub fn refresh(&self, token: &str, now: Timestamp) -> Result<Issued> {
        let now = self.clock.observe(now);
        let judged = self.families.take(
            token,
            now,
            |record| self.is_over(record),
            |record| {
                let id = record.family.clone();
                let subject = Some(record.grant.subject.clone());
                self.revocations.revoke(&Revocation::Family { id, subject }, now)
            },
        )?;
        match judged {
            Judged::Rotated { before, after, token } => {
                let done = self.refreshed(&after, token, now);
                if done.is_err() {
                    self.families.put_back(&before, &after, now)?;
                }
                done
            }
            Judged::Repeated { record, token } => self.refreshed(&record, token, now),
            Judged::Reused(record) => {
                let subject = &record.grant.subject;
                self.record(
                    &AuditEvent::new(AuditClass::Revocation, "token.reuse", subject, now)
                        .object(&record.family)
                        .outcome(AuditOutcome::Denied),
                )?;
                Err(fault::reused())
            }
        }
    }

    fn refreshed(
        &self,
        record: &Record,
        token: Zeroizing<String>,
        now: Timestamp,
    ) -> Result<Issued> {
        let (access, claims) = self.access(&record.grant, Some(&record.family), now)?;
        self.tell("token.refresh", &claims, now)?;
        Ok(Issued { access, claims, refresh: Some(token) })
    }

    fn is_over(&self, record: &Record) -> bool {
        self.revocations.is_revoked(&Bearer {
            id: "",
            family: Some(&record.family),
            subject: &record.grant.subject,
            issued: Timestamp::from_nanos(record.created),
        })
    }

    /// Now, or just after the time up to which all of the subject's tokens are revoked: whoever logs in at that very time
    /// does so after it.
    fn after_revocations(&self, subject: &str, now: Timestamp) -> Timestamp {
        match self.revocations.revoked_until(subject) {
            Some(until) if until >= now => until + Duration::from_nanos(1),
            _ => now,
        }
    }

    fn access(
        &self,
        grant: &Grant,
        family: Option<&str>,
        now: Timestamp,
    ) -> Result<(Zeroizing<String>, Claims)> {
        let now = self.after_revocations(&grant.subject, now);
        let mut id = [0; 16];
        SystemRandom::new()
            .fill(&mut id)
            .map_err(|_| Error::new(Code::INTERNAL, "the system has no randomness to give"))?;
        let claims = Claims {
            iss: self.config.issuer.clone(),
            sub: grant.subject.clone(),
            aud: self.config.audience.clone(),
            exp: now + self.config.access,
            nbf: now,
            iat: now,
            jti: text::encode(id),
            fam: family.map(str::to_owned),
            scope: grant.scope.clone(),
            amr: grant.amr.clone(),
            auth_time: grant.auth_time.map(Timestamp::from_nanos),
            att: grant.attributes.clone(),
        };
        let json = Zeroizing::new(claims.to_json()?);
        let token = match self.config.purpose {
            TokenPurpose::Public => {
                let key = self.keys.current()?;
                paseto::sign(&key, &json, footer(key.id()).as_bytes(), b"")?
            }
            TokenPurpose::Local => {
                let key = self.keys.current_local()?;
                paseto::encrypt(&key, &json, footer(key.id()).as_bytes(), b"")?
            }
        };
        Ok((Zeroizing::new(token), claims))
    }

    fn tell(&self, action: &'static str, claims: &Claims, now: Timestamp) -> Result<()> {
        let expires = claims.exp.to_string();
        self.record(
            &AuditEvent::new(AuditClass::Token, action, &claims.sub, now)
                .object(&claims.jti)
                .details(&[
                    ("family", AuditValue::Text(claims.fam.as_deref().unwrap_or_default())),
                    ("expires", AuditValue::Text(&expires)),
                ]),
        )
    }
}
