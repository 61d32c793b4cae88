//! What is changed while the kernel runs, on the audit record: what is deployed, configured and overridden, by the
//! host and by itself. Without the room `security` nothing is recorded.

use super::Kernel;
use super::shared::Shared;
use crate::port::AuditClass;
use crate::{Error, Result};

/// Words on how something is changed, at most.
const DETAILS: usize = 4;

/// A change, as the record names it.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "security"), allow(dead_code, reason = "nothing is recorded"))]
pub(crate) struct Change<'a> {
    class: AuditClass,
    action: &'a str,
    object: &'a str,
    by: &'a str,
    /// Words on how, and what each is a word on.
    details: [Option<(&'a str, &'a str)>; DETAILS],
}

impl<'a> Change<'a> {
    /// Who does what a host does, without saying who.
    const HOST: &'static str = "host";
    /// Who does what the kernel does by itself.
    pub(super) const KERNEL: &'static str = "kernel";

    /// Something is put to work, or taken away.
    pub(crate) fn deployment(action: &'a str, object: &'a str) -> Self {
        Self {
            class: AuditClass::Deployment,
            action,
            object,
            by: Self::HOST,
            details: [None; DETAILS],
        }
    }

    /// Something is to work in another way.
    pub(crate) fn configuration(action: &'a str, object: &'a str) -> Self {
        Self { class: AuditClass::Configuration, ..Self::deployment(action, object) }
    }

    /// Somebody decides what the kernel decides otherwise.
    #[cfg(any(feature = "recovery", feature = "tune"))]
    pub(crate) fn forced(action: &'a str, object: &'a str) -> Self {
        Self { class: AuditClass::Override, ..Self::deployment(action, object) }
    }

    /// Who does it, where that is not the host without a name.
    pub(crate) fn by(mut self, who: &'a str) -> Self {
        if !who.is_empty() {
            self.by = who;
        }
        self
    }

    /// A word on how; the first four are recorded.
    pub(crate) fn with(mut self, name: &'a str, word: &'a str) -> Self {
        if let Some(free) = self.details.iter_mut().find(|detail| detail.is_none()) {
            *free = Some((name, word));
        }
        self
    }
}

impl Shared {
    /// Does it once it is on the record; where it fails, that is on the record as well. Where this thread may wait, the
    /// record is as durable as its class demands before it is done; elsewhere it has its place in the log.
    ///
    /// # Errors
    /// What cannot be put on the record is not done.
    pub(crate) fn changes<T>(
        &self,
        change: Change<'_>,
        f: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.on_record(&change, None)?;
        let done = f();
        if let Err(error) = &done
            && let Err(record) = self.on_record(&change, Some(error.code().name()))
        {
            untold(&change, &record);
        }
        done
    }

    /// Puts on the record that the kernel runs, and with which agents.
    pub(super) fn started(&self) {
        let change = Change::deployment("kernel.start", "kernel").by(Change::KERNEL);
        self.changed(change.with("version", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "agent")]
        for entry in self.agents.all() {
            self.came(&entry);
        }
    }

    /// Puts on the record that the kernel runs no more.
    pub(super) fn stopped(&self) {
        self.changed(Change::deployment("kernel.stop", "kernel").by(Change::KERNEL));
    }

    /// Puts on the record what has happened by itself. That cannot be refused any more: where it cannot be recorded, the
    /// log says so.
    pub(super) fn changed(&self, change: Change<'_>) {
        if let Err(error) = self.file_change(&change, None, self.runtime.may_block()) {
            untold(&change, &error);
        }
    }

    /// As [`changed`](Self::changed), of what does not wait for a disk, whatever becomes of the record.
    #[cfg(feature = "recovery")]
    pub(super) fn changed_at_once(&self, change: Change<'_>) {
        if let Err(error) = self.file_change(&change, None, false) {
            untold(&change, &error);
        }
    }
}

impl Kernel {
    /// Does what has no method of the kernel's, once it is on the record.
    pub(crate) fn changes<T>(
        &self,
        change: Change<'_>,
        f: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.shared.changes(change, f)
    }
}

#[cold]
fn untold(change: &Change<'_>, error: &Error) {
    let Change { action, object, .. } = *change;
    tracing::error!(action, object, %error, "a change is not on the audit record");
}

#[cfg(feature = "security")]
mod recorded {
    use super::super::Phase;
    use super::{Change, Shared};
    use crate::base::ticket::Ticket;
    use crate::port::{AuditEvent, AuditOutcome, AuditValue};
    use crate::security::audit::NAME_MAX;
    use crate::{Code, Result};

    impl Shared {
        /// Puts it on the record, and waits for it where this thread may wait.
        pub(super) fn on_record(&self, change: &Change<'_>, failed: Option<&str>) -> Result<()> {
            let waits = self.runtime.may_block();
            let filed = match self.file_change(change, failed, waits) {
                // The log is closed; what a kernel refuses that has stopped, it says itself.
                Err(error)
                    if error.code() == Code::NOT_RUNNING && self.phase() == Phase::Stopped =>
                {
                    return Ok(());
                }
                filed => filed?,
            };
            let Some(mut ticket) = filed else { return Ok(()) };
            if waits {
                return ticket.wait().map(drop);
            }
            ticket.detach();
            Ok(())
        }

        /// Gives it its place in the log; behind too many that wait for the disk only where this one may wait as well.
        pub(super) fn file_change(
            &self,
            change: &Change<'_>,
            failed: Option<&str>,
            waits: bool,
        ) -> Result<Option<Ticket<u64>>> {
            let Some(security) = self.secured.get() else { return Ok(None) };
            // What cannot be named is refused by what is changed itself.
            let name = |text| if str::len(text) > NAME_MAX { "-" } else { text };
            let words = change.details.iter().flatten();
            let words = words.map(|(name, word)| (*name, AuditValue::Text(word)));
            let code = failed.map(|code| ("code", AuditValue::Text(code)));
            let details: Vec<_> = words.chain(code).collect();
            let now = self.runtime.timestamp();
            let outcome = match failed {
                None => AuditOutcome::Success,
                Some(_) => AuditOutcome::Failure,
            };
            let event = AuditEvent::new(change.class, change.action, name(change.by), now)
                .object(name(change.object))
                .outcome(outcome)
                .details(&details);
            let mut ticket = security.audit().submit(&event);
            match ticket.try_take() {
                None => Ok(Some(ticket)),
                Some(Err(error)) if error.code() == Code::OVERLOADED && waits => {
                    security.audit().record(&event).map(|_| None)
                }
                Some(answer) => answer.map(|_| None),
            }
        }
    }
}

#[cfg(not(feature = "security"))]
mod recorded {
    #![allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "nothing is recorded")]

    use super::{Change, Shared};
    use crate::Result;

    impl Shared {
        pub(super) fn on_record(&self, _change: &Change<'_>, _failed: Option<&str>) -> Result<()> {
            Ok(())
        }

        pub(super) fn file_change(
            &self,
            _change: &Change<'_>,
            _failed: Option<&str>,
            _waits: bool,
        ) -> Result<()> {
            Ok(())
        }
    }
}
