//! Subjects of whom nothing counts for now.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

/// The subjects. While there are none, asking takes one load.
#[derive(Default)]
pub(super) struct Suspended {
    count: AtomicUsize,
    subjects: RwLock<HashSet<Box<str>>>,
}

impl Suspended {
    pub(super) fn add(&self, subject: &str) {
        let mut subjects = self.subjects.write();
        subjects.insert(subject.into());
        // Under the lock: whoever then finds the count at zero began before this one was there.
        self.count.store(subjects.len(), Ordering::SeqCst);
    }

    pub(super) fn remove(&self, subject: &str) -> bool {
        let mut subjects = self.subjects.write();
        let was = subjects.remove(subject);
        self.count.store(subjects.len(), Ordering::SeqCst);
        was
    }

    pub(super) fn has(&self, subject: &str) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && self.subjects.read().contains(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_long_as_it_is() {
        let suspended = Suspended::default();
        assert!(!suspended.has("ann"));
        suspended.add("ann");
        suspended.add("ann");
        assert!(suspended.has("ann") && !suspended.has("bob"));
        assert!(suspended.remove("ann") && !suspended.remove("ann"));
        assert!(!suspended.has("ann"));
    }
}
