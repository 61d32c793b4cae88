//! The way of a record: encoded, appended, made durable.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::files::Files;
use super::integrate::Slot;
use super::journal::{Commit, Journal};
use super::note::{CheckpointSigner, Witnesses};
use super::record::{NAME_MAX, Personal, View, encode, encode_details};
use super::subject::{SubjectKeys, associated};
use super::tree::Published;
use crate::base::error::Fixed;
use crate::base::os::fork::Home;
use crate::base::runtime;
use crate::base::ticket::{self, Reply, Ticket};
use crate::base::time::Timestamp;
use crate::base::wait::{Condvar, Mutex};
use crate::port::{AuditClass, AuditEvent};
use crate::store::{DataDir, Durability};
use crate::{Code, Error, Result};

/// Everything that the handles and the threads of one log share.
pub(super) struct Core {
    pub files: Arc<dyn Files>,
    pub journal: Journal,
    pub commit: Commit,
    pub signer: Arc<dyn CheckpointSigner>,
    pub witnesses: Witnesses,
    pub subjects: Option<Arc<dyn SubjectKeys>>,
    /// The tree, when nobody is at it.
    pub slot: Mutex<Slot>,
    pub slot_freed: Condvar,
    pub published: ArcSwapOption<Published>,
    pub queue: Queue,
    pub growth: Growth,
    pub counters: Counters,
    /// `None`: in memory, and how many records are kept.
    pub dir: Option<DataDir>,
    pub keep: Option<u64>,
    pub sync_every: Duration,
    pub checkpoint_every: Duration,
    pub closed: AtomicBool,
    durability: [AtomicU8; AuditClass::ALL.len()],
    /// Whoever is another process was forked from the one that opened it.
    home: Home,
}

/// Tickets that wait for the disk.
pub(super) struct Queue {
    pub waiting: Mutex<VecDeque<(u64, Reply<u64>)>>,
    pub woken: Condvar,
    /// Those in `waiting`, and those on their way there.
    taken: AtomicUsize,
    most: usize,
    /// Somebody answers them.
    pub attended: AtomicBool,
}

/// What the thread that moves records into the tree waits for.
#[derive(Default)]
pub(super) struct Growth {
    nudged: Mutex<bool>,
    told: Condvar,
}

impl Growth {
    /// A segment was begun, or it is to end.
    #[cold]
    pub(super) fn nudge(&self) {
        *self.nudged.lock() = true;
        self.told.notify_all();
    }

    /// Returns when it was nudged since the last time, at `due` at the latest.
    pub(super) fn wait(&self, due: Instant) {
        let mut nudged = self.nudged.lock();
        while !*nudged && Instant::now() < due {
            nudged = self.told.wait_until(nudged, Some(due)).0;
        }
        *nudged = false;
    }
}

/// What has happened since it was opened.
#[derive(Default)]
pub(super) struct Counters {
    pub records: AtomicU64,
    pub refused: AtomicU64,
    pub withheld: AtomicU64,
    pub checkpoints: AtomicU64,
    pub failures: AtomicU64,
    pub pruned: AtomicU64,
    pub last_failure: Mutex<Option<Error>>,
}

static CLOSED: Fixed = Fixed { code: Code::NOT_RUNNING, message: "the audit log was closed" };
static FORKED: Fixed = Fixed {
    code: Code::FORKED,
    message: "the audit log belongs to the process that this one was forked from",
};
static PENDING: Fixed = Fixed {
    code: Code::OVERLOADED,
    message: "as many audit records as may wait for the disk wait for it",
};

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            woken: Condvar::new(),
            taken: AtomicUsize::new(0),
            most: most.max(1),
            attended: AtomicBool::new(false),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Answers all of these.
    pub(super) fn answer(&self, batch: VecDeque<(u64, Reply<u64>)>, result: &Result<()>) {
        let count = batch.len();
        for (index, reply) in batch {
            let _ = reply.answer(result.clone().map(|()| index));
        }
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The place of a class in tables.
#[inline]
fn place(class: AuditClass) -> u8 {
    match class {
        AuditClass::Action => 0,
        AuditClass::Decision => 1,
        AuditClass::Authentication => 2,
        AuditClass::Token => 3,
        AuditClass::Revocation => 4,
        AuditClass::Key => 5,
        AuditClass::Override => 6,
        AuditClass::Configuration => 7,
        AuditClass::Deployment => 8,
    }
}

const LEVELS: [Durability; 4] =
    [Durability::Memory, Durability::Process, Durability::Interval, Durability::Fsync];

/// How often somebody empties the journal for one record.
const ATTEMPTS: usize = 32;

/// What a [`Core`] is made of.
pub(super) struct Parts {
    pub files: Arc<dyn Files>,
    pub journal: Journal,
    pub slot: Slot,
    pub published: Option<Arc<Published>>,
    pub signer: Arc<dyn CheckpointSigner>,
    pub dir: Option<DataDir>,
    pub keep: Option<u64>,
    /// Everything below is durable.
    pub synced: u64,
}

impl Core {
    pub(super) fn new(parts: Parts, options: &super::Options) -> Self {
        let core = Self {
            files: parts.files,
            journal: parts.journal,
            commit: Commit::new(parts.synced),
            signer: parts.signer,
            witnesses: options.witnesses.clone(),
            subjects: options.subjects.clone(),
            slot: Mutex::new(parts.slot),
            slot_freed: Condvar::new(),
            published: ArcSwapOption::new(parts.published),
            queue: Queue::new(options.pending),
            growth: Growth::default(),
            counters: Counters::default(),
            dir: parts.dir,
            keep: parts.keep,
            sync_every: options.sync_every,
            checkpoint_every: options.checkpoint_every,
            closed: AtomicBool::new(false),
            durability: AuditClass::ALL
                .map(|class| AtomicU8::new(super::default_durability(class) as u8)),
            home: Home::here(),
        };
        for (class, durability) in &options.durability {
            core.set_durability(*class, *durability);
        }
        core
    }

    pub(super) fn set_durability(&self, class: AuditClass, durability: Durability) {
        if let Some(slot) = self.durability.get(usize::from(place(class))) {
            slot.store(durability as u8, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn durability(&self, class: AuditClass) -> Durability {
        let level = self.durability.get(usize::from(place(class)));
        level
            .and_then(|level| LEVELS.get(usize::from(level.load(Ordering::Relaxed))).copied())
            .unwrap_or(Durability::Fsync)
    }

    /// Keeps it, as durably as its class demands.
    #[inline]
    pub(super) fn record(&self, event: &AuditEvent<'_>) -> Result<u64> {
        let index = self.put(event)?;
        if self.durability(event.class) == Durability::Fsync {
            self.reach(index + 1)?;
        }
        Ok(index)
    }

    /// As [`record`](Self::record), without waiting for the disk.
    pub(super) fn submit(&self, event: &AuditEvent<'_>) -> Ticket<u64> {
        let durable = self.durability(event.class) == Durability::Fsync;
        if !durable {
            return ticket::ready(self.put(event));
        }
        if !self.queue.attended.load(Ordering::Acquire) {
            return ticket::ready(self.record(event));
        }
        if self.queue.taken.fetch_add(1, Ordering::Relaxed) >= self.queue.most {
            self.queue.taken.fetch_sub(1, Ordering::Relaxed);
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return ticket::ready(Err(Error::from(&PENDING)));
        }
        match self.put(event) {
            Ok(index) => {
                let (ticket, reply) = ticket::pair();
                let mut waiting = self.queue.waiting.lock();
                if self.queue.attended.load(Ordering::Relaxed) {
                    waiting.push_back((index, reply));
                    let first = waiting.len() == 1;
                    drop(waiting);
                    if first {
                        self.queue.woken.notify_all();
                    }
                } else {
                    // The thread ended in between.
                    drop(waiting);
                    let batch = VecDeque::from([(index, reply)]);
                    self.queue.answer(batch, &self.reach(index + 1));
                }
                ticket
            }
            Err(error) => {
                self.queue.taken.fetch_sub(1, Ordering::Relaxed);
                ticket::ready(Err(error))
            }
        }
    }

    /// Waits until everything below `end` is durable; on a pool's thread its slot is lent out.
    pub(super) fn reach(&self, end: u64) -> Result<()> {
        if runtime::may_block_here() {
            runtime::block(|| self.commit.reach(&self.journal, end))?
        } else {
            self.commit.reach(&self.journal, end)
        }
    }

    /// Whether this is a process that was forked from the one that opened it.
    #[inline]
    pub(super) fn is_forked(&self) -> bool {
        !self.home.is_here()
    }

    /// Whether it takes records.
    pub(super) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::from(&CLOSED));
        }
        if self.is_forked() {
            return Err(Error::from(&FORKED));
        }
        match self.commit.has_failed() {
            true => Err(self.commit.failure().unwrap_or_else(|| Error::from(&CLOSED))),
            false => Ok(()),
        }
    }

    /// Encodes it and appends it to the journal.
    fn put(&self, event: &AuditEvent<'_>) -> Result<u64> {
        let put = self.check().and_then(|()| {
            BUFFER.with(|buffer| match buffer.try_borrow_mut() {
                Ok(mut buffer) => self.put_with(&mut buffer, event),
                // What is recorded within a record: subjects' keys may do that.
                Err(_) => self.put_with(&mut Vec::new(), event),
            })
        });
        let counter = if put.is_ok() { &self.counters.records } else { &self.counters.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        put
    }

    #[inline]
    fn put_with(&self, buffer: &mut Vec<u8>, event: &AuditEvent<'_>) -> Result<u64> {
        buffer.clear();
        if event.personal.is_empty() {
            encode(buffer, &View::of(event, None))?;
        } else {
            self.encode_personal(buffer, event)?;
        }
        loop {
            match self.journal.append(place(event.class), buffer) {
                Ok((index, false)) => return Ok(index),
                Ok((index, true)) => {
                    self.growth.nudge();
                    return Ok(index);
                }
                Err(_full) => self.make_room(event.at)?,
            }
        }
    }

    #[cold]
    fn encode_personal(&self, buffer: &mut Vec<u8>, event: &AuditEvent<'_>) -> Result<()> {
        let subject = event.subject.unwrap_or(event.principal);
        if subject.len() > NAME_MAX {
            return Err(Error::new(Code::INVALID, "the subject's name is too long")
                .operation("audit.record")
                .with("most", NAME_MAX));
        }
        let Some(keys) = &self.subjects else {
            self.counters.withheld.fetch_add(1, Ordering::Relaxed);
            let fields = event.personal.len() as u64;
            return encode(buffer, &View::of(event, Some(Personal::Withheld { subject, fields })));
        };
        let mut plain = zeroize::Zeroizing::new(Vec::new());
        encode_details(&mut plain, event.personal)?;
        let sealed = keys.seal(subject, &associated(subject, event.at), &plain)?;
        let sealed = STANDARD.encode(sealed);
        encode(buffer, &View::of(event, Some(Personal::Sealed { subject, sealed: &sealed })))
    }

    /// Makes another segment, having emptied one if there are too many.
    #[cold]
    fn make_room(&self, now: Timestamp) -> Result<()> {
        let full = |error: Error| {
            Error::new(Code::AUDIT_FULL, "the audit journal is full, and cannot be emptied")
                .operation("audit.record")
                .because(error)
                .advice("see that the disk has room and that checkpoints can be signed")
        };
        let disk = |error: std::io::Error| full(super::tree::write_error(error));
        if self.journal.prepare().map_err(disk)? {
            return Ok(());
        }
        // Whoever writes as fast as that may have filled what was emptied.
        for _ in 0..ATTEMPTS {
            self.integrate(now).map_err(full)?;
            if self.journal.prepare().map_err(disk)? {
                return Ok(());
            }
        }
        Err(full(Error::new(Code::OVERLOADED, "others fill it faster than it is emptied")))
    }
}
