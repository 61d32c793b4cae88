//! The caller's end of an operation under way.

use parking_lot::Mutex;
use sutazai_core::base::error::Fixed;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::{self, Settler};
use sutazai_core::{Code, Error};

use super::error::KernelError;
use crate::fork::Home;

/// An operation under way. Its answer is given out once. One that is let go of without an answer is
/// cancelled.
#[derive(uniffi::Object)]
pub struct Ticket {
    home: Home,
    /// `None` once the answer goes, or went, somewhere else.
    ticket: Mutex<Option<ticket::Ticket<Payload>>>,
    settler: Option<Settler<Payload>>,
}

impl Ticket {
    pub(super) fn new(ticket: ticket::Ticket<Payload>) -> Self {
        let settler = ticket.settler();
        Self { home: Home::here(), ticket: Mutex::new(Some(ticket)), settler }
    }
}

#[uniffi::export]
impl Ticket {
    /// The answer, JSON, when there is one.
    ///
    /// Throws the operation's error; `base.taken` when the answer was given out before.
    pub async fn answer(&self) -> Result<String, KernelError> {
        self.home.check()?;
        let ticket = self.ticket.lock().take().ok_or_else(taken)?;
        Ok(text(&ticket.await?))
    }

    /// The answer, JSON, if it is there; does not wait.
    ///
    /// Throws as `answer` does.
    pub fn take(&self) -> Result<Option<String>, KernelError> {
        self.home.check()?;
        let mut ticket = self.ticket.lock();
        match ticket.as_mut().ok_or_else(taken)?.try_take() {
            None => Ok(None),
            Some(answer) => {
                *ticket = None;
                Ok(Some(text(&answer?)))
            }
        }
    }

    /// Cancels the operation, unless it has its answer: it is answered `base.cancelled`.
    pub fn cancel(&self) -> Result<(), KernelError> {
        self.home.check()?;
        if let Some(settler) = &self.settler {
            settler.cancel();
        }
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.home.is_here() {
            // Cancelling would ask the other process's kernel.
            std::mem::forget((self.ticket.get_mut().take(), self.settler.take()));
        }
    }
}

pub(super) fn text(answer: &Payload) -> String {
    answer.to_text().as_ref().to_owned()
}

fn taken() -> Error {
    static TAKEN: Fixed = Fixed { code: Code::TAKEN, message: "the ticket gave its answer before" };
    Error::from(&TAKEN)
}
