//! An agent that has one life after the other: what is registered once, whoever does its tasks at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

#[cfg(test)]
use crate::Class;
use crate::base::contain;
use crate::base::runtime::Runtime;
use crate::base::ticket::{self, Reply, Settler};
use crate::base::time::Moment;
use crate::port::{Agent, AgentCard, Beat, LivenessPolicy, Outcome, Task};
use crate::{Code, Error, Result};

/// Hears that the present life was found dead by its silence.
pub type OnSilence = Box<dyn Fn(&Error) + Send + Sync>;

/// An agent with a card, whose lives somebody else begins and ends. Tasks that come between two lives wait for
/// the next one, so many at most; those that a life had are answered when it ends.
///
/// **Invariants.** Every task gets one answer. No lock is held while an agent is called, or a reply answered
/// or dropped.
pub struct Lives(Arc<Inner>);

struct Inner {
    card: AgentCard,
    /// Tasks that may wait for the next life.
    queue: usize,
    runtime: Arc<dyn Runtime>,
    on_silence: OnSilence,
    /// The number of the next task that waits.
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    present: Option<Arc<dyn Agent>>,
    /// How many lives there have been.
    lives: u64,
    /// The number of the life whose turn it is; a life that is over has none.
    turn: u64,
    /// Why there will be no further one.
    over: Option<Error>,
    /// It has been stopped for good.
    stopped: bool,
    /// By the order in which they came.
    waiting: BTreeMap<u64, (Task, Reply<Outcome>)>,
    /// Tasks that the present life has, and some that it has answered.
    had: Vec<Settler<Outcome>>,
    /// Beyond so many those that have been answered are let go of.
    tidy: usize,
}

/// Tasks that are remembered before it is looked which of them have been answered.
const LEAST: usize = 64;

impl Lives {
    /// An agent that has not begun to live.
    pub fn new(
        card: AgentCard,
        queue: usize,
        runtime: Arc<dyn Runtime>,
        on_silence: OnSilence,
    ) -> Self {
        let state = Mutex::new(State { tidy: LEAST, ..State::default() });
        let next = AtomicU64::new(0);
        Self(Arc::new(Inner { card, queue, runtime, on_silence, next, state }))
    }

    /// Whether this is the same agent.
    #[must_use]
    pub fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// It is the next life's turn, which has this number. One before it that has not begun does not any more.
    pub fn next(&self) -> u64 {
        let mut state = self.0.state.lock();
        state.turn += 1;
        state.turn
    }

    /// Whether it is this life's turn: it is to begin, or has begun.
    pub fn is_turn(&self, life: u64) -> bool {
        self.0.state.lock().turn == life
    }

    /// A life begins: it has started, and gets what waits and what comes.
    ///
    /// # Errors
    /// The agent, when this one has been stopped for good, or it is not this life's turn any more.
    pub fn begin(&self, life: u64, agent: Arc<dyn Agent>) -> Result<(), Arc<dyn Agent>> {
        let waiting = {
            let mut state = self.0.state.lock();
            if state.stopped || state.turn != life {
                drop(state);
                return Err(agent);
            }
            state.present = Some(agent);
            state.lives += 1;
            state.over = None;
            std::mem::take(&mut state.waiting)
        };
        for (task, reply) in waiting.into_values() {
            let inner = Arc::clone(&self.0);
            let settler = reply.settler();
            // Each may take its time, as it would have where it came from.
            let job = Box::new(move || inner.hand_over(task, reply));
            if let Err(refused) = self.0.runtime.spawn_blocking(job) {
                if let Some(settler) = settler {
                    settler.settle(Err(refused.error.operation("kernel.call")));
                }
                drop(refused.work);
            }
        }
        Ok(())
    }

    /// A life is over, whether it has begun or not. One that has is handed out, and what it had is answered with
    /// `why`.
    pub fn end(&self, life: u64, why: &Error) -> Option<Arc<dyn Agent>> {
        let (present, had) = {
            let mut state = self.0.state.lock();
            if state.turn != life {
                return None;
            }
            state.turn += 1;
            let present = state.present.take()?;
            state.tidy = LEAST;
            (present, std::mem::take(&mut state.had))
        };
        for settler in had {
            if !settler.is_settled() {
                settler.settle(Err(self.0.during_call(why)));
            }
        }
        Some(present)
    }

    /// There will be no further life, for this reason, unless one begins all the same.
    pub fn over(&self, why: &Error) {
        let waiting = {
            let mut state = self.0.state.lock();
            state.over = Some(why.clone());
            std::mem::take(&mut state.waiting)
        };
        for (_, reply) in waiting.into_values() {
            let _ = reply.fail(why.clone());
        }
    }
}

impl Inner {
    /// Gives a task to the present life, or has it wait for the next.
    fn hand_over(self: &Arc<Self>, task: Task, reply: Reply<Outcome>) {
        match self.present(&reply) {
            Some(agent) => give(&*agent, task, reply),
            None => self.wait(task, reply),
        }
    }

    /// The present life, which has a task now.
    fn present(&self, reply: &Reply<Outcome>) -> Option<Arc<dyn Agent>> {
        let (agent, answered) = {
            let mut state = self.state.lock();
            let agent = state.present.clone()?;
            (agent, state.remember(reply.settler()))
        };
        drop(answered);
        Some(agent)
    }

    fn wait(self: &Arc<Self>, task: Task, reply: Reply<Outcome>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let weak = Arc::downgrade(self);
        reply.on_cancel(move || {
            let left = weak.upgrade().and_then(|it| it.state.lock().waiting.remove(&number));
            drop(left);
        });
        let refused = {
            let mut state = self.state.lock();
            if state.present.is_some() {
                None
            } else if let Some(why) = self.refusal(&state) {
                Some(why)
            } else if reply.cancelled() {
                // Before it stood in the table, where the callback above finds it.
                Some(ticket::cancelled())
            } else {
                state.waiting.insert(number, (task, reply));
                return;
            }
        };
        match refused {
            Some(why) => drop(reply.fail(why)),
            // A life has begun meanwhile, or has ended again.
            None => self.hand_over(task, reply),
        }
    }

    fn refusal(&self, state: &State) -> Option<Error> {
        if let Some(why) = &state.over {
            return Some(why.clone());
        }
        if state.stopped {
            return Some(Error::new(Code::NOT_RUNNING, "the agent has been stopped"));
        }
        (state.waiting.len() >= self.queue).then(|| {
            Error::new(Code::OVERLOADED, "too many tasks wait until the agent lives again")
                .operation("kernel.call")
                .with("agent", &self.card.name)
                .with("waiting", state.waiting.len())
        })
    }

    fn during_call(&self, why: &Error) -> Error {
        Error::new(Code::AGENT_EXITED, "the agent ended during the call")
            .operation("kernel.call")
            .with("agent", &self.card.name)
            .with("why", why)
    }
}

/// Does a task as it would have been done where it came from; a panic ends here, and lets go of the reply.
fn give(agent: &dyn Agent, task: Task, reply: Reply<Outcome>) {
    let _ = contain::catch(move || task.hand_over(|task| agent.handle(task, reply)));
}

impl State {
    /// Remembers a task that the present life has; hands out those that need not be any more.
    #[must_use]
    fn remember(&mut self, settler: Option<Settler<Outcome>>) -> Vec<Settler<Outcome>> {
        let mut answered = Vec::new();
        if self.had.len() >= self.tidy {
            let all = std::mem::take(&mut self.had);
            (answered, self.had) = all.into_iter().partition(Settler::is_settled);
            self.tidy = (self.had.len() * 2).max(LEAST);
        }
        self.had.extend(settler);
        answered
    }
}

impl Agent for Lives {
    fn card(&self) -> AgentCard {
        self.0.card.clone()
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        match self.0.present(&reply) {
            // It is contained where it came from.
            Some(agent) => agent.handle(task, reply),
            None => self.0.wait(task, reply),
        }
    }

    fn stop(&self, deadline: Moment) {
        let agent = {
            let mut state = self.0.state.lock();
            state.stopped = true;
            state.present.take()
        };
        let why = Error::new(Code::NOT_RUNNING, "the agent has been stopped");
        if let Some(agent) = agent {
            agent.stop(deadline);
        }
        self.over(&why);
    }

    fn restarts(&self) -> u64 {
        let (lives, present) = {
            let state = self.0.state.lock();
            (state.lives, state.present.clone())
        };
        lives.saturating_sub(1) + present.map_or(0, |agent| agent.restarts())
    }

    fn process(&self) -> Option<u32> {
        let present = self.0.state.lock().present.clone();
        present.and_then(|agent| agent.process())
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        let present = self.0.state.lock().present.clone();
        present.and_then(|agent| agent.liveness())
    }

    fn beat(&self, reply: Reply<Beat>) {
        let present = self.0.state.lock().present.clone();
        match present {
            Some(agent) => agent.beat(reply),
            // Between two lives there is nobody to ask; whoever begins the next one is at it.
            None => drop(reply.send(Beat::Heard)),
        }
    }

    /// Whoever begins its lives hears of it.
    fn revive(&self, why: &Error) -> bool {
        (self.0.on_silence)(why);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::payload::Payload;
    use crate::base::runtime::Manual;

    /// Answers its name, or keeps what asks it to hang.
    struct Life(&'static str, Mutex<Vec<Reply<Outcome>>>);

    impl Agent for Life {
        fn card(&self) -> AgentCard {
            AgentCard::new("a", ["s"])
        }
        fn handle(&self, task: Task, reply: Reply<Outcome>) {
            if task.input().to::<String>().is_ok_and(|text| text == "hang") {
                self.1.lock().push(reply);
            } else {
                let _ = reply.send(self.0.into());
            }
        }
    }

    fn life(name: &'static str) -> Arc<dyn Agent> {
        Arc::new(Life(name, Mutex::default()))
    }

    fn lives(queue: usize) -> (Lives, Manual) {
        let time = Manual::new();
        let runtime = Arc::new(time.clone());
        let card = AgentCard::new("a", ["s"]);
        (Lives::new(card, queue, runtime, Box::new(|_| ())), time)
    }

    fn ask(lives: &Lives, input: &str) -> ticket::Ticket<Outcome> {
        let (ticket, reply) = ticket::pair();
        lives.handle(Task::new("s", Payload::from(input)), reply);
        ticket
    }

    fn said(ticket: &mut ticket::Ticket<Outcome>) -> Result<String> {
        ticket.try_take().unwrap().and_then(|outcome| outcome.output.to())
    }

    fn dead() -> Error {
        Error::new(Code::AGENT_EXITED, "exit status 1")
    }

    #[test]
    fn tasks_wait_from_one_life_to_the_next() {
        let (lives, time) = lives(2);
        let mut first = ask(&lives, "x");
        let (gone, mut second) = (ask(&lives, "x"), ask(&lives, "x"));
        assert_eq!(said(&mut second).unwrap_err().code(), Code::OVERLOADED);
        drop(gone);
        let mut third = ask(&lives, "x");
        assert!(lives.begin(lives.next(), life("one")).is_ok());
        time.run();
        assert_eq!(
            (said(&mut first).unwrap(), said(&mut third).unwrap()),
            ("one".into(), "one".into())
        );
        assert_eq!(lives.restarts(), 0);

        let mut had = ask(&lives, "hang");
        let first = lives.0.state.lock().turn;
        assert!(lives.end(first, &dead()).is_some() && lives.end(first, &dead()).is_none());
        let error = said(&mut had).unwrap_err();
        assert_eq!(error.code(), Code::AGENT_EXITED);
        let mut waits = ask(&lives, "x");
        assert!(!waits.is_done());
        assert!(lives.begin(lives.next(), life("two")).is_ok());
        time.run();
        assert_eq!(said(&mut waits).unwrap(), "two");
        assert_eq!(lives.restarts(), 1);
    }

    #[test]
    fn one_whose_turn_is_over_does_not_begin_and_ends_no_other() {
        let (lives, _) = lives(8);
        let (late, next) = (lives.next(), lives.next());
        assert!(lives.begin(next, life("next")).is_ok());
        assert!(lives.begin(late, life("late")).is_err() && lives.end(late, &dead()).is_none());
        assert_eq!(said(&mut ask(&lives, "x")).unwrap(), "next");
        assert!(lives.end(next, &dead()).is_some() && !lives.is_turn(next));
        assert!(lives.begin(next, life("again")).is_err());
    }

    #[test]
    fn when_it_is_over_everybody_is_told() {
        let (lives, time) = lives(8);
        assert!(lives.begin(lives.next(), life("one")).is_ok());
        lives.end(1, &dead());
        let mut waits = ask(&lives, "x");
        let over = Error::new(Code::AGENT_EXITED, "too often").classed(Class::Persistent);
        lives.over(&over);
        for ticket in [&mut waits, &mut ask(&lives, "x")] {
            assert_eq!(said(ticket).unwrap_err().class(), Class::Persistent);
        }
        // Somebody may begin another life all the same.
        assert!(lives.begin(lives.next(), life("two")).is_ok());
        assert_eq!(said(&mut ask(&lives, "x")).unwrap(), "two");
        lives.stop(Moment::ZERO);
        assert!(lives.begin(lives.next(), life("three")).is_err(), "what was stopped stays so");
        assert_eq!(said(&mut ask(&lives, "x")).unwrap_err().code(), Code::NOT_RUNNING);
        time.run();
    }

    #[test]
    fn what_was_answered_is_not_remembered_for_ever() {
        let (lives, _) = lives(8);
        assert!(lives.begin(lives.next(), life("one")).is_ok());
        let held: Vec<_> = (0..100).map(|_| ask(&lives, "hang")).collect();
        for _ in 0..10_000 {
            said(&mut ask(&lives, "x")).unwrap();
        }
        assert!(lives.0.state.lock().had.len() <= 200 + LEAST);
        lives.end(1, &dead());
        assert!(held.iter().all(ticket::Ticket::is_done));
    }
}
