//! Making an agent, one template after the other, until one answers rightly.
//!
//! Making and starting may block and run on the pool; asking does not. Whoever waits can give up at any moment, and
//! so does the deadline: what is being made then is stopped, and what was made too late as well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::api::{Created, FailedTemplate, not_made};
use crate::agent::create::{
    Kept, Named, Origin, Reason, ReasonCode, Surroundings, TemplateChoice, TemplateVerdict, Want,
};
use crate::agent::{AgentState, Entry, ProbeReport, Registry, Why};
use crate::base::id::TimerId;
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::kernel::ProbeOptions;
use crate::kernel::shared::Shared;
use crate::{Code, Error, Result};

/// How long an agent that did not pass may take to stop.
const GRACE: Duration = Duration::from_secs(2);

/// An agent that is being made.
pub(super) struct Creating {
    shared: Arc<Shared>,
    want: Want,
    /// Templates that have not been tried, the best first.
    left: VecDeque<Arc<Kept>>,
    choice: TemplateChoice,
    failed: Arc<Mutex<Vec<FailedTemplate>>>,
    began: Moment,
    deadline: Moment,
    timer: Option<TimerId>,
    pool: Option<Arc<str>>,
    reply: Reply<Created>,
}

/// An agent that was started and has not been asked yet.
struct Started {
    kept: Arc<Kept>,
    entry: Arc<Entry>,
    /// Its name is nobody else's until it is registered.
    _named: Named,
}

/// How far it came, and why no further.
type Failure = (&'static str, Error);

impl Creating {
    pub(super) fn new(
        shared: &Arc<Shared>,
        want: Want,
        within: Duration,
        pool: Option<Arc<str>>,
        reply: Reply<Created>,
    ) -> Self {
        let began = shared.runtime.now();
        let choice = TemplateChoice { template: None, why: String::new(), considered: Vec::new() };
        Self {
            shared: Arc::clone(shared),
            want,
            left: VecDeque::new(),
            choice,
            failed: Arc::default(),
            began,
            deadline: began + within,
            timer: None,
            pool,
            reply,
        }
    }

    /// Chooses among all templates, and makes an agent.
    pub(super) fn begin(mut self, tries: usize, surroundings: Option<Surroundings>) {
        self.watch();
        self.aside(move |mut creating| {
            let shared = Arc::clone(&creating.shared);
            creating.choice = shared.choose_template(&creating.want, surroundings);
            let possible =
                |it: &&crate::agent::create::Considered| it.verdict != TemplateVerdict::Refused;
            let names = creating.choice.considered.iter().filter(possible).take(tries);
            // One that was removed meanwhile has no turn.
            let found = names.filter_map(|it| shared.creation.templates.get(&it.template).ok());
            creating.left = found.collect();
            creating.next();
        });
    }

    /// Makes an agent of this template, whatever others there are.
    pub(super) fn begin_with(mut self, kept: Arc<Kept>) {
        self.watch();
        self.left.push_back(kept);
        self.aside(Self::next);
    }

    /// The deadline answers in its stead.
    fn watch(&mut self) {
        let Some(settler) = self.reply.settler() else { return };
        let failed = Arc::clone(&self.failed);
        let (skill, within) = (self.want.skill.clone(), self.deadline.since(self.began));
        let late = move || {
            let late = Error::new(Code::DEADLINE_EXCEEDED, "no agent was made in time")
                .operation("agent.create")
                .with("skill", skill)
                .with("within_ms", within.as_millis());
            let failed = failed.lock().clone();
            let tried = failed
                .into_iter()
                .map(|it| it.error.with("template", it.template).with("stage", it.stage));
            let all = std::iter::once(late.clone()).chain(tried).collect();
            settler.settle(Err(Error::join(all).unwrap_or(late)));
        };
        self.timer = Some(self.shared.runtime.spawn_at(self.deadline, Box::new(late)));
    }

    /// Goes on where it may block.
    fn aside(self, f: impl FnOnce(Self) + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        shared.aside(Box::new(move || f(self)));
    }

    /// Tries the templates that are left, until one has made an agent that can be asked.
    fn next(mut self) {
        while !self.reply.cancelled() {
            let Some(kept) = self.left.pop_front() else { return self.give_up() };
            match self.start(&kept) {
                Ok(started) => return self.ask(started),
                Err(failure) => self.note(&kept, failure),
            }
        }
        self.done();
    }

    /// Makes an agent and starts it.
    fn start(&mut self, kept: &Arc<Kept>) -> Result<Started, Failure> {
        let shared = Arc::clone(&self.shared);
        let template = kept.template();
        let making = |error: Error| ("make", error);
        shared.makes_agents().map_err(making)?;
        let values = kept.values(&self.want.parameters).map_err(making)?;
        let templates = &shared.creation.templates;
        let taken = |name: &str| shared.agents.get(name).is_some();
        let wanted = self.want.name.as_deref();
        let named = templates
            .name(&template.agent_name, &template.name, &values, wanted, taken)
            .map_err(making)?;
        let make = templates.maker(kept, &named.name, values);
        let agent = crate::kernel::caught(|| make()).map_err(making)?;
        let entry = Registry::entry(agent).map_err(making)?;
        let pool = self.pool.clone();
        entry.made_from(Origin { kept: Arc::clone(kept), make, pool });
        shared.creation.make_known(&entry);
        // Whoever gives up while it starts has it stopped, which ends the start.
        let stop = (Arc::downgrade(&shared), Arc::downgrade(&entry));
        self.reply.on_cancel(move || {
            if let (Some(shared), Some(entry)) = (stop.0.upgrade(), stop.1.upgrade()) {
                let stopping = Arc::clone(&shared);
                shared.aside(Box::new(move || stopping.unmake(&entry, "nobody waits for it")));
            }
        });
        match shared.bring_up(&entry) {
            Ok(_) => Ok(Started { kept: Arc::clone(kept), entry, _named: named }),
            Err(error) => {
                shared.unmake(&entry, error.message().to_owned());
                Err(("start", error))
            }
        }
    }

    /// Asks it whether it can do what the template says.
    fn ask(self, started: Started) {
        let within = self.deadline.since(self.shared.runtime.now());
        let options = ProbeOptions::default().within(within);
        match self.shared.probe(&started.entry, options) {
            Ok(ticket) => ticket.on_done(move |report| {
                self.aside(move |creating| creating.asked(started, report));
            }),
            Err(error) => self.asked(started, Err(error)),
        }
    }

    fn asked(mut self, started: Started, report: Result<ProbeReport>) {
        let shared = Arc::clone(&self.shared);
        let proved =
            report.map_err(|error| ("probe", error)).and_then(|report| match report.worst() {
                None => Ok(report),
                Some(skill) => Err(("probe", lacking(skill))),
            });
        let registered = proved.and_then(|report| {
            let registered = shared.register(&started.entry).map_err(|error| ("register", error));
            registered.map(|()| report)
        });
        match registered {
            Ok(report) => self.finish(started, report),
            Err(failure) => {
                shared.unmake(&started.entry, failure.1.message().to_owned());
                if !self.reply.cancelled() {
                    self.note(&started.kept, failure);
                }
                drop(started);
                self.next();
            }
        }
    }

    /// A template has made no agent.
    fn note(&mut self, kept: &Arc<Kept>, (stage, error): Failure) {
        let shared = &self.shared;
        let name = &kept.template().name;
        kept.record().tried(false, shared.runtime.now());
        let event = serde_json::json!({
            "template": name, "skill": self.want.skill, "stage": stage, "code": error.code().name(),
            "why": error.message(),
        });
        shared.publish("agent.not_made", event);
        let why = format!("{stage}: {}", error.message());
        let considered = self.choice.considered.iter_mut();
        if let Some(it) = considered.into_iter().find(|it| it.template == *name) {
            it.verdict = TemplateVerdict::Failed;
            let advice = error.remedy().unwrap_or("see the error").to_owned();
            it.reasons.push(Reason { code: ReasonCode::Failed, why, advice });
        }
        self.failed.lock().push(FailedTemplate { template: name.clone(), stage, error });
    }

    fn finish(self, started: Started, probe: ProbeReport) {
        let shared = Arc::clone(&self.shared);
        let template = started.kept.template().name.clone();
        started.kept.record().tried(true, shared.runtime.now());
        self.done();
        let failed = std::mem::take(&mut *self.failed.lock());
        let mut choice = self.choice;
        if let Some(first) = choice.template.replace(template.clone()).filter(|it| *it != template)
        {
            choice.why =
                format!("{}; but {first:?} made no agent, and {template:?} did", choice.why);
        }
        for it in choice.considered.iter_mut().filter(|it| it.template == template) {
            it.verdict = TemplateVerdict::Chosen;
        }
        let took = shared.runtime.now().since(self.began);
        let created = Created {
            agent: Arc::clone(started.entry.name()),
            template,
            existing: false,
            // A pool does not choose.
            choice: self.pool.is_none().then_some(choice),
            failed,
            probe: Some(probe),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        let event = serde_json::json!({
            "agent": created.agent, "template": created.template, "skill": self.want.skill,
            "why": created.choice.as_ref().map(|choice| choice.why.as_str()),
        });
        if self.reply.send(created).is_err() {
            // Nobody waits for it any more: it is not left behind.
            shared.take_out(&started.entry);
            shared.stop_agent(&started.entry, shared.runtime.now() + GRACE, "nobody waits for it");
            return;
        }
        shared.publish("agent.created", event);
    }

    fn give_up(self) {
        self.done();
        let error = not_made(&self.want, &self.choice, &self.failed.lock());
        let _ = self.reply.fail(error);
    }

    fn done(&self) {
        if let Some(timer) = self.timer {
            self.shared.runtime.cancel(timer);
        }
    }
}

/// What an agent lacks, as an error.
fn lacking(skill: &crate::agent::SkillReport) -> Error {
    let why = skill.why.as_deref().unwrap_or("it does not answer rightly");
    let error = match &skill.error {
        Some(error) => error.clone(),
        None => Error::new(Code::AGENT_BAD_ANSWER, format!("it does not pass its probe: {why}")),
    };
    let error = error.with("skill", &skill.skill).with("verdict", skill.verdict.name());
    match &skill.field {
        Some(field) => error.with("field", field),
        None => error,
    }
}

impl Shared {
    /// Runs what may block: on the pool, or, where that is full, on a thread of its own.
    pub(super) fn aside(&self, job: crate::base::runtime::Job) {
        let Err(refused) = self.runtime.spawn_blocking(job) else { return };
        let (hand, take) = crossbeam_channel::bounded::<crate::base::runtime::Job>(1);
        let _ = hand.send(refused.work);
        drop(hand);
        let run = {
            let take = take.clone();
            move || take.try_iter().for_each(|job| job())
        };
        let thread = std::thread::Builder::new().name("sutazai-create".to_owned());
        if thread.spawn(run).is_err() {
            // Without the thread it is done here.
            take.try_iter().for_each(|job| job());
        }
    }

    /// Puts an agent that was made in charge of its name.
    fn register(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<()> {
        self.makes_agents()?;
        self.join(entry)?;
        self.creation.made(entry);
        if let Err(stopping) = self.makes_agents() {
            self.take_out(entry);
            return Err(stopping);
        }
        self.announce(entry);
        Ok(())
    }

    /// Stops an agent that is not registered.
    fn unmake(&self, entry: &Arc<Entry>, why: impl Into<Why>) {
        self.creation.made(entry);
        self.turn(entry, AgentState::Failed, why);
        self.put_down(entry, self.runtime.now() + GRACE);
    }
}
