//! Every file to every agent that wants it: one thread walks, one an agent calls. Between them stand
//! bounded queues, so a slow agent slows the walk and not the memory.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use sutazai_core::kernel::Kernel;
use sutazai_core::{Code, Error};

use super::board::{Board, Lane};
use super::file::{self, Subject};
use super::findings::Findings;
use super::flaky;
use super::fleet::Member;
use super::interrupt::Interrupt;
use super::tuning::{Calls, Turnstile};
use super::walk::{Met, Walk};

/// Files that wait for one agent, at most: enough for the walk to run ahead and tell how many there
/// are, at some 200 bytes each.
const QUEUE: usize = 1 << 16;

/// An agent, how far it is, and the way to its caller.
type Queue<'a> = (&'a Member, &'a Arc<Lane>, Sender<Arc<Subject>>);

/// What every caller needs.
pub struct Drive<'a> {
    /// Who is called through.
    pub kernel: &'a Kernel,
    /// Whether to end early.
    pub interrupt: &'a Interrupt,
    /// Calls of one agent under way at once.
    pub calls: &'a Arc<Calls>,
    /// Where progress is shown.
    pub board: &'a Arc<Board>,
    /// Where answers go.
    pub findings: &'a Arc<Mutex<Findings>>,
}

impl Drive<'_> {
    /// Walks and calls until all is answered, or, after an interruption, what is under way.
    pub fn run(&self, fleet: &[Member], walk: &Walk) -> Met {
        std::thread::scope(|scope| {
            let mut queues = Vec::new();
            for (member, lane) in fleet.iter().zip(&self.board.lanes) {
                if member.unavailable.is_none() {
                    let (sender, receiver) = bounded(QUEUE);
                    queues.push((member, lane, sender));
                    scope.spawn(move || self.call_all(member, lane, &receiver));
                }
            }
            let met = walk.run(|subject| self.hand_out(subject, &queues));
            self.board.walked.store(true, Relaxed);
            met
        })
    }

    fn hand_out(&self, subject: Subject, queues: &[Queue<'_>]) -> bool {
        self.board.files.fetch_add(1, Relaxed);
        let subject = Arc::new(subject);
        for (member, lane, queue) in queues {
            if member.wants(subject.kind) {
                lane.wanted.fetch_add(1, Relaxed);
                // Nobody receives any more only when the agent's thread is gone.
                let _ = queue.send(Arc::clone(&subject));
            }
        }
        !self.interrupt.came()
    }

    fn call_all(&self, member: &Member, lane: &Arc<Lane>, queue: &Receiver<Arc<Subject>>) {
        let skill: Arc<str> = Arc::from(member.skill);
        let turnstile = Turnstile::new(self.calls);
        for subject in queue {
            // After an interruption the queue is emptied without calling, so that the walk, which
            // may wait for room in it, comes to its end.
            if self.interrupt.came() {
                lane.dropped.fetch_add(1, Relaxed);
                continue;
            }
            turnstile.enter();
            let task = file::task(&skill, &subject);
            let (lane, findings) = (Arc::clone(lane), Arc::clone(self.findings));
            let (agent, turnstile) = (member.name, Arc::clone(&turnstile));
            let (call, ticket) = self.kernel.submit(task, None);
            let kernel = self.kernel.clone();
            ticket.on_done(move |answer| {
                lane.done.fetch_add(1, Relaxed);
                if let Some(score) = answer.as_ref().ok().and_then(|it| flaky::score(agent, it)) {
                    // By that the router learns who is worth its trouble.
                    let _ = kernel.score_call(call, score);
                }
                let failure = {
                    let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
                    let taken = answer
                        .and_then(|outcome| findings.take(agent, &subject.shown, &outcome.output))
                        .map_err(|error| match error.code() {
                            Code::INVALID => bad_answer(error),
                            _ => error,
                        });
                    taken.inspect_err(|error| findings.fail(agent, &subject.shown, error)).err()
                };
                if failure.is_some() {
                    lane.failed.fetch_add(1, Relaxed);
                }
                turnstile.leave();
            });
        }
        turnstile.empty();
    }
}

fn bad_answer(error: Error) -> Error {
    Error::new(Code::AGENT_BAD_ANSWER, "the answer does not have the agreed shape").because(error)
}
