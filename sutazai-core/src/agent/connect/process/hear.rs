//! What the process says: its messages, its breaches of the protocol, its stderr.

use std::io::Read;
use std::time::Duration;

use super::dialect::{Heard, Said, too_long};
use super::exit::shortened;
use super::lines::{Line, Lines};
use super::shared::{Ending, Phase, Shared, State};
use crate::base::time::Moment;
use crate::observe::Level;
use crate::port::Outcome;

/// Bytes of a line of stderr, at most; what is longer is cut.
const STDERR_LINE: usize = 4096;
/// Messages that wait for a process which does not read them, at most.
const UNHEARD: usize = 4096;
/// Bytes of an offending line that are shown.
const EXCERPT: usize = 120;

/// It cannot be heard any more.
const CLOSED_OUTPUT: &str = "closed its output";
/// It does not hear any more.
pub(super) const CLOSED_INPUT: &str = "closed its input";

impl Shared {
    /// Reads stdout to its end.
    pub(super) fn listen(&self, from: impl Read) {
        let mut lines = Lines::new(from, self.spec.max_line);
        loop {
            match lines.next() {
                Ok(Some(Line::Whole(line))) => self.hear(line),
                Ok(Some(Line::TooLong { head, tail, length })) => {
                    self.hear_too_long(head, tail, length);
                }
                Ok(None) => break,
                Err(error) => {
                    self.log.write(Level::Warn, &format!("cannot read from the process: {error}"));
                    break;
                }
            }
        }
        self.end_soon(CLOSED_OUTPUT);
    }

    /// Reads stderr to its end.
    pub(super) fn listen_to_stderr(&self, from: impl Read) {
        let mut lines = Lines::new(from, STDERR_LINE);
        while let Ok(Some(line)) = lines.next() {
            let (bytes, cut) = match line {
                Line::Whole(line) => (line, ""),
                Line::TooLong { head, .. } => (head, "…"),
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
            // One that is gone has closed both, whichever was noticed first.
            if reason == CLOSED_OUTPUT
                && let Some(ending) = &mut state.ending
                && ending.reason.strip_prefix("it ") == Some(CLOSED_INPUT)
            {
                ending.reason = format!("it {reason}");
            }
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
        if !line.iter().all(u8::is_ascii_whitespace) {
            self.act(self.dialect.hear(line, Moment::now()), line);
        }
    }

    /// Does what follows from a line.
    pub(super) fn act(&self, heard: Vec<Heard>, line: &[u8]) {
        if !line.is_empty() {
            self.heard(heard.iter().any(|heard| matches!(heard, Heard::Pong)));
        }
        for heard in heard {
            let done = match heard {
                Heard::Ready => self.ready(),
                Heard::Card(card) => {
                    self.state.lock().described = Some(card);
                    self.change.notify_all();
                    Ok(())
                }
                Heard::Log { level, message } => {
                    self.log.write(level, &message);
                    Ok(())
                }
                Heard::Progress { id, part, may_be_late } => match self.progress(id, part) {
                    Err(_) if may_be_late => continue,
                    done => done,
                },
                Heard::Answer { id, answer } => self.answer(id, answer),
                Heard::Say(line) => self.say(line),
                Heard::Pong => Ok(()),
                Heard::Noise(what) => {
                    self.noise(what, line);
                    continue;
                }
                Heard::Breach(what) => Err(what),
                Heard::Unusable(why) => {
                    self.end(&mut self.state.lock(), why, Duration::ZERO);
                    self.change.notify_all();
                    continue;
                }
            };
            match done {
                Ok(()) => self.state.lock().breaches_in_a_row = 0,
                Err(what) => self.breach(&what, line),
            }
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

    fn say(&self, line: Said) -> Result<(), String> {
        let mut state = self.state.lock();
        if state.control.len() >= UNHEARD {
            return Err("it asks more than it listens to".to_owned());
        }
        if !state.closed && !state.asked {
            state.control.push_back(line);
        }
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    fn progress(&self, id: u64, part: serde_json::Value) -> Result<(), String> {
        let lent = self.state.lock().calls.lend(id);
        let Some(reply) = lent else { return self.late(id, false) };
        // A task that was cancelled may well go on for a moment.
        let _ = reply.progress(part.into());
        let left = self.state.lock().calls.give_back(id, reply);
        drop(left);
        Ok(())
    }

    /// Answers a task that the process has.
    pub(super) fn answer(&self, id: u64, answer: crate::Result<Outcome>) -> Result<(), String> {
        let taken = self.state.lock().calls.take(id);
        let Some(reply) = taken else { return self.late(id, true) };
        self.work.notify_one();
        // Too late when the caller cancelled; that is no breach.
        let _ = reply.answer(answer);
        Ok(())
    }

    /// Something of a task that the process does not have: all right for one that was let go of.
    fn late(&self, id: u64, answered: bool) -> Result<(), String> {
        match self.state.lock().calls.was_let_go(id, answered) {
            true => Ok(()),
            false => Err(format!("task {id} is not under way: unknown, or answered before")),
        }
    }

    fn hear_too_long(&self, head: &[u8], tail: &[u8], length: u64) {
        let most = self.spec.max_line;
        let what = format!("a line of {length} bytes, but {most} are allowed");
        if let Some(id) = self.dialect.whose(head, tail) {
            let error = too_long(&*self.dialect, &self.card.name, length, most);
            let _ = self.answer(id, Err(error));
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
        self.log.write(Level::Warn, &format!("breach of the protocol: {what}: {}", excerpt(line)));
    }

    /// Counts and logs what is not a message.
    fn noise(&self, what: &str, line: &[u8]) {
        self.state.lock().breaches += 1;
        self.log.write(Level::Warn, &format!("{what}: {}", excerpt(line)));
    }
}

fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.get(..EXCERPT * 4).unwrap_or(line));
    format!("{:?}", shortened(&text, EXCERPT))
}
