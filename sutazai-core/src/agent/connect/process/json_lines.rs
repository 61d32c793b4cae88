//! The protocol of this module as a [`Dialect`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::dialect::{Dialect, Heard, Said};
use super::wire::{self, Failure, Message};
use crate::base::time::Moment;
use crate::port::failure::AGENT_CODE;
use crate::port::{Outcome, Task};
use crate::{Code, Error, Result};

pub(super) struct JsonLines {
    agent: Arc<str>,
    /// The process has said that it answers pings.
    pings: AtomicBool,
}

impl JsonLines {
    pub(super) fn new(agent: Arc<str>) -> Self {
        Self { agent, pings: AtomicBool::new(false) }
    }
}

impl Dialect for JsonLines {
    fn operation(&self) -> &'static str {
        "agent.process"
    }

    fn begin(&self, _: Moment) -> Vec<Said> {
        self.pings.store(false, Ordering::Relaxed);
        Vec::new()
    }

    fn hear(&self, line: &[u8], _: Moment) -> Vec<Heard> {
        vec![match wire::parse(line) {
            Ok(Message::Ready { pings }) => {
                self.pings.store(pings, Ordering::Relaxed);
                Heard::Ready
            }
            Ok(Message::Pong) => Heard::Pong,
            Ok(Message::Card(card)) => Heard::Card(card),
            Ok(Message::Log { level, message }) => Heard::Log { level, message },
            Ok(Message::Progress { id, part }) => Heard::Progress { id, part, may_be_late: false },
            Ok(Message::Result { id, output, usage }) => {
                let outcome = Outcome::new(output);
                let outcome = match usage {
                    Some(usage) => outcome.used(usage),
                    None => outcome,
                };
                Heard::Answer { id, answer: Ok(outcome) }
            }
            Ok(Message::Error { id, failure }) => {
                Heard::Answer { id, answer: Err(self.failed(failure)) }
            }
            Err(what) => Heard::Breach(what),
        }]
    }

    fn task_length(&self, task: &Task, input: &str) -> usize {
        wire::task_length(task, input)
    }

    fn task(&self, id: u64, task: &Task, input: &str, timeout_ms: Option<u64>) -> Result<Said> {
        Ok(wire::task(id, task, input, timeout_ms).into())
    }

    fn cancel(&self, id: u64) -> Said {
        wire::cancel(id).into()
    }

    fn ping(&self) -> Option<Said> {
        self.pings.load(Ordering::Relaxed).then(|| wire::PING.into())
    }

    fn stop(&self) -> Option<Said> {
        Some(wire::STOP.into())
    }

    fn whose(&self, head: &[u8], _: &[u8]) -> Option<u64> {
        wire::id_of_beginning(head)
    }

    fn advice(&self) -> &'static str {
        "it must write {\"v\":1,\"type\":\"ready\"} to stdout when it can take tasks, and flush; \
         its stderr and exit status are in the context"
    }
}

impl JsonLines {
    fn failed(&self, failure: Failure) -> Error {
        let number = failure.code.as_ref().and_then(Value::as_u64);
        let number = number.and_then(|n| u32::try_from(n).ok());
        // The library's own codes are not for agents to give.
        let code = number.and_then(Code::from_number).filter(|code| code.is_host());
        let mut error = Error::new(code.unwrap_or(Code::AGENT_FAILED), failure.message)
            .operation("agent.process")
            .with("agent", &self.agent);
        if let Some(class) = failure.class {
            error = error.classed(class);
        } else if code.is_some() {
            error = error.classed(Code::AGENT_FAILED.class());
        }
        match (code, failure.code) {
            (None, Some(Value::String(text))) => error.with(AGENT_CODE, text),
            (None, Some(other)) => error.with(AGENT_CODE, other),
            _ => error,
        }
    }
}
