//! Files that stay as they are: [`Settling`].

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::base::time::Moment;

/// What changes when a file is written to or another is put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
    #[cfg(unix)]
    mode: u32,
}

impl Mark {
    pub(super) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: metadata.ino(),
            #[cfg(unix)]
            mode: metadata.mode(),
        }
    }

    /// As text, for a fingerprint.
    pub(super) fn text(&self) -> String {
        format!("{self:?}")
    }
}

/// Knows of each file since when it has stayed as it is. A file counts as settled when it has not changed
/// for long enough by its own time, or between two looks.
#[derive(Debug, Default)]
pub(super) struct Settling {
    seen: HashMap<PathBuf, (Mark, Moment)>,
}

impl Settling {
    /// Whether a file has stayed as it is for `time`.
    pub(super) fn is_settled(
        &mut self,
        path: &Path,
        mark: Mark,
        now: Moment,
        time: Duration,
    ) -> bool {
        let entry = self.seen.entry(path.to_owned()).or_insert((mark, now));
        if entry.0 != mark {
            *entry = (mark, now);
        }
        if now.since(entry.1) >= time {
            return true;
        }
        // A clock that was set back, or a time in the future, says nothing.
        let age = mark.modified.and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age >= time)
    }

    /// Forgets the files that are none of these.
    pub(super) fn keep(&mut self, there: impl Fn(&Path) -> bool) {
        self.seen.retain(|path, _| there(path));
    }
}
