//! Probes: an agent is asked itself whether it has the skills of its card.
//!
//! A probe is no call. It goes to the agent directly, whoever is in charge of its name; no router chooses, no
//! ledger counts, no guard learns, nobody's share is spent. But it takes one of the agent's places, has a
//! deadline, and is answered when the kernel stops.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::handle::Kernel;
use super::inflight::What;
use super::shared::{Phase, Shared};
use crate::agent::{AgentState, Entry, ProbeReport, ProbeVerdict, Reservation, SkillReport};
use crate::base::id::CallId;
use crate::base::ticket::{self, Hook, Reply, Settled, Ticket};
use crate::base::time::Moment;
use crate::port::{Agent, AgentCard, Candidate as _, Outcome, RunMode, SkillProbe, Task, Trace};
use crate::{Code, Error, Result};

/// How an agent is probed.
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::kernel::ProbeOptions;
///
/// let options = ProbeOptions::default().skill("add").within(Duration::from_secs(2));
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProbeOptions {
    version: Option<String>,
    skills: Vec<String>,
    probes: BTreeMap<String, SkillProbe>,
    within: Option<Duration>,
}

impl ProbeOptions {
    /// Asks this version of the agent, in charge or standing by. Without it: the one that is in charge.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Asks for this skill, and for others that are named so. Without it: for all that the card has.
    #[must_use]
    pub fn skill(mut self, skill: impl Into<String>) -> Self {
        self.skills.push(skill.into());
        self
    }

    /// Asks for a skill by this probe, and not by the card's.
    #[must_use]
    pub fn probe(mut self, skill: impl Into<String>, probe: SkillProbe) -> Self {
        self.probes.insert(skill.into(), probe);
        self
    }

    /// Bounds the whole of it; each probe has a bound of its own besides.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }
}

/// How often a place is looked for with an agent that has none free.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Kernel {
    /// Asks an agent itself whether it has the skills of its card, one after the other: each is asked by its
    /// [probe](crate::port::SkillCard::probe), or, without one, is there when the agent's other side says so
    /// ([`Agent::offers`]). The agent may stand by, be unreachable or quarantined. What comes of it changes
    /// nothing, and is told by the event `agent.probed`.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no such agent, version or skill; [`Code::INVALID`] for a probe that
    /// cannot be made; [`Code::NOT_RUNNING`] when the kernel or the agent does not run. An agent that lies or
    /// fails is no error.
    pub fn probe_agent(&self, name: &str, options: ProbeOptions) -> Ticket<ProbeReport> {
        let shared = &self.shared;
        let found = match &options.version {
            None => shared.agents.get(name).ok_or_else(|| shared.no_agent_named(name)),
            Some(version) => shared.agents.version(name, version).ok_or_else(|| {
                Error::new(Code::NOT_FOUND, "there is no such version of the agent")
                    .with("agent", name)
                    .with("version", version)
            }),
        };
        let ticket = found.and_then(|entry| shared.probe(&entry, options));
        ticket.unwrap_or_else(|error| ticket::ready(Err(error.operation("agent.probe"))))
    }
}

impl Shared {
    /// Probes an agent that has been started, registered or not.
    pub(super) fn probe(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        mut options: ProbeOptions,
    ) -> Result<Ticket<ProbeReport>> {
        let card = entry.card();
        if self.phase() != Phase::Running || !answers(entry.state()) {
            return Err(Error::new(Code::NOT_RUNNING, "only an agent that runs can be probed")
                .with("agent", &card.name)
                .with("state", entry.state().name()));
        }
        #[cfg(feature = "recovery")]
        self.heal.admits()?;
        let about =
            |error: Error, skill: &str| error.with("agent", &card.name).with("skill", skill);
        for (skill, probe) in &options.probes {
            crate::agent::check_probe(probe).map_err(|error| about(error, skill))?;
        }
        let asked = options.skills.iter().chain(options.probes.keys());
        if let Some(skill) = asked.into_iter().find(|skill| !card.skills.contains(skill)) {
            let error = Error::new(Code::NOT_FOUND, "the agent does not have the skill");
            return Err(about(error, skill));
        }
        let wanted = |skill: &&String| options.skills.is_empty() || options.skills.contains(skill);
        let wanted: Vec<&String> = card.skills.iter().filter(wanted).collect();
        let left = (wanted.into_iter().cloned())
            .map(|skill| {
                let own = || card.about.get(&skill).and_then(|about| about.probe.clone());
                let probe = options.probes.remove(&skill).or_else(own);
                (skill, probe)
            })
            .collect();
        let now = self.runtime.now();
        let (ticket, reply) = ticket::pair_with(Box::new(Waits(Arc::clone(self))));
        let probing = Probing {
            shared: Arc::clone(self),
            entry: Arc::clone(entry),
            left,
            done: Vec::new(),
            offers: None,
            began: now,
            deadline: options.within.map_or(Moment::FAR, |within| now + within),
            reply,
        };
        probing.go();
        Ok(ticket)
    }
}

/// Whether an agent in this state can be asked.
fn answers(state: AgentState) -> bool {
    !matches!(state, AgentState::Registered | AgentState::Failed | AgentState::Stopped)
}

/// A probe of an agent, under way.
struct Probing {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    left: VecDeque<(String, Option<SkillProbe>)>,
    done: Vec<SkillReport>,
    /// What the other side offers, once that was asked.
    offers: Option<Option<AgentCard>>,
    began: Moment,
    deadline: Moment,
    reply: Reply<ProbeReport>,
}

/// What is asked for one skill.
struct Question {
    skill: String,
    probe: SkillProbe,
    asked: Moment,
    until: Moment,
}

impl Probing {
    /// Goes on until it has to wait for something, or is done.
    fn go(mut self) {
        while !self.reply.cancelled() {
            let Some((skill, probe)) = self.left.pop_front() else { return self.finish() };
            let Some(probe) = probe else {
                let report = SkillReport::of_sign(&skill, self.offers());
                self.done.push(report);
                continue;
            };
            let asked = self.shared.runtime.now();
            let until = (asked + probe.within()).min(self.deadline);
            match self.ask(Question { skill, probe, asked, until }) {
                Some(rest) => self = rest,
                None => return,
            }
        }
    }

    /// Asks, and gives itself back when the answer is there; else whoever answers goes on with it.
    fn ask(mut self, question: Question) -> Option<Self> {
        let shared = Arc::clone(&self.shared);
        let now = shared.runtime.now();
        let Some(place) = self.entry.occupy() else {
            let at = now + LOOK_AGAIN;
            if at >= question.until {
                let why = "none of its places was free in time";
                let late = SkillReport::new(&question.skill, ProbeVerdict::Late).because(why);
                self.done.push(late);
                return Some(self);
            }
            let again = move || {
                if let Some(rest) = self.ask(question) {
                    rest.go();
                }
            };
            shared.runtime.spawn_at(at, Box::new(again));
            return None;
        };
        let mut ticket = shared.put(&self.entry, place, &question, now);
        if let Some(answer) = ticket.try_take() {
            self.heard(&question, answer);
            return Some(self);
        }
        if let Some(settler) = ticket.settler() {
            self.reply.on_cancel(move || {
                settler.cancel();
            });
        }
        ticket.on_done(move |answer| {
            self.heard(&question, answer);
            self.go();
        });
        None
    }

    fn heard(&mut self, question: &Question, answer: Result<Outcome>) {
        let took = self.shared.runtime.now().since(question.asked);
        let about = self.entry.card().about.get(&question.skill);
        let declared = about.and_then(|about| about.output.as_ref());
        let within = question.until.since(question.asked);
        let report =
            SkillReport::of_answer(&question.skill, &question.probe, within, declared, answer);
        self.done.push(SkillReport { took_ms: Some(millis(took)), ..report });
    }

    fn offers(&mut self) -> Option<&AgentCard> {
        let entry = &self.entry;
        let ask = || super::caught(|| Ok(entry.with_agent(Agent::offers).flatten()));
        self.offers.get_or_insert_with(|| ask().unwrap_or_default()).as_ref()
    }

    fn finish(self) {
        let card = self.entry.card();
        let skills = self.done;
        let worst = skills.iter().map(|skill| skill.verdict).max();
        let report = ProbeReport {
            agent: Arc::clone(&card.name),
            version: card.version.clone(),
            verdict: worst.unwrap_or(ProbeVerdict::Unproved),
            skills,
            took_ms: millis(self.shared.runtime.now().since(self.began)),
        };
        let against = report.worst();
        let event = serde_json::json!({
            "agent": &*report.agent,
            "version": report.version,
            "verdict": report.verdict,
            "skill": against.map(|skill| &skill.skill),
            "why": against.and_then(|skill| skill.why.as_deref()),
        });
        self.shared.publish("agent.probed", event);
        let _ = self.reply.send(report);
    }
}

impl Shared {
    /// Gives the agent the task of a probe.
    fn put(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        place: Reservation,
        question: &Question,
        now: Moment,
    ) -> Ticket<Outcome> {
        let id = CallId(self.ids.next());
        let trace = Trace { trace: self.ids.trace(id.0), span: self.ids.span(id.0) };
        let book = Asked {
            id,
            place: parking_lot::Mutex::new(Some(place)),
            entry: Arc::clone(entry),
            shared: Arc::clone(self),
        };
        let (ticket, reply) = ticket::pair_with(Box::new(book));
        let task = Task::new(question.skill.as_str(), question.probe.input.clone())
            .on_its_own()
            .called(entry.name(), id, trace, question.until);
        match entry.card().run {
            RunMode::Inline => super::call::handle(entry, task, reply),
            RunMode::Pool => {
                let settler = ticket.settler();
                let entry = Arc::clone(entry);
                let job = Box::new(move || super::call::handle(&entry, task, reply));
                if let Err(refused) = self.runtime.spawn_blocking(job) {
                    if let Some(settler) = settler {
                        settler.settle(Err(refused.error));
                    }
                    drop(refused.work);
                }
            }
        }
        if !ticket.is_done()
            && let Some(settler) = ticket.settler()
        {
            self.enter_call(id, question.until, settler, now, What::Call);
        }
        ticket
    }
}

/// The books of the task of a probe: it has a deadline and a place, and nothing is written down.
struct Asked {
    id: CallId,
    place: parking_lot::Mutex<Option<Reservation>>,
    entry: Arc<Entry>,
    shared: Arc<Shared>,
}

impl Hook<Outcome> for Asked {
    fn settled(&self, _: &Result<Outcome>, _: Settled) {
        self.shared.in_flight.leave(self.id);
    }

    fn finished(&self) {
        drop(self.place.lock().take());
        #[cfg(feature = "recovery")]
        self.shared.offer(&self.entry);
        #[cfg(not(feature = "recovery"))]
        let _ = &self.entry;
    }

    fn may_block(&self) -> bool {
        self.shared.runtime.may_block()
    }
}

/// Whether a report may be waited for here.
struct Waits(Arc<Shared>);

impl Hook<ProbeReport> for Waits {
    fn settled(&self, _: &Result<ProbeReport>, _: Settled) {}
    fn finished(&self) {}
    fn may_block(&self) -> bool {
        self.0.runtime.may_block()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
