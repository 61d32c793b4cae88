//! What a child has to do, kept over its restarts: a bounded queue in front of it.
//!
//! A [`Mailbox`] belongs to no life of its child. What waits in it stays when the child ends; what the
//! child had in hand goes back to its place. A message that was in hand when its child came down, and
//! again the next time, is *poison*: it is set aside with its evidence, so that it does not take the
//! child down for ever, and waits for somebody to [retry](Mailbox::retry) or [discard](Mailbox::discard)
//! it.
//!
//! # What it promises
//!
//! - No message is lost: every one that was accepted is waiting, in hand, done, set aside, or was dropped
//!   or discarded by a rule that counts it ([`MailboxStatus`]).
//! - No message is done twice: [`Message::done`] counts for the life that has the message in hand, and not
//!   for one that was given up. (What a life did with a message before it came down is done; a message is
//!   delivered at least once, and completed exactly once.)
//! - Messages are handed out in the order in which they were accepted; one that went back keeps its place.
//! - Nothing here grows without bound, and no lock is held while anything of the host is called or dropped.
//!
//! [`MailboxWorker`] is a child that works off a mailbox, for a supervisor to look after.
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::port::{ChildLife, Generation};
//! use sutazai_core::recovery::supervise::mailbox::{Ending, Mailbox, MailboxPolicy};
//! use sutazai_core::{Code, Error};
//!
//! let mailbox = Mailbox::new(MailboxPolicy::default());
//! mailbox.push("divide by zero")?;
//! mailbox.push("add")?;
//!
//! let crash = Error::new(Code::PANIC, "attempt to divide by zero");
//! for generation in 1..=2 {
//!     let life = ChildLife::new("worker", "main>worker", Generation(generation));
//!     assert!(mailbox.attach(&life, Arc::new(|| ())));
//!     let message = mailbox.take(life.generation).unwrap();
//!     assert_eq!(*message.body, "divide by zero");
//!     mailbox.detach(life.generation, Ending::Crashed(&crash), Timestamp::now());
//! }
//!
//! let poison = mailbox.poison();
//! assert_eq!(poison[0].kills[1].generation, Generation(2));
//! let life = ChildLife::new("worker", "main>worker", Generation(3));
//! assert!(mailbox.attach(&life, Arc::new(|| ())));
//! assert_eq!(*mailbox.take(life.generation).unwrap().body, "add");
//! # Ok::<(), Error>(())
//! ```

mod letters;
mod policy;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use self::letters::{Letters, Place, Taken};
pub use self::policy::{Kill, MailboxPolicy, MailboxStatus, Overflow, Poison};
pub use self::worker::{MailboxWorker, Work};
use super::job::caught;
use crate::base::time::Timestamp;
use crate::port::{ChildLife, Generation};
use crate::{Code, Error, Result};

/// The number of a message within its mailbox, in the order of acceptance; never given twice.
pub type MessageId = u64;

/// Called when there may be something to take; must be short and not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Hears of poison.
pub type OnPoison<T> = Arc<dyn Fn(Fate<'_, T>) + Send + Sync>;

/// A bounded queue in front of a child. Cheap to clone; clones are the same mailbox.
pub struct Mailbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    letters: Mutex<Letters<T>>,
    on_poison: OnPoison<T>,
}

/// A message in hand.
pub struct Message<T> {
    /// Its number.
    pub id: MessageId,
    /// How often it was in hand when its child came down.
    pub kills: u32,
    /// What it says.
    pub body: Arc<T>,
    place: Place,
    mailbox: Mailbox<T>,
    generation: Generation,
}

/// How a life with messages in hand came to its end.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'e> {
    /// In order, or through no fault of what it had in hand: it goes back as it was.
    InOrder,
    /// It failed, or did not let go when it should have stopped: whatever it had in hand may be the
    /// reason.
    Crashed(&'e Error),
}

/// What becomes of a message that took its child down too often.
#[derive(Debug)]
pub enum Fate<'p, T> {
    /// It is set aside.
    SetAside(&'p Poison, &'p Arc<T>),
    /// It had been set aside, and is forgotten to make room for another one.
    Forgotten(&'p Poison, &'p Arc<T>),
}

/// A message was accepted.
#[derive(Debug)]
pub struct Accepted<T> {
    /// Its number.
    pub id: MessageId,
    /// What had to make room for it, with [`Overflow::DropOldest`].
    pub displaced: Option<Arc<T>>,
}

/// A message was not accepted, and is given back.
pub struct Rejected<T> {
    /// Why: [`Code::OVERLOADED`].
    pub error: Error,
    /// The message.
    pub body: T,
}

impl<T: Send + Sync + 'static> Mailbox<T> {
    /// An empty one. Values of the policy below 1 count as 1.
    pub fn new(policy: MailboxPolicy) -> Self {
        Self::with(policy, Arc::new(|_| ()))
    }

    /// An empty one, which tells of poison: so that whoever waits for an answer gets one.
    pub fn with(policy: MailboxPolicy, on_poison: OnPoison<T>) -> Self {
        Self(Arc::new(Shared { letters: Mutex::new(Letters::new(policy)), on_poison }))
    }

    /// Puts a message behind the others.
    ///
    /// # Errors
    /// [`Code::OVERLOADED`] when as many wait or are in hand as the policy allows, and none of those
    /// that wait may be dropped. The message is given back.
    pub fn push(&self, body: T) -> Result<Accepted<T>, Rejected<T>> {
        let (accepted, wake) = {
            let mut letters = self.0.letters.lock();
            let accepted = letters.push(body);
            (accepted, letters.wake())
        };
        let accepted = accepted.map_err(|body| Rejected { error: full(), body })?;
        woken(wake);
        Ok(accepted)
    }

    /// Changes the bounds. What is there beyond them stays; a message that was set aside stays so.
    pub fn set_policy(&self, policy: MailboxPolicy) {
        self.0.letters.lock().set_policy(policy);
    }

    /// A new life of the child takes over; `wake` is called when there is something to take, and perhaps
    /// when there is not. What the life before it still has in hand goes back. False when a later life
    /// has taken over already: this one was given up while it started.
    pub fn attach(&self, life: &ChildLife, wake: Wake) -> bool {
        let (attached, wake) = {
            let mut letters = self.0.letters.lock();
            let attached = letters.attach(life, wake);
            (attached, letters.wake())
        };
        if attached.is_ok() {
            woken(wake);
        }
        attached.is_ok()
    }

    /// The next message, if there is one and this life is the one that may take it.
    pub fn take(&self, generation: Generation) -> Option<Message<T>> {
        let Taken { place, id, kills, body } = self.0.letters.lock().take(generation)?;
        Some(Message { id, kills, body, place, mailbox: self.clone(), generation })
    }

    /// A life is over: what it has in hand goes back to its place, or is set aside. Does nothing when
    /// another life has taken over. Returns how many messages went back or were set aside.
    pub fn detach(&self, generation: Generation, ending: Ending<'_>, at: Timestamp) -> usize {
        let detached = self.0.letters.lock().detach(generation, ending, at);
        for (poison, body) in &detached.forgotten {
            self.tell(Fate::Forgotten(poison, body));
        }
        for (poison, body) in &detached.set_aside {
            self.tell(Fate::SetAside(poison, body));
        }
        detached.returned + detached.set_aside.len()
    }

    fn tell(&self, fate: Fate<'_, T>) {
        // The child's end is not to be held up by whoever panics about it.
        let _ = caught(|| (self.0.on_poison)(fate));
    }

    /// What was set aside, the oldest first.
    pub fn poison(&self) -> Vec<Poison> {
        self.0.letters.lock().poison()
    }

    /// Puts a message that was set aside behind the others, as if nothing had been.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::OVERLOADED`] when there is no room for it: it stays set aside.
    pub fn retry(&self, id: MessageId) -> Result<()> {
        let wake = {
            let mut letters = self.0.letters.lock();
            match letters.retry(id) {
                Some(true) => letters.wake(),
                Some(false) => return Err(full().with("message", id)),
                None => return Err(unknown(id)),
            }
        };
        woken(wake);
        Ok(())
    }

    /// Forgets a message that was set aside, and gives it out.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn discard(&self, id: MessageId) -> Result<Arc<T>> {
        self.0.letters.lock().discard(id).ok_or_else(|| unknown(id))
    }

    /// How many messages are where, and what became of the others.
    pub fn status(&self) -> MailboxStatus {
        self.0.letters.lock().status()
    }
}

impl<T: Send + Sync + 'static> Message<T> {
    /// The child is done with it. False when it is not in this life's hand any more: the life was given
    /// up, and another one has the message, or will have.
    pub fn done(&self) -> bool {
        let done = self.mailbox.0.letters.lock().done(self.generation, self.place);
        done.is_some()
    }

    /// The child did not get to it: it goes back to its place. False as for [`done`](Self::done).
    pub fn put_back(&self) -> bool {
        let (back, wake) = {
            let mut letters = self.mailbox.0.letters.lock();
            let back = letters.put_back(self.generation, self.place);
            (back, letters.wake())
        };
        if back {
            woken(wake);
        }
        back
    }
}

fn woken(wake: Option<Wake>) {
    if let Some(wake) = wake {
        wake();
    }
}

fn full() -> Error {
    Error::new(Code::OVERLOADED, "the mailbox is full").operation("mailbox")
}

fn unknown(id: MessageId) -> Error {
    Error::new(Code::NOT_FOUND, "no message of that number is set aside")
        .operation("mailbox")
        .with("message", id)
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mailbox").field(&self.0.letters.lock().status()).finish()
    }
}

impl<T> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.id)
            .field("kills", &self.kills)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> From<Rejected<T>> for Error {
    fn from(rejected: Rejected<T>) -> Self {
        rejected.error
    }
}
