//! A look at a source, and what follows from it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::slot::{Slot, inside};
use crate::agent::discover::{CardChange, ItemState, Look, Seen, Step, side_by_side};
use crate::agent::{AgentState, Entry, ProbeVerdict};
use crate::kernel::ProbeOptions;
use crate::kernel::shared::{Phase, Shared};
use crate::observe::Level;
use crate::port::{Candidate as _, DiscoverySource, FoundAgent, MakeAgent, Sighting};
use crate::{Code, Error, Result};

/// Agents that are made, or removed, side by side, at most.
const SIDE_BY_SIDE: usize = 8;
/// Items of one look that are kept in mind, at most: beyond those that a source may have, so that some are told
/// to be too many.
const MOST_ITEMS: usize = 100_000;

/// Looks that follow one that somebody asked for, while something is being written.
const MORE_LOOKS: usize = 8;

/// What makes the agents of a look, by item.
type Makers = HashMap<Arc<str>, (MakeAgent, Option<Arc<str>>)>;

/// An agent that is to be made.
struct Make {
    item: Arc<str>,
    fingerprint: String,
    replaces: Option<Arc<str>>,
    make: MakeAgent,
    agent: Option<Arc<str>>,
}

impl Shared {
    /// Looks at a source and does what follows. Where `insist`, whoever looks already is waited for, what could
    /// not be made is tried again, and it is looked at until nothing is being written any more. `None` where
    /// there is nothing to look at, or somebody else does.
    pub(super) fn look(self: &Arc<Self>, slot: &Arc<Slot>, insist: bool) -> Option<Look> {
        let may_wait = insist && self.runtime.may_block();
        let (turn, source) = slot.turn(may_wait)?;
        if self.phase() != Phase::Running {
            return None;
        }
        if slot.is_new() {
            let watch = super::super::caught(|| inside::run(|| source.watch(self.notify(slot))));
            // Most cannot be watched; they are looked at often enough.
            drop(watch.ok().and_then(|watch| slot.watched(watch)));
        }
        let (mut look, mut looks) = self.look_once(slot, &*source, insist);
        for _ in 0..MORE_LOOKS {
            if look.settling.is_empty() || !may_wait || self.phase() != Phase::Running {
                break;
            }
            std::thread::sleep(slot.settle());
            let (later, count) = self.look_once(slot, &*source, false);
            look.then(later);
            looks = count;
        }
        drop(source);
        self.measure(slot);
        let now = self.runtime.now();
        let awaited = slot.inventory(|inventory| inventory.next_look(now));
        drop(turn);
        if let Some(timer) = slot.disarm() {
            self.runtime.cancel(timer);
        }
        if self.phase() == Phase::Running {
            self.look_at_source(slot, self.next_look(slot, now, awaited, looks));
        }
        Some(look)
    }

    /// One look; and the how-manieth it was.
    fn look_once(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        source: &dyn DiscoverySource,
        insist: bool,
    ) -> (Look, u64) {
        self.leave_to_the_host(slot);
        let now = self.runtime.now();
        let mut found = Vec::new();
        let looked = super::super::caught(|| {
            let mut sink = |one: FoundAgent| {
                if found.len() < MOST_ITEMS {
                    found.push(one);
                }
            };
            inside::run(|| source.find(now, &mut sink))
        });
        let mut look = Look { source: Arc::clone(slot.name()), ..Look::default() };
        look.error = looked.err();
        let (looks, new) = slot.looked(self.runtime.timestamp(), look.error.clone());
        match &look.error {
            Some(error) if new => self.trouble(slot, None, error),
            Some(_) => {}
            None => self.follow(slot, found, insist, &mut look),
        }
        let views = slot.inventory(|inventory| inventory.views());
        look.failed = views.into_iter().filter(|view| view.error.is_some()).collect();
        look.settling = slot.inventory(|inventory| inventory.unsettled());
        (look, looks)
    }

    /// Agents that the host has removed are the source's no more.
    fn leave_to_the_host(&self, slot: &Slot) {
        for (item, agent) in slot.inventory(|inventory| inventory.agents()) {
            let ours = slot.entry(&agent);
            let gone = |entry: Arc<Entry>| {
                matches!(entry.state(), AgentState::Draining | AgentState::Stopped)
            };
            if ours.is_none_or(gone) {
                slot.forget(&agent);
                slot.inventory(|inventory| inventory.released(&item));
            }
        }
    }

    fn follow(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        found: Vec<FoundAgent>,
        insist: bool,
        look: &mut Look,
    ) {
        let mut makers = Makers::new();
        let mut seen = Vec::with_capacity(found.len());
        for FoundAgent { item, origin, agent, sighting } in found {
            let item: Arc<str> = Arc::from(item);
            let what = match sighting {
                Sighting::Here { fingerprint, make } => {
                    makers.entry(Arc::clone(&item)).or_insert((make, agent));
                    Seen::Here(fingerprint)
                }
                Sighting::Away(error) => Seen::Away(error),
                Sighting::Refused(error) => Seen::Refused(error),
                Sighting::Gone(error) => Seen::Gone(error),
                Sighting::Unsettled => Seen::Unsettled,
            };
            seen.push((item, origin, what));
        }
        let now = self.runtime.now();
        let steps = slot.inventory(|inventory| inventory.looked(now, seen, insist));
        let (mut drops, mut makes) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Drop { item, agent, why } => {
                    look.removed.push(Arc::clone(&agent));
                    drops.push((item, agent, why));
                }
                Step::Away { item, agent, error } => {
                    if self.away(slot, &item, &agent, &error) {
                        look.unreachable.push(agent);
                    }
                }
                Step::Back { agent, .. } => {
                    if self.back(slot, &agent) {
                        look.back.push(agent);
                    }
                }
                Step::Make { item, fingerprint, replaces } => {
                    if let Some((make, agent)) = makers.remove(&item) {
                        makes.push(Make { item, fingerprint, replaces, make, agent });
                    }
                }
                Step::Trouble { item, error } => self.trouble(slot, Some(&item), &error),
            }
        }
        // What is not made is dropped with no lock held and before others are made.
        drop(makers);
        self.each(drops, |(item, agent, why)| self.lose(slot, &item, &agent, &why));
        // Of two that declare one name the first has it; the other one is not even started.
        let mut names = HashSet::new();
        makes.sort_by(|a, b| a.item.cmp(&b.item));
        let (firsts, others): (Vec<_>, Vec<_>) = makes.into_iter().partition(|make| {
            make.agent.as_ref().is_none_or(|name| names.insert(Arc::clone(name)))
        });
        let mut made = self.each(firsts, |make| self.make(slot, make));
        made.extend(others.into_iter().map(|make| self.make(slot, make)));
        for (agent, changed) in made.into_iter().flatten() {
            if changed { look.changed.push(agent) } else { look.added.push(agent) }
        }
        look.added.sort_unstable();
        look.changed.sort_unstable();
    }

    /// Does something with each, several side by side where the runtime may be waited for.
    fn each<T: Send, R: Send>(&self, items: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
        let most = if self.runtime.may_block() { SIDE_BY_SIDE } else { 1 };
        side_by_side(items, most, f)
    }

    /// Makes an agent and registers it; says its name, and whether it took the place of another one.
    fn make(self: &Arc<Self>, slot: &Arc<Slot>, make: Make) -> Option<(Arc<str>, bool)> {
        let Make { item, fingerprint, replaces, make, agent } = make;
        let made = self.bring_in(slot, &item, replaces.as_ref(), agent.as_ref(), make);
        let (answer, made) = match made {
            Ok((entry, changed)) => {
                let name = Arc::clone(entry.name());
                (Some((Arc::clone(&name), changed)), Ok(name))
            }
            Err(error) => (None, Err(error)),
        };
        let error = made.as_ref().err().cloned();
        let now = self.runtime.now();
        let new = slot.inventory(|inventory| inventory.made(now, &item, fingerprint, made));
        if let Some(error) = error
            && new
        {
            self.trouble(slot, Some(&item), &error);
        }
        answer
    }

    /// Makes an agent, starts it, has it show its skills, and registers it; says whether it took the place of
    /// one of its name.
    fn bring_in(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        item: &Arc<str>,
        replaces: Option<&Arc<str>>,
        named: Option<&Arc<str>>,
        make: MakeAgent,
    ) -> Result<(Arc<Entry>, bool)> {
        self.takes_agents()?;
        if let Some(name) = named
            && replaces != Some(name)
        {
            self.is_free(name)?;
        }
        let made = || inside::run(|| make().and_then(crate::agent::Registry::entry));
        let entry = super::super::caught(made)?;
        let before = replaces.and_then(|name| slot.entry(name));
        let same = before.as_ref().is_some_and(|before| before.name() == entry.name());
        if !same {
            self.is_free(entry.name())?;
        }
        self.bring_up(&entry)?;
        let placed = self.prove(slot, &entry).and_then(|()| match &before {
            Some(before) if same => self.succeed(slot, before, &entry),
            _ => self.join(&entry),
        });
        let placed =
            placed.and_then(|()| self.takes_agents().inspect_err(|_| drop(self.take_out(&entry))));
        if let Err(error) = placed {
            self.put_down(&entry, self.runtime.now() + slot.grace());
            return Err(error);
        }
        self.announce(&entry);
        match &before {
            Some(before) if same => {
                slot.keep(&entry);
                self.tell_change(slot, item, before, &entry);
            }
            before => {
                if let Some(before) = before {
                    let why = format!("it is called {} now", entry.name());
                    self.lose(slot, item, before.name(), &why);
                }
                slot.keep(&entry);
                self.discovered(slot, item, &entry);
            }
        }
        Ok((entry, same))
    }

    /// Puts an agent in the place of the one of its name that was made of the same item before.
    fn succeed(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        before: &Arc<Entry>,
        entry: &Arc<Entry>,
    ) -> Result<()> {
        let name = entry.name();
        let version = &entry.card().version;
        if !self.agents.is_in_charge(before) {
            return Err(not_ours(name));
        }
        if *version == before.card().version {
            let exchanged = self.exchange(before, entry, slot.grace());
            return if exchanged { Ok(()) } else { Err(not_ours(name)) };
        }
        // A version that stands by and is declared again is made anew.
        if let Ok(stale) = self.agents.retire(name, version) {
            self.let_go(&stale, slot.grace(), "the same version is made anew");
        }
        self.take_over(entry)
    }

    /// Has an agent that has been started show that it can do what its card says, where it can be asked.
    fn prove(self: &Arc<Self>, slot: &Slot, entry: &Arc<Entry>) -> Result<()> {
        let within = Duration::from_millis(slot.policy().probe_ms);
        if within.is_zero() {
            return Ok(());
        }
        let mut ticket = self.probe(entry, ProbeOptions::default().within(within))?;
        let report = if self.runtime.may_block() {
            Some(ticket.wait()?)
        } else {
            // Where nothing may be waited for, only what answers at once is held to its card.
            ticket.try_take().transpose()?
        };
        let against = report.as_ref().and_then(|report| report.worst());
        let Some(against) = against else { return Ok(()) };
        let error = match against.verdict {
            ProbeVerdict::Late => {
                Error::new(Code::DEADLINE_EXCEEDED, "the agent did not show its skill in time")
            }
            _ => Error::new(Code::AGENT_LIES, "the agent cannot do what its card says"),
        };
        let mut error = error
            .operation("agent.discover")
            .with("agent", entry.name())
            .with("skill", &against.skill)
            .with("verdict", against.verdict.name());
        if let Some(why) = &against.why {
            error = error.with("why", why);
        }
        if let Some(field) = &against.field {
            error = error.with("field", field);
        }
        Err(match &against.error {
            // What it needs may be there again later.
            Some(said) => error.classed(said.class()).because(said.clone()),
            None => error,
        })
    }

    fn tell_change(&self, slot: &Slot, item: &str, before: &Entry, entry: &Entry) {
        let card = entry.card();
        let Some(change) = CardChange::between(before.card(), card) else { return };
        let event = json!({
            "agent": &*card.name,
            "source": &**slot.name(),
            "item": item,
            "version": card.version,
            "change": change,
        });
        self.publish("agent.card_changed", event);
        let why = serde_json::to_string(&change).unwrap_or_default();
        self.tell(Level::Info, "an agent's card has changed", slot, item, &card.name, &why);
    }

    fn is_free(&self, name: &Arc<str>) -> Result<()> {
        if self.agents.get(name).is_none() {
            return Ok(());
        }
        Err(Error::new(Code::ALREADY_EXISTS, "an agent of this name is registered")
            .operation("agent.discover")
            .with("agent", name)
            .advice("give one of them another name; the one that was there first stays"))
    }

    /// An agent is gone.
    fn lose(self: &Arc<Self>, slot: &Slot, item: &str, agent: &str, why: &str) {
        let found = slot.forget(agent);
        if !found.is_empty() {
            for entry in found {
                self.remove_entry(&entry, slot.grace(), why.to_owned());
            }
            let event = json!({"agent": agent, "source": &**slot.name(), "item": item, "why": why});
            self.publish("agent.lost", event);
            self.tell(Level::Info, "an agent that was found is gone", slot, item, agent, why);
        }
    }

    /// The source of these agents was taken out.
    pub(super) fn let_all_go(
        self: &Arc<Self>,
        slot: &Slot,
        found: Vec<Vec<Arc<Entry>>>,
        why: &str,
    ) {
        self.each(found, |versions| {
            for entry in versions {
                self.remove_entry(&entry, slot.grace(), why.to_owned());
            }
        });
    }

    fn away(&self, slot: &Slot, item: &str, agent: &str, error: &Error) -> bool {
        let Some(entry) = slot.entry(agent) else { return false };
        // What has ended does not come back with the place where it is declared.
        let turned = self.cannot_reach(&entry, error.message().to_owned());
        if turned {
            let why = error.to_string();
            self.tell(Level::Warn, "an agent cannot be reached", slot, item, agent, &why);
        }
        turned
    }

    fn back(self: &Arc<Self>, slot: &Slot, agent: &str) -> bool {
        let Some(entry) = slot.entry(agent) else { return false };
        // Where it is asked itself, and does not answer, it takes tasks when it does.
        let turned = self.liveness.lives(&entry)
            && self.is_up(&entry, &[AgentState::Unreachable], "it can be reached again");
        #[cfg(feature = "recovery")]
        if turned {
            self.offer(&entry);
        }
        turned
    }

    fn discovered(&self, slot: &Slot, item: &str, entry: &Entry) {
        let card = entry.card();
        let event = json!({
            "agent": &*card.name,
            "version": card.version,
            "skills": card.skills,
            "source": &**slot.name(),
            "item": item,
        });
        self.publish("agent.discovered", event);
        self.tell(Level::Info, "an agent was found", slot, item, &card.name, "");
    }

    /// Tells that something is wrong with a source or an item.
    fn trouble(&self, slot: &Slot, item: Option<&str>, error: &Error) {
        let event = json!({"source": &**slot.name(), "item": item, "error": error});
        self.publish("agent.not_discovered", event);
        let why = format!("{error:#}");
        let message = match item {
            Some(_) => "something that was found makes no agent",
            None => "a source of agents could not be looked at",
        };
        self.tell(Level::Warn, message, slot, item.unwrap_or_default(), "", &why);
    }

    fn tell(
        &self,
        level: Level,
        message: &'static str,
        slot: &Slot,
        item: &str,
        agent: &str,
        why: &str,
    ) {
        let fields = [("source", &**slot.name()), ("item", item), ("agent", agent), ("why", why)];
        let said = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let said: Vec<(&'static str, String)> =
            said.map(|(key, value)| (key, value.to_owned())).collect();
        self.kept.log().record(level, "sutazai.agent", message, said);
    }

    /// Counts what a source has, for the metrics.
    pub(super) fn measure(&self, slot: &Slot) {
        let views = slot.inventory(|inventory| inventory.views());
        let states = [
            ("registered", ItemState::Registered),
            ("unreachable", ItemState::Unreachable),
            ("failed", ItemState::Failed),
        ];
        for (name, state) in states {
            let items = views.iter().filter(|view| view.state == state).count();
            self.discovery.found.with([slot.name(), name]).set(items as f64);
        }
    }
}

fn not_ours(name: &str) -> Error {
    Error::new(Code::ALREADY_EXISTS, "the host has put another version of the agent in charge")
        .operation("agent.discover")
        .with("agent", name)
}
