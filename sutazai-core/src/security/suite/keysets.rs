//! The host's keysets, which operations may use: the room's own are not among them.

use std::path::Path;

use super::super::keys::{Export, ImportWith, KeyEvent, Keys};
use super::super::whole;
use super::keys::is_own;
use super::security::Security;
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

impl Security {
    /// The keysets, to do something with this one, which is to be the host's: what is named `sutazai.…` are the
    /// room's own. They can be looked at, and [rotated](Self::rotate).
    ///
    /// # Errors
    /// [`Code::DENIED`] for a keyset of the room's own.
    pub fn host_keys(&self, keyset: &str) -> Result<&Keys> {
        refuse_own(keyset)?;
        Ok(self.keys())
    }

    /// That a path does not lead into the data directory, where the room's own keys and records are.
    ///
    /// # Errors
    /// [`Code::DENIED`].
    pub fn outside(&self, path: &Path) -> Result<()> {
        self.directory.as_ref().map_or(Ok(()), |directory| whole::outside(directory, path))
    }

    /// Imports a keyset of the host's.
    ///
    /// # Errors
    /// As [`Keys::import`]; [`Code::DENIED`] for one that is named as the room's own.
    pub fn import_keyset(
        &self,
        export: &Export,
        with: &ImportWith<'_>,
        by: &str,
        now: Timestamp,
    ) -> Result<KeyEvent> {
        self.keys().import_if(export, with, refuse_own, by, now)
    }
}

fn refuse_own(keyset: &str) -> Result<()> {
    if !is_own(keyset) {
        return Ok(());
    }
    Err(Error::new(Code::DENIED, "this keyset serves the room itself, and nobody else")
        .operation("security.keys")
        .with("keyset", keyset)
        .advice("make a keyset of your own; names that begin with \"sutazai.\" are taken"))
}
