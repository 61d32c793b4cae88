//! Delegated tokens: minted of somebody's session, and revoked with the others.

use std::time::Duration;

use super::super::token::delegate::{Attenuation, Minted};
use super::super::token::{Grant, Revocation};
use super::security::Security;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent};
use crate::{Code, Result};

impl Security {
    /// Mints a delegated token of an access token: for what its session may do, until the family ends that the
    /// access token is of, and attenuated before it is given out, if `less` says how.
    ///
    /// # Errors
    /// As [`Tokens::verify`](super::super::token::Tokens::verify), and
    /// [`Delegations::mint`](super::super::token::delegate::Delegations::mint).
    pub fn delegate(
        &self,
        token: &str,
        lives: Duration,
        less: Option<&Attenuation>,
        now: Timestamp,
    ) -> Result<Minted> {
        let now = self.clock().observe(now);
        let verified = self.tokens().verify(token, now)?;
        let grant = Grant::of(&verified.session, now)?;
        self.handed(&grant, verified.claims.fam.as_deref(), lives, less, now)
    }

    /// Mints a delegated token for somebody whom the host vouches for. It is on the record as an override of the
    /// logins.
    ///
    /// # Errors
    /// As [`Delegations::mint`](super::super::token::delegate::Delegations::mint).
    pub fn vouch_delegation(
        &self,
        grant: &Grant,
        by: &str,
        lives: Duration,
        less: Option<&Attenuation>,
        now: Timestamp,
    ) -> Result<Minted> {
        let now = self.clock().observe(now);
        self.is_enabled(&grant.subject)?;
        let event =
            AuditEvent::new(AuditClass::Override, "token.vouch", by, now).object(&grant.subject);
        self.audit().record(&event)?;
        self.handed(grant, None, lives, less, now)
    }

    fn handed(
        &self,
        grant: &Grant,
        family: Option<&str>,
        lives: Duration,
        less: Option<&Attenuation>,
        now: Timestamp,
    ) -> Result<Minted> {
        let mut minted = self.delegations().mint(grant, family, lives, now)?;
        if let Some(less) = less {
            minted.token = self.delegations().attenuate(&minted.token, less, now)?;
        }
        Ok(minted)
    }

    /// Revokes a delegated token, and all that were attenuated from it; with `root` all of its root. It holds at
    /// once, and is on the disk and on the record when this returns `Ok`. One that has expired needs no more.
    ///
    /// # Errors
    /// As [`Delegations::verify`](super::super::token::delegate::Delegations::verify), and
    /// [`Tokens::revoke`](super::super::token::Tokens::revoke).
    pub fn revoke_delegation(
        &self,
        token: &str,
        root: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        let held = match self.delegations().verify(token, now) {
            Ok(held) => held,
            Err(error) if error.code() == Code::TOKEN_EXPIRED => return Ok(()),
            Err(error) => return Err(error),
        };
        let own = held.revocation_ids.last().filter(|_| !root);
        let id = own.unwrap_or(&held.claims.jti).clone();
        let (subject, expires) = (Some(held.claims.sub.clone()), held.claims.exp);
        self.tokens().revoke(&Revocation::Token { id, subject, expires }, by, now)
    }
}
