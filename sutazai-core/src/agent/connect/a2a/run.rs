//! One task, from its message to its end.

use std::time::Duration;

use serde_json::json;

use super::model::Event;
use super::story::Story;
use super::wire::{Answered, Events, OnTask, Told, Wire};
use crate::agent::connect::http::HttpCall;
use crate::base::payload::Payload;
use crate::base::ticket::Reply;
use crate::observe::{Level, Log};
use crate::port::Outcome;
use crate::port::failure as key;
use crate::{Code, Error, Result};

/// How long a stream may go on after the task's end: what it says then may contradict it.
const DRAIN: Duration = Duration::from_millis(100);
/// How long the cancellation of a task that nobody wants may take.
const CALL_OFF: Duration = Duration::from_secs(2);
/// Between two looks at a task: the shortest, and the longest.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// Subscriptions to one task, at most; then it is looked at from time to time.
const SUBSCRIPTIONS: u32 = 16;
/// Looks at a task that may fail in a row.
const FAILURES: u32 = 5;

pub(super) struct Run<'a> {
    pub(super) wire: Wire<'a>,
    pub(super) call: HttpCall,
    pub(super) reply: &'a Reply<Outcome>,
    pub(super) agent: &'a str,
    pub(super) log: Option<&'a Log>,
    /// Whether the agent streams.
    pub(super) streaming: bool,
    story: Story,
    /// Something of what the agent said may have been missed.
    gap: bool,
    subscriptions: u32,
    failures: u32,
    pause: Duration,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        wire: Wire<'a>,
        call: HttpCall,
        reply: &'a Reply<Outcome>,
        (agent, log): (&'a str, Option<&'a Log>),
        streaming: bool,
    ) -> Self {
        Self {
            wire,
            call,
            reply,
            agent,
            log,
            streaming,
            story: Story::default(),
            gap: false,
            subscriptions: 0,
            failures: 0,
            pause: SHORTEST,
        }
    }

    /// Tells the agent, and waits for what comes of it; `whole` is for an answer in parts.
    pub(super) fn go(mut self, told: &Told, whole: bool) -> Result<Payload> {
        match self.tell(told) {
            Ok(()) => self.story.outcome(whole),
            Err(error) => {
                self.call_off();
                Err(error)
            }
        }
    }

    fn tell(&mut self, told: &Told) -> Result<()> {
        let answered = match self.wire.send(told, self.streaming, &self.call) {
            // The card promised too much.
            Err(error) if self.streaming && is_unsupported(&error) => {
                self.streaming = false;
                self.wire.send(told, false, &self.call)?
            }
            answered => answered?,
        };
        self.hear(answered)?;
        while !self.story.is_resting() {
            self.follow()?;
        }
        if self.gap && self.story.task.is_some() {
            self.look()?;
        }
        Ok(())
    }

    fn hear(&mut self, answered: Answered) -> Result<()> {
        if answered.is_stream() {
            return self.listen(answered.events());
        }
        let event = answered.event()?;
        self.apply(event)
    }

    fn apply(&mut self, event: Event) -> Result<()> {
        if let Some(report) = self.story.apply(event)? {
            // Whoever does not listen any more says so by cancelling.
            let _ = self.reply.progress(report);
        }
        Ok(())
    }

    /// Takes the events of a stream, to its end or the task's.
    fn listen(&mut self, mut events: Events) -> Result<()> {
        loop {
            let resting = self.story.is_resting();
            match events.next() {
                Some(Ok(event)) => {
                    self.apply(event)?;
                    if !resting && self.story.is_resting() {
                        events.hurry(DRAIN);
                    }
                }
                // It did not close in time, or broke after all was said.
                Some(Err(error)) if resting && error.code() != Code::AGENT_PROTOCOL => {
                    return Ok(());
                }
                None if resting => return Ok(()),
                Some(Err(error)) if error.code() == Code::IO && self.story.task.is_some() => {
                    self.report_gap(error.message());
                    return Ok(());
                }
                None if self.story.task.is_some() => {
                    self.report_gap("the stream ended before the task did");
                    return Ok(());
                }
                Some(Err(error)) => return Err(error),
                None => {
                    return Err(Error::new(Code::IO, "the stream ended before anything was said")
                        .operation("agent.a2a")
                        .with("url", &self.wire.interface.url));
                }
            }
        }
    }

    /// Says that something may have been missed; nothing of it is hidden.
    fn report_gap(&mut self, reason: &str) {
        self.gap = true;
        let task = self.story.task.as_deref().unwrap_or_default();
        let _ = self.reply.progress(json!({"gap": true, "task": task, "reason": reason}).into());
        self.note(
            Level::Warn,
            "the stream of a task broke off; what it said meanwhile was missed",
            reason,
        );
    }

    /// Looks how the task stands, and follows it on.
    fn follow(&mut self) -> Result<()> {
        self.look()?;
        if self.story.is_resting() {
            return Ok(());
        }
        if self.streaming && self.subscriptions < SUBSCRIPTIONS {
            self.subscriptions += 1;
            let task = self.story.task.clone().unwrap_or_default();
            match self.wire.on_task(OnTask::Subscribe, &task, &self.call) {
                Ok(answered) if answered.is_stream() => self.listen(answered.events())?,
                // It has ended just now, or does not do this: the next look tells.
                Ok(_) => self.streaming = false,
                Err(error) if self.is_over(&error) => return Err(error),
                Err(error) if error.code() == Code::IO => {}
                Err(error) => {
                    self.streaming = false;
                    self.note(Level::Debug, "a task cannot be subscribed to", error.message());
                }
            }
            if self.story.is_resting() {
                return Ok(());
            }
        }
        if !self.call.pause(self.pause) {
            return Err(self.ended());
        }
        self.pause = (self.pause * 3 / 2).min(LONGEST);
        Ok(())
    }

    /// Asks for the task as it stands.
    fn look(&mut self) -> Result<()> {
        let Some(task) = self.story.task.clone() else {
            return Err(super::story::wrong("the answer is neither a message nor a task"));
        };
        loop {
            let looked = self.wire.on_task(OnTask::Get, &task, &self.call).and_then(Answered::task);
            match looked {
                Ok(task) => {
                    self.failures = 0;
                    return self.see(task);
                }
                Err(error) if self.is_over(&error) => return Err(error),
                Err(error)
                    if error.class() == crate::Class::Transient && self.failures < FAILURES =>
                {
                    self.failures += 1;
                    self.note(Level::Debug, "a task could not be looked at", error.message());
                    if !self.call.pause(SHORTEST * (1 << self.failures)) {
                        return Err(self.ended());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn see(&mut self, task: super::model::Task) -> Result<()> {
        let report = self.story.news(&task.status);
        self.story.snapshot(task)?;
        if let Some(report) = report {
            let _ = self.reply.progress(report);
        }
        Ok(())
    }

    /// Whether nobody waits any more.
    fn is_over(&self, error: &Error) -> bool {
        error.code() == Code::CANCELLED || self.call.cancelled() || self.call.left().is_zero()
    }

    fn ended(&self) -> Error {
        if self.call.cancelled() {
            return crate::base::ticket::cancelled();
        }
        Error::new(Code::DEADLINE_EXCEEDED, "the agent's task did not end before the deadline")
            .operation("agent.a2a")
            .with("task", self.story.task.as_deref().unwrap_or_default())
    }

    /// Tells the agent that nobody wants the answer any more.
    fn call_off(&self) {
        if !self.story.is_running() {
            return;
        }
        let Some(task) = &self.story.task else { return };
        let call = HttpCall::within(CALL_OFF);
        if let Err(error) = self.wire.on_task(OnTask::Cancel, task, &call).and_then(Answered::task)
        {
            self.note(Level::Debug, "a task could not be cancelled", error.message());
        }
    }

    fn note(&self, level: Level, what: &'static str, reason: &str) {
        let Some(log) = self.log else { return };
        let task = self.story.task.as_deref().unwrap_or_default();
        let fields = [("agent", self.agent), ("task", task), ("reason", reason)];
        log.record(level, "sutazai.agent", what, fields);
    }
}

/// Whether the agent does not do this at all.
fn is_unsupported(error: &Error) -> bool {
    let code = error.context().find(|(name, _)| *name == key::RPC_CODE);
    matches!(code, Some((_, "-32601" | "-32004")))
}
