//! From the journal into the tree: tiles, then a checkpoint, then the journal may forget.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::ThreadId;

use super::core::Core;
use super::merkle::prove_consistency;
use super::note::Checkpoint;
use super::tiles::{bundle_path, tile_path};
use super::tree::{CHECKPOINT, Published, Tree, write_error};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The most records between two checkpoints that are signed one after the other.
const BATCH: usize = 16_384;

/// Where the tree is. It is taken out while somebody works on it, so that no lock is held while the
/// signer and the witnesses are called.
pub(super) enum Slot {
    Free(Box<Tree>),
    With(ThreadId),
}

/// Puts the tree back, whatever happens.
struct Seized<'a> {
    core: &'a Core,
    tree: Box<Tree>,
}

impl Drop for Seized<'_> {
    fn drop(&mut self) {
        let tree = std::mem::take(&mut self.tree);
        *self.core.slot.lock() = Slot::Free(tree);
        self.core.slot_freed.notify_one();
    }
}

impl Core {
    /// Moves what is in the journal into the tree and signs a checkpoint of it. When it returns, every
    /// record that was acknowledged before the call is under the checkpoint.
    pub(super) fn integrate(&self, now: Timestamp) -> Result<Arc<Published>> {
        let target = self.journal.next();
        let mut seized = self.seize()?;
        loop {
            if let Some(published) = self.published.load_full()
                && published.tree.size() >= target
            {
                return Ok(published);
            }
            match self.step(&seized.tree, now) {
                Ok(published) => *seized.tree = published.tree.clone(),
                Err(error) => {
                    self.counters.failures.fetch_add(1, Ordering::Relaxed);
                    *self.counters.last_failure.lock() = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    fn seize(&self) -> Result<Seized<'_>> {
        let mut slot = self.slot.lock();
        loop {
            match &*slot {
                Slot::With(thread) if *thread == std::thread::current().id() => {
                    return Err(Error::new(
                        Code::WOULD_DEADLOCK,
                        "who signs a checkpoint waits for one",
                    )
                    .operation("audit.integrate")
                    .advice("a signer or witness must not record more than the journal holds"));
                }
                Slot::With(_) => slot = self.slot_freed.wait(slot),
                Slot::Free(_) => break,
            }
        }
        match std::mem::replace(&mut *slot, Slot::With(std::thread::current().id())) {
            Slot::Free(tree) => Ok(Seized { core: self, tree }),
            Slot::With(_) => Err(Error::new(Code::INTERNAL, "the tree is with nobody")),
        }
    }

    /// One batch and its checkpoint. Nothing is taken over unless all of it succeeds.
    fn step(&self, before: &Tree, now: Timestamp) -> Result<Arc<Published>> {
        let files = &*self.files;
        let mut tree = before.clone();
        let mut keep_from = 0;
        if let Some(cursor) = tree.cursor.or_else(|| self.journal.start()) {
            let mut tail = self.journal.view(cursor);
            keep_from = self.keep.map_or(0, |keep| tail.end().saturating_sub(keep));
            tree.take(files, &mut tail, BATCH, keep_from)?;
        }
        let partial = tree.partial();
        for (path, bytes) in &partial {
            files.write(path, bytes).map_err(write_error)?;
        }
        files.sync().map_err(write_error)?;
        let checkpoint = Checkpoint::sign(tree.size(), tree.edge.root(), &*self.signer)?;
        let checkpoint = self.witnesses.cosign(checkpoint, now, &mut |old| {
            prove_consistency(old, tree.size(), &mut tree.nodes(files))
        })?;
        files.replace(CHECKPOINT, checkpoint.note().as_bytes()).map_err(write_error)?;
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);

        // What follows only tidies up: when it fails, it is done the next time, or at the next start.
        let old = before.partial().into_iter().map(|(path, _)| path);
        let mut stale = old.filter(|path| partial.iter().all(|(kept, _)| kept != path));
        let tidied = stale
            .try_for_each(|path| files.remove(&path))
            .and_then(|()| match self.keep {
                Some(keep) => tree.prune(files, keep, keep_from),
                None => Ok(0),
            })
            .and_then(|gone| {
                self.counters.pruned.fetch_add(gone, Ordering::Relaxed);
                self.journal.forget(tree.size())
            });
        if let Err(error) = tidied {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "what the audit log no longer needs could not be removed");
        }
        let published = Arc::new(Published { tree, checkpoint });
        self.published.store(Some(Arc::clone(&published)));
        Ok(published)
    }
}

/// Removes the partial tiles and bundles that are not those of the tree: what a process left behind
/// that ended in between.
pub(super) fn sweep(files: &dyn super::Files, tree: &Tree) -> std::io::Result<()> {
    let wanted: Vec<String> = tree.partial().into_iter().map(|(path, _)| path).collect();
    let mut folders = vec![parent(&bundle_path(tree.size() / 256, 256))];
    let mut number = tree.size() / 256;
    for level in 0..=tree.edge.levels().len().min(7) as u8 {
        folders.push(parent(&tile_path(level, number, 256)));
        number /= 256;
    }
    for folder in folders {
        for name in files.list(&folder)?.into_iter().filter(|name| name.ends_with(".p")) {
            for width in files.list(&format!("{folder}/{name}"))? {
                let path = format!("{folder}/{name}/{width}");
                if !wanted.contains(&path) {
                    files.remove(&path)?;
                }
            }
        }
    }
    Ok(())
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}
