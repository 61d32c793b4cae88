//! Accounts elsewhere that are linked to principals here.

use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::api_key::hex;
use super::super::names::check_principal;
use super::super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::store::Store;
use crate::{Code, Error, Result};

/// An account elsewhere that is linked to a principal here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OidcLink {
    /// Whose it is here.
    pub principal: String,
    /// The issuer.
    pub issuer: String,
    /// Whom the issuer means.
    pub subject: String,
    /// When it was linked.
    pub added: Timestamp,
}

/// The links, by issuer and subject.
pub(super) struct Links {
    records: Records<OidcLink>,
}

impl Links {
    pub(super) fn new(store: Store) -> Self {
        Self { records: Records::new(store, "security.oidc") }
    }

    pub(super) fn add(
        &self,
        principal: &str,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<()> {
        const OPERATION: &str = "security.oidc_link";
        check_principal(principal, OPERATION)?;
        if issuer.is_empty() || !(1..=255).contains(&subject.len()) {
            return Err(Error::new(
                Code::INVALID,
                "a link has an issuer, and a subject of 1 to 255 bytes",
            )
            .operation(OPERATION));
        }
        let link = OidcLink {
            principal: principal.to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            added: now,
        };
        self.records.change(&key(issuer, subject), now, |there| match there {
            Some(there) if there.principal != principal => {
                Err(Error::new(Code::ALREADY_EXISTS, "the account is linked to another principal")
                    .operation(OPERATION)
                    .with("principal", there.principal))
            }
            Some(_) => Ok((Fate::Keep, ())),
            None => Ok((Fate::Put(link), ())),
        })
    }

    pub(super) fn remove(&self, issuer: &str, subject: &str, now: Timestamp) -> Result<bool> {
        let key = key(issuer, subject);
        self.records.change(&key, now, |there| Ok((Fate::Delete, there.is_some())))
    }

    pub(super) fn owner(&self, issuer: &str, subject: &str) -> Result<Option<String>> {
        Ok(self.records.get(&key(issuer, subject))?.map(|link| link.principal))
    }

    /// Shows each.
    pub(super) fn each(&self, show: &mut dyn FnMut(OidcLink)) -> Result<()> {
        let show = std::cell::RefCell::new(show);
        self.records.find(None, usize::MAX, |link| {
            (show.borrow_mut())(link);
            None::<()>
        })?;
        Ok(())
    }

    /// Those of one principal or of all, in no order that means anything.
    pub(super) fn of(&self, principal: Option<&str>, limit: usize) -> Result<Vec<OidcLink>> {
        self.records.find(None, limit, |link| {
            Some(link).filter(|link| principal.is_none_or(|name| link.principal == name))
        })
    }
}

fn key(issuer: &str, subject: &str) -> String {
    let text = format!("{}\n{issuer}{subject}", issuer.len());
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}
