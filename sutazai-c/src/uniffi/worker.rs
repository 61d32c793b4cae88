//! What supervised children do, written in Swift, Kotlin or Ruby.

use std::time::Duration;

use sutazai_core::Result;
use sutazai_core::base::reading::from_json;
use sutazai_core::port;

use super::error::KernelError;

/// A message that a child has in hand.
#[derive(Clone, Debug, uniffi::Record)]
pub struct WorkerMessage {
    /// The path of the child: `main>workers>reviewer`.
    pub child: String,
    /// What it says, JSON.
    pub body: String,
    /// Its number within the child's mailbox.
    pub id: u64,
    /// How often it was in hand when its child came down.
    pub kills: u32,
}

/// Does the messages of a supervised child, one after the other.
#[uniffi::export(callback_interface)]
pub trait MessageWorker: Send + Sync {
    /// Does a message, on a thread of the child's own. When it throws the child comes down, and the message goes
    /// back to its place for the next life; when it brings that one down too, it is set aside.
    fn handle(&self, message: WorkerMessage) -> std::result::Result<(), KernelError>;
}

/// A loop that lives under supervision.
#[uniffi::export(callback_interface)]
pub trait Worker: Send + Sync {
    /// Works on a thread of the child's own until it is done, or `life` says that it is told to stop.
    /// When it throws, the child has failed.
    fn run(&self, life: std::sync::Arc<WorkerLife>) -> std::result::Result<(), KernelError>;
}

/// One life of a `Worker`.
#[derive(uniffi::Object)]
pub struct WorkerLife(port::WorkerLife);

#[uniffi::export]
impl WorkerLife {
    /// The path of the child.
    pub fn child(&self) -> String {
        self.0.life().path.to_string()
    }

    /// Pauses for so many milliseconds, or until the child is told to stop; says whether it was.
    pub fn wait(&self, ms: u64) -> bool {
        self.0.wait(Duration::from_millis(ms))
    }
}

/// In the form that the core knows.
pub(super) fn looped(worker: Box<dyn Worker>) -> impl port::Worker {
    move |life: &port::WorkerLife| -> Result<()> {
        Ok(worker.run(std::sync::Arc::new(WorkerLife(life.clone())))?)
    }
}

/// As [`looped`].
pub(super) fn messages(worker: Box<dyn MessageWorker>) -> impl port::MessageWorker {
    move |message: &port::WorkerMessage<'_>| -> Result<()> {
        Ok(worker.handle(WorkerMessage {
            child: message.life.path.to_string(),
            body: message.body.to_text().as_ref().to_owned(),
            id: message.id,
            kills: message.kills,
        })?)
    }
}

/// A mailbox's policy; that of the default for an empty text.
pub(super) fn policy(
    text: &str,
) -> Result<sutazai_core::recovery::supervise::mailbox::MailboxPolicy> {
    if text.is_empty() {
        return Ok(Default::default());
    }
    from_json("worker.add", "policy", text)
}
