//! Times that blocks share: series that are measured together have the same.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Weak};

use super::status::Figures;

/// Bytes that an entry takes besides the times.
const ENTRY_BYTES: usize = 64;

/// The times of all sealed blocks, by hash.
#[derive(Debug, Default)]
pub(super) struct Times(HashMap<u64, Vec<Entry>>);

/// Times that blocks have as long as there is one, and their length.
type Entry = (usize, Weak<[u8]>);

impl Times {
    /// These times, as others have them already if any do.
    pub(super) fn share(&mut self, times: Arc<[u8]>, figures: &Figures) -> Arc<[u8]> {
        let mut hasher = DefaultHasher::new();
        times.hash(&mut hasher);
        let same = self.0.entry(hasher.finish()).or_default();
        let found = same.iter().filter_map(|(_, times)| times.upgrade()).find(|t| *t == times);
        found.unwrap_or_else(|| {
            same.push((times.len(), Arc::downgrade(&times)));
            figures.resized(0, times.len() + ENTRY_BYTES);
            times
        })
    }

    /// Forgets the times that no block has any more.
    pub(super) fn sweep(&mut self, figures: &Figures) {
        self.0.retain(|_, same| {
            same.retain(|(length, times)| {
                let used = times.strong_count() > 0;
                if !used {
                    figures.resized(length + ENTRY_BYTES, 0);
                }
                used
            });
            !same.is_empty()
        });
    }
}
