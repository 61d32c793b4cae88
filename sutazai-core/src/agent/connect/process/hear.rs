//! What the process says: its messages, its breaches of the protocol, its stderr.

use std::io::Read;
use std::time::Duration;

use super::exit::shortened;
use super::lines::{Line, Lines};
use super::shared::{Ending, Phase, Shared, State};
use super::wire::{self, Failure, Message};
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::observe::Level;
use crate::port::Outcome;
use crate::port::failure::AGENT_CODE;
use crate::{Code, Error};

/// Bytes of a line of stderr, at most; what is longer is cut.
const STDERR_LINE: usize = 4096;
/// Bytes of an offending line that are shown.
const EXCERPT: usize = 120;

impl Shared {
    /// Reads stdout to its end.
    pub(super) fn listen(&self, from: impl Read) {
        let mut lines = Lines::new(from, self.spec.max_line);
        loop {
            match lines.next() {
                Ok(Some(Line::Whole(line))) => self.hear(line),
                Ok(Some(Line::TooLong(head, length))) => self.hear_too_long(head, length),
                Ok(None) => break,
                Err(error) => {
                    self.log.write(Level::Warn, &format!("cannot read from the process: {error}"));
                    break;
                }
            }
        }
        self.end_soon("closed its output");
    }

    /// Reads stderr to its end.
    pub(super) fn listen_to_stderr(&self, from: impl Read) {
        let mut lines = Lines::new(from, STDERR_LINE);
        while let Ok(Some(line)) = lines.next() {
            let (bytes, cut) = match line {
                Line::Whole(line) => (line, ""),
                Line::TooLong(head, _) => (head, "…"),
            };
            let text = String::from_utf8_lossy(bytes);
            let text = text.trim_end();
            if text.is_empty() {
                continue;
            }
            let text = format!("{text}{cut}");
            self.state.lock().tail.push(&text);
            self.log.write(Level::Info, &text);
        }
    }

    /// Ends the process unless it ends of its own within the grace: it has cut a connection.
    pub(super) fn end_soon(&self, reason: &str) {
        {
            let mut state = self.state.lock();
            let grace = self.spec.kill_grace;
            self.end(&mut state, format!("it {reason}"), grace);
        }
        self.change.notify_all();
    }

    /// Ends the process after a while, unless its end has been decided before.
    pub(super) fn end(&self, state: &mut State, reason: String, after: Duration) {
        if state.ending.is_none() {
            let terminate = Moment::now() + after;
            let kill = terminate + self.spec.kill_grace;
            state.ending = Some(Ending { terminate, kill, reason });
        }
    }

    fn hear(&self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let heard = match wire::parse(line) {
            Ok(Message::Ready) => self.ready(),
            Ok(Message::Card(card)) => {
                self.state.lock().described = Some(card);
                self.change.notify_all();
                Ok(())
            }
            Ok(Message::Log { level, message }) => {
                self.log.write(level, &message);
                Ok(())
            }
            Ok(Message::Progress { id, part }) => self.progress(id, part),
            Ok(Message::Result { id, output }) => {
                self.answer(id, |reply| reply.send(Outcome::new(output)))
            }
            Ok(Message::Error { id, failure }) => {
                self.answer(id, |reply| reply.fail(self.failed(failure)))
            }
            Err(what) => Err(what),
        };
        match heard {
            Ok(()) => self.state.lock().breaches_in_a_row = 0,
            Err(what) => self.breach(&what, line),
        }
    }

    fn ready(&self) -> Result<(), String> {
        {
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Starting) {
                return Err("\"ready\" is said once".to_owned());
            }
            state.phase = Phase::Ready;
        }
        self.work.notify_one();
        self.change.notify_all();
        Ok(())
    }

    fn progress(&self, id: u64, part: serde_json::Value) -> Result<(), String> {
        let lent = self.state.lock().calls.lend(id);
        let reply = lent.ok_or_else(|| not_under_way(id))?;
        // A task that was cancelled may well go on for a moment.
        let _ = reply.progress(part.into());
        let left = self.state.lock().calls.give_back(id, reply);
        drop(left);
        Ok(())
    }

    fn answer<E>(
        &self,
        id: u64,
        with: impl FnOnce(Reply<Outcome>) -> Result<(), E>,
    ) -> Result<(), String> {
        let taken = self.state.lock().calls.take(id);
        let reply = taken.ok_or_else(|| not_under_way(id))?;
        self.work.notify_one();
        // Too late when the caller cancelled; that is no breach.
        let _ = with(reply);
        Ok(())
    }

    fn failed(&self, failure: Failure) -> Error {
        let number = failure.code.as_ref().and_then(serde_json::Value::as_u64);
        let number = number.and_then(|n| u32::try_from(n).ok());
        // The library's own codes are not for agents to give.
        let code = number.and_then(Code::from_number).filter(|code| code.is_host());
        let mut error = Error::new(code.unwrap_or(Code::AGENT_FAILED), failure.message)
            .operation("agent.process")
            .with("agent", &self.card.name);
        if let Some(class) = failure.class {
            error = error.classed(class);
        } else if code.is_some() {
            error = error.classed(Code::AGENT_FAILED.class());
        }
        match (code, failure.code) {
            (None, Some(serde_json::Value::String(text))) => error.with(AGENT_CODE, text),
            (None, Some(other)) => error.with(AGENT_CODE, other),
            _ => error,
        }
    }

    fn hear_too_long(&self, head: &[u8], length: u64) {
        let what = format!("a line of {length} bytes, but {} are allowed", self.spec.max_line);
        if let Some(id) = wire::id_of_beginning(head) {
            let error = Error::new(Code::AGENT_PROTOCOL, "the agent's answer is too long")
                .operation("agent.process")
                .with("agent", &self.card.name)
                .with("bytes", length)
                .with("max_line", self.spec.max_line)
                .advice("answer in several progress messages, or raise max_line");
            let _ = self.answer(id, |reply| reply.fail(error));
        }
        self.breach(&what, head);
    }

    /// Counts and logs a breach of the protocol; after some in a row the process is ended.
    fn breach(&self, what: &str, line: &[u8]) {
        {
            let mut state = self.state.lock();
            state.breaches += 1;
            state.breaches_in_a_row += 1;
            if state.breaches_in_a_row >= self.spec.breaches {
                let reason = format!("{} breaches of the protocol in a row", self.spec.breaches);
                self.end(&mut state, reason, Duration::ZERO);
            }
        }
        self.change.notify_all();
        let text = String::from_utf8_lossy(line.get(..EXCERPT * 4).unwrap_or(line));
        let text = shortened(&text, EXCERPT);
        self.log.write(Level::Warn, &format!("breach of the protocol: {what}: {text:?}"));
    }
}

fn not_under_way(id: u64) -> String {
    format!("task {id} is not under way: unknown, or answered before")
}
