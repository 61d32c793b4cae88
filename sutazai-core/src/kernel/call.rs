//! The guarded call: authenticate → authorise → route → guard → [`Agent::handle`] → record.
//!
//! One task takes this way once, in this order. Everything before `handle` runs on the caller's
//! thread; the record is made on the answering thread, before the caller can see the answer.
//!
//! [`Agent::handle`]: crate::port::Agent::handle

use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use super::book::{Book, Held};
use super::caller::Caller;
use super::inflight::What;
use super::nobody::{all_down, down, no_agent};
use super::redact::redacted;
use super::shared::{Phase, Shared};
use super::tracing::{PartOf, Story};
use crate::agent::{AgentState, Decided, Entry, Reservation};
use crate::base::contain;
use crate::base::deadline;
use crate::base::error::Fixed;
use crate::base::id::CallId;
use crate::base::lineage::{self, Lineage};
use crate::base::priority;
use crate::base::ticket::{self, Reply, Settler, Ticket};
use crate::base::time::Moment;
use crate::port::{
    CallInfo, CallRecord, Candidate as _, Candidates, Choice, Outcome, RunMode, Session, Task,
    Trace,
};
use crate::{Code, Error, Result};

/// Times that a place is looked for again when somebody else took the one that was chosen.
const TRIES: usize = 4;

impl Shared {
    /// Takes a task all the way. The ticket answers in any case.
    pub(super) fn call(
        self: &Arc<Self>,
        task: Task,
        token: Option<&str>,
    ) -> (CallId, Ticket<Outcome>) {
        match task.given_terms().and_then(|terms| terms.idempotency_key.clone()) {
            Some(key) => self.call_once(task, key, token),
            None => self.call_now(task, token),
        }
    }

    pub(super) fn call_now(
        self: &Arc<Self>,
        mut task: Task,
        token: Option<&str>,
    ) -> (CallId, Ticket<Outcome>) {
        #[cfg(feature = "recovery")]
        if self.guards.any() {
            return self.call_guarded(task, token);
        }
        let now = self.runtime.now();
        let id = CallId(self.ids.next());
        // The steps are the host's: one that panics refuses the call.
        let admitted = super::caught(|| Ok(self.admit(&mut task, token, id, now)))
            .unwrap_or_else(|error| Err(Refusal::early(error)));
        match admitted {
            Ok(admitted) => (id, self.dispatch(task, admitted, id, now)),
            Err(refusal) => (id, self.turned_away(task, token, id, now, refusal)),
        }
    }

    /// Everything before the agent gets the task.
    fn admit(
        &self,
        task: &mut Task,
        token: Option<&str>,
        id: CallId,
        now: Moment,
    ) -> Result<Admitted, Refusal> {
        let caller = self.identify(task, token, now)?;
        match self.route(task, now) {
            Ok(reservation) => self.place(task, caller, reservation, id, now),
            Err(error) => Err(Refusal::of(error, &caller, None)),
        }
    }

    /// The guard step, and a place among the kernel's calls.
    pub(super) fn place(
        &self,
        task: &Task,
        caller: Caller,
        reservation: Reservation,
        id: CallId,
        now: Moment,
    ) -> Result<Admitted, Refusal> {
        let entry = reservation.entry();
        if let Some(lineage) = task.lineage()
            && let Err(error) = self.check_nesting(task, lineage, entry.name())
        {
            return Err(Refusal::of(error, &caller, Some(entry)));
        }
        let info = CallInfo::new(id, task.skill(), task.given_timeout(), entry.card(), now);
        // Before the guard is asked: what it has admitted it hears the end of.
        let place = self.load.enter().map_err(|error| Refusal::of(error, &caller, Some(entry)))?;
        let deadline = match self.steps.guard.admit(&info) {
            // Who calls from within a call has no more time than that one.
            Ok(admission) => admission.deadline.min(deadline::current()),
            Err(error) => return Err(Refusal::of(error, &caller, Some(entry))),
        };
        if deadline <= now {
            // Nobody would wait for the answer.
            self.steps.guard.settled(&info, Some(&ticket::cancelled()));
            let error =
                Error::new(Code::DEADLINE_EXCEEDED, "the call's time was up before it was made")
                    .operation("kernel.call")
                    .with("skill", task.skill());
            return Err(Refusal::of(error, &caller, Some(entry)));
        }
        let held = Held {
            reservation,
            _place: place,
            #[cfg(feature = "recovery")]
            bulkhead: None,
        };
        let part_of = PartOf::default();
        Ok(Admitted { caller, deadline, held, what: What::Call, part_of })
    }

    /// Calls within calls end somewhere.
    fn check_nesting(&self, task: &Task, lineage: &Lineage, agent: &str) -> Result<()> {
        let error = if lineage.has(agent, task.skill(), task.input()) {
            Error::new(Code::AGENT_LOOP, "the agent is asked for what it is just being asked for")
                .advice("the calls go round in a circle: break it, or change the input on the way")
        } else if lineage.depth() >= self.limits.depth {
            Error::new(Code::AGENT_TOO_DEEP, "calls within calls go deeper than the limits allow")
                .with("depth", self.limits.depth)
        } else {
            return Ok(());
        };
        Err(error
            .operation("kernel.call")
            .with("agent", agent)
            .with("skill", task.skill())
            .with("path", lineage.path()))
    }

    pub(super) fn route(&self, task: &Task, now: Moment) -> Result<Reservation> {
        if let Some(name) = task.wanted_agent() {
            #[cfg(feature = "recovery")]
            let stands_in = self.heal.stands_in(name);
            #[cfg(feature = "recovery")]
            let name = stands_in.as_deref().unwrap_or(name);
            for _ in 0..TRIES {
                let entry = self.agents.get(name).ok_or_else(|| no_agent(name))?;
                if !entry.card().skills.iter().any(|skill| skill == task.skill()) {
                    let error =
                        Error::new(Code::AGENT_NO_SKILL, "the agent does not have the skill");
                    let error = error.operation("kernel.call").with("agent", name);
                    return Err(error.with("skill", task.skill()));
                }
                self.fits(task, &entry, now)?;
                if let Some(reservation) = entry.reserve().or_else(|| entry.reserve_waiting()) {
                    return Ok(reservation);
                }
                match entry.state() {
                    // Another version has just taken over.
                    AgentState::Standby => {}
                    // It is started again, and as many wait for that as may.
                    AgentState::Failed if entry.holds() => break,
                    AgentState::Failed | AgentState::Unreachable => return Err(down(task, &entry)),
                    _ => break,
                }
            }
            return Err(self.busy(task));
        }
        let find = || self.agents.with_skill(task.skill()).ok_or_else(|| self.no_skill(task));
        let mut candidates = find()?;
        for _ in 0..TRIES {
            let chosen = match self.fitting(task, &candidates, now)? {
                Some(fitting) => self
                    .choose(task, &fitting, now)
                    .map(|choice| Choice { index: fitting.place(choice.index), ..choice }),
                None => self.choose(task, &*candidates, now),
            };
            // Where nothing comes of it the router hears that too.
            let number = chosen.and_then(|choice| choice.decision);
            let router = self.steps.router.as_ref();
            let decided = number.and_then(|number| Some(Decided::new(router?, number)));
            let chosen = chosen.and_then(|choice| candidates.entry(choice.index));
            if let Some(reservation) = chosen.and_then(|entry| entry.reserve()) {
                return Ok(reservation.decided(decided));
            }
            let found = find()?;
            if chosen.is_none() && Arc::ptr_eq(&found, &candidates) {
                break;
            }
            candidates = found;
        }
        // One that is being started again may be waited for.
        let mut entries = (0..candidates.len()).filter_map(|index| candidates.entry(index));
        if let Some(reservation) = entries.find_map(|entry| {
            let reservation = entry.reserve_waiting()?;
            self.fits(task, entry, now).ok().map(|()| reservation)
        }) {
            return Ok(reservation);
        }
        if let Some(error) = all_down(task, &candidates) {
            return Err(error);
        }
        #[cfg(feature = "recovery")]
        {
            let entries = (0..candidates.len()).filter_map(|index| candidates.entry(index));
            if let Some(error) = self.heal.refuses_all(entries.map(|entry| &**entry.name()), now) {
                return Err(error.with("skill", task.skill()));
            }
        }
        Err(self.busy(task))
    }

    fn choose(&self, task: &Task, among: &dyn Candidates, now: Moment) -> Option<Choice> {
        self.steps.router.as_deref()?.choose(task, among, now)
    }

    pub(super) fn dispatch(
        self: &Arc<Self>,
        task: Task,
        admitted: Admitted,
        id: CallId,
        now: Moment,
    ) -> Ticket<Outcome> {
        let Admitted { caller: Caller { session, bond, redact }, deadline, held, what, part_of } =
            admitted;
        let parent = task.parent();
        let trace = Trace {
            trace: parent.map_or_else(|| self.ids.trace(id.0), |parent| parent.trace),
            span: self.ids.span(id.0),
        };
        let entry = Arc::clone(held.reservation.entry());
        // Whose turn it is among those who wait for a thread.
        let whose = (entry.card().run == RunMode::Pool).then(|| {
            task.given_caller().map_or_else(|| Arc::from(session.principal()), Arc::clone)
        });
        let story = Story::new(part_of, entry.card().run == RunMode::Pool);
        let book = Book {
            id,
            skill: Arc::clone(task.shared_skill()),
            trace,
            parent,
            session,
            began: now,
            entry: Arc::clone(&entry),
            shared: Arc::clone(self),
            story: story.clone(),
            held: parking_lot::Mutex::new(Some(held)),
            ends: AtomicU8::new(0),
        };
        let (ticket, reply) = ticket::pair_with(Box::new(book));
        let mut task = task.called(entry.name(), id, trace, deadline);
        if let Some(bond) = bond {
            task = task.bound_to(bond);
        }
        match entry.card().run {
            RunMode::Inline => handle(&entry, task, reply),
            RunMode::Pool => {
                let settler = ticket.settler();
                let urgency = task.given_priority();
                let (tracing, runtime) = (Arc::clone(&self.tracing), Arc::clone(&self.runtime));
                let job = Box::new(move || {
                    tracing.at_work(&story, &runtime, || handle(&entry, task, reply));
                });
                let spawn = || self.runtime.spawn_blocking(job);
                let spawned =
                    priority::within(urgency, || lineage::on_behalf_of(whose.as_ref(), spawn));
                if let Err(refused) = spawned {
                    if let Some(settler) = settler {
                        settler.settle(Err(refused.error.operation("kernel.call")));
                    }
                    drop(refused.work);
                }
            }
        }
        if !ticket.is_done()
            && let Some(settler) = ticket.settler()
        {
            self.enter_call(id, deadline, settler, now, what);
        }
        match redact {
            None => ticket,
            Some(fields) => redacted(ticket, fields),
        }
    }

    /// Whether the safe state has answered what was under way.
    fn is_drained(&self) -> bool {
        #[cfg(feature = "recovery")]
        return self.heal.is_drained();
        #[cfg(not(feature = "recovery"))]
        false
    }

    /// Enters a call that has no answer yet.
    pub(super) fn enter_call(
        self: &Arc<Self>,
        id: CallId,
        deadline: Moment,
        settler: Settler<Outcome>,
        now: Moment,
        what: What,
    ) {
        self.enter(id, deadline, settler.clone(), now, what);
        // A kernel that stopped meanwhile (or took its safe state) has answered what was in the
        // table, and no timer runs.
        if self.phase() == Phase::Stopped || self.is_drained() {
            self.in_flight.leave(id);
            settler.settle(Err(ticket::cancelled()));
        }
    }

    /// A call that no agent got: recorded all the same.
    pub(super) fn refused(
        &self,
        task: &Task,
        id: CallId,
        now: Moment,
        refusal: Refusal,
        part_of: PartOf,
    ) {
        let mut record = CallRecord::new(id, task.shared_skill(), self.clock.wall(now));
        record.parent = task.parent();
        record.trace = Trace {
            trace: task.parent().map_or_else(|| self.ids.trace(id.0), |p| p.trace),
            span: self.ids.span(id.0),
        };
        record.session = refusal.session.as_ref();
        record.agent = refusal.entry.as_ref().map(|entry| entry.card());
        record.failure = Some(&refusal.error);
        let ended = self.runtime.now();
        record.took = ended.since(now);
        #[cfg(feature = "monitor")]
        self.trace(
            &Story::new(part_of, false),
            &super::tracing::Came {
                trace: record.trace,
                parent: record.parent,
                skill: record.skill,
                entry: refusal.entry.as_deref(),
                began: now,
                ended,
                failure: Some(&refusal.error),
            },
        );
        #[cfg(not(feature = "monitor"))]
        let _ = part_of;
        self.record(&record);
    }
}

/// What a call has been given by the time its agent gets it.
pub(super) struct Admitted {
    caller: Caller,
    deadline: Moment,
    held: Held,
    what: What,
    part_of: PartOf,
}

pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) session: Option<Session>,
    pub(super) entry: Option<Arc<Entry>>,
    /// It may be made once somebody approves it.
    pub(super) ask: Option<Box<super::approval::Ask>>,
}

#[cfg(feature = "recovery")]
impl Admitted {
    /// The name of the agent that is to get the call.
    pub(super) fn agent(&self) -> &Arc<str> {
        self.held.reservation.entry().name()
    }

    /// Keeps a place in a bulkhead for as long as the agent works.
    pub(super) fn holding(mut self, place: Option<crate::recovery::Place>) -> Self {
        self.held.bulkhead = place;
        self
    }

    /// As a part of a call that is tried.
    pub(super) fn tried_for(mut self, call: PartOf) -> Self {
        self.part_of = call;
        self
    }

    /// As a try of a call, which has no longer than this.
    pub(super) fn until(mut self, deadline: Moment) -> Self {
        self.what = What::Try;
        self.deadline = self.deadline.min(deadline);
        self
    }
}

impl Refusal {
    pub(super) fn early(error: Error) -> Self {
        Self { error, session: None, entry: None, ask: None }
    }

    /// Whether no agent was free: more of them would have taken the call, unless it is for one of them by name.
    pub(super) fn wants_capacity(&self, task: &Task) -> bool {
        let full = match self.error.code() {
            Code::OVERLOADED => self.entry.is_none(),
            code => is_full(code),
        };
        full && task.wanted_agent().is_none()
    }

    /// Of a call whose caller is known, and its agent, if it was chosen already.
    pub(super) fn of(error: Error, caller: &Caller, entry: Option<&Arc<Entry>>) -> Self {
        let (session, entry) = (Some(caller.session.clone()), entry.map(Arc::clone));
        Self { error, session, entry, ask: None }
    }
}

/// Whether an agent's guard has as many calls as it lets in.
fn is_full(code: Code) -> bool {
    #[cfg(feature = "recovery")]
    return code == Code::BULKHEAD_FULL;
    #[cfg(not(feature = "recovery"))]
    {
        let _ = code;
        false
    }
}

/// Hands the task over. A panic of the agent ends here: its reply, dropped while the thread
/// unwound, has answered [`Code::PANIC`].
pub(super) fn handle(entry: &Entry, task: Task, reply: Reply<Outcome>) {
    let _ = contain::catch(move || {
        task.hand_over(|task| {
            let mut work = Some((task, reply));
            entry.with_agent(|agent| {
                if let Some((task, reply)) = work.take() {
                    agent.handle(task, reply);
                }
            });
            if let Some((task, reply)) = work {
                let _ = reply.fail(
                    Error::new(
                        Code::AGENT_EXITED,
                        "the agent was removed before it got to the call",
                    )
                    .operation("kernel.call")
                    .with("agent", entry.name())
                    .with("skill", task.skill()),
                );
            }
        });
    });
}

pub(super) fn not_running(phase: Phase) -> Error {
    static NOT_STARTED: Fixed = Fixed {
        code: Code::NOT_RUNNING,
        message: "the kernel has not been started; call start first",
    };
    static DRAINING: Fixed =
        Fixed { code: Code::DRAINING, message: "the kernel takes no new calls: it is stopping" };
    static STOPPED: Fixed =
        Fixed { code: Code::NOT_RUNNING, message: "the kernel has been stopped" };
    match phase {
        Phase::Built | Phase::Starting => (&NOT_STARTED).into(),
        Phase::Running | Phase::Draining => (&DRAINING).into(),
        Phase::Stopped => (&STOPPED).into(),
    }
}
