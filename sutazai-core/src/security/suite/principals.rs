//! Principals: who there is, with which factors, and who of them is disabled.

use std::collections::{BTreeMap, BTreeSet};

use super::super::authn::{
    ApiKeys, Certificates, Oidc, Passwords, PrincipalView, Principals, RecoveryCodes, Totp,
};
#[cfg(feature = "webauthn")]
use super::super::authn::{Passkeys, SecurityKeys};
use super::super::token::Revocation;
use super::security::Security;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditValue};

/// How many principals one page has at most.
pub(crate) const PAGE_MAX: usize = 1_000;
/// How many keys and certificates are looked at at once.
const AT_ONCE: usize = 1_000;

/// Who has what, of factors that are not kept by their owners' names.
type Owned = BTreeMap<String, BTreeSet<&'static str>>;

impl Security {
    /// Who is disabled.
    pub fn principals(&self) -> &Principals {
        &self.principals
    }

    /// Disables somebody: no login of theirs succeeds, which is told them as if a factor had been wrong, and no
    /// token, API key or certificate of theirs is good, at once and after a restart. What was issued until now stays
    /// revoked when they are enabled again; keys, certificates and other factors are good again then. Whether they
    /// were not disabled before. The reason goes on the record, as a personal detail, and is listed.
    ///
    /// # Errors
    /// As [`Principals::disable`], and what revocations and audit log answer; once that is about the store, they are
    /// disabled until the process ends.
    pub fn disable_principal(
        &self,
        principal: &str,
        reason: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let now = self.clock().observe(now);
        let personal = [("reason", AuditValue::Text(reason))];
        let event = switched("principal.disable", principal, by, now);
        let event = if reason.is_empty() { event } else { event.personal(principal, &personal) };
        self.done_on_record(&event, || {
            let was_not = self.principals.disable(principal, reason, now)?;
            self.logins().cancel_of(principal);
            // A login that was under way may have got tokens since.
            self.revoke_all_of(principal, by, now)?;
            Ok(was_not)
        })
    }

    /// Enables somebody again; whether they were disabled. What they were issued before then stays revoked.
    ///
    /// # Errors
    /// As [`Principals::enable`], and what revocations and audit log answer; they stay disabled then.
    pub fn enable_principal(&self, principal: &str, by: &str, now: Timestamp) -> Result<bool> {
        let now = self.clock().observe(now);
        let event = switched("principal.enable", principal, by, now);
        self.done_on_record(&event, || {
            if self.principals.is_disabled(principal) {
                self.revoke_all_of(principal, by, now)?;
            }
            self.principals.enable(principal, now)
        })
    }

    /// The principals who have a factor or are disabled, by name, after `after`; `limit` at most, and 1,000. It looks at
    /// all API keys, certificates and links each time.
    ///
    /// # Errors
    /// What the store answers.
    pub fn list_principals(
        &self,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<PrincipalView>> {
        let now = self.clock().observe(now);
        let limit = limit.min(PAGE_MAX);
        let mut owned = Owned::new();
        self.owned(&mut owned, after, limit, now)?;
        let mut names: BTreeSet<String> = owned.keys().cloned().collect();
        names.extend(self.passwords().names(after, limit)?);
        names.extend(self.totp().names(after, limit)?);
        names.extend(self.recovery_codes().names(after, limit)?);
        names.extend(self.principals.names(after, limit)?);
        #[cfg(feature = "webauthn")]
        names.extend(self.passkeys.names(after, limit)?);
        let view = |principal: String| {
            let mut factors = owned.get(&principal).cloned().unwrap_or_default();
            let mut has = |there: bool, scheme| {
                if there {
                    factors.insert(scheme);
                }
            };
            has(self.passwords().changed(&principal)?.is_some(), Passwords::SCHEME);
            has(self.totp().is_enrolled(&principal)?, Totp::SCHEME);
            has(self.recovery_codes().left(&principal)? > 0, RecoveryCodes::SCHEME);
            #[cfg(feature = "webauthn")]
            {
                use super::super::authn::PasskeyKind;
                let keys = self.passkeys.list(&principal)?;
                let first = keys.iter().any(|key| key.kind == PasskeyKind::Passkey);
                has(first, Passkeys::SCHEME);
                has(!keys.is_empty(), SecurityKeys::SCHEME);
            }
            Ok(PrincipalView {
                factors: factors.into_iter().map(str::to_owned).collect(),
                disabled: self.principals.disabled(&principal)?,
                principal,
            })
        };
        names.into_iter().take(limit).map(view).collect()
    }

    fn revoke_all_of(&self, principal: &str, by: &str, now: Timestamp) -> Result<()> {
        let before = self.clock().observe(now);
        let subject = principal.to_owned();
        self.tokens().revoke(&Revocation::Subject { subject, before }, by, before)
    }

    /// The first of those, by name, who have a key, a certificate or a link.
    fn owned(
        &self,
        all: &mut Owned,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<()> {
        let good = |ends: Option<Timestamp>| ends.is_none_or(|ends| now < ends);
        let mut add = |principal: String, scheme| {
            if after.is_none_or(|after| principal.as_str() > after) {
                all.entry(principal).or_default().insert(scheme);
                if all.len() > limit {
                    all.pop_last();
                }
            }
        };
        let mut last: Option<String> = None;
        loop {
            let page = self.api_keys().list(None, last.as_deref(), AT_ONCE)?;
            let Some(key) = page.last() else { break };
            last = Some(key.id.clone());
            page.into_iter()
                .filter(|key| good(key.ends))
                .for_each(|key| add(key.principal, ApiKeys::SCHEME));
        }
        last = None;
        loop {
            let page = self.certificates().list(None, last.as_deref(), AT_ONCE)?;
            let Some(one) = page.last() else { break };
            last = Some(one.fingerprint.clone());
            page.into_iter()
                .filter(|one| good(one.ends))
                .for_each(|one| add(one.principal, Certificates::SCHEME));
        }
        self.oidc().each_link(|link| add(link.principal, Oidc::SCHEME))
    }
}

fn switched<'a>(
    action: &'static str,
    principal: &'a str,
    by: &'a str,
    now: Timestamp,
) -> AuditEvent<'a> {
    // What cannot be named is refused by what is changed itself.
    let object = if principal.len() > super::super::audit::NAME_MAX { "-" } else { principal };
    AuditEvent::new(AuditClass::Revocation, action, by, now).object(object)
}
