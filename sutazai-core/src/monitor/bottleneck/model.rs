//! The recorded tasks as work that can be done again: who waits for whom, and what each piece of work needs.

use std::collections::HashMap;
use std::sync::Arc;

use super::blame::{CPU, POOL};
use super::ended::Ended;
use super::span::WaitFor;
use super::station::{Makeup, mean_and_scv};
use super::trace::{Node, Traces};
use super::view::Improvement;

/// What can be done at once is bounded by these.
pub(super) struct Server {
    pub(super) capacity: f64,
    /// Shared out among all that are there, instead of one after the other.
    pub(super) shared: bool,
}

/// A piece of work.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) begins: Begins,
    pub(super) parent: Option<usize>,
    /// Seconds of pauses before it asks for anything.
    pub(super) pause: f64,
    /// What it has from its begin to its end, asked for in this order.
    pub(super) holds: Vec<usize>,
    pub(super) does: Vec<Does>,
    /// The pieces that begin when it ends, and how long after.
    pub(super) then: Vec<(usize, f64)>,
}

/// When a piece begins.
#[derive(Clone, Copy, Default)]
pub(super) enum Begins {
    /// At this time.
    At(f64),
    /// When something else says so.
    #[default]
    Told,
}

/// What a piece does, one after the other.
pub(super) enum Does {
    /// Takes this long.
    Takes(f64),
    /// Needs so much of a server.
    Uses(usize, f64),
    /// Begins these parts, each after so long, and waits for as many to end.
    Parts(Vec<(usize, f64)>, usize),
}

pub(super) struct Model {
    pub(super) servers: Vec<Server>,
    pub(super) pieces: Vec<Piece>,
    pub(super) tasks: Vec<usize>,
}

/// What is changed.
pub(super) struct Changed<'a> {
    pub(super) component: &'a str,
    /// Only this step, where it is given.
    pub(super) step: Option<&'a str>,
    pub(super) by: Improvement,
}

/// What the model is made from.
pub(super) struct Ground<'a, 't> {
    pub(super) traces: &'a Traces<'t>,
    pub(super) makeups: &'a [Makeup],
    pub(super) capacity: &'a HashMap<Arc<str>, f64>,
    /// Components whose waiting for a lock is their own.
    pub(super) lock: Option<&'a Arc<str>>,
    pub(super) cores: f64,
}

/// Share of work that waits for a processor or a lock before that is simulated, instead of taken as it was.
const CONTENDED: f64 = 0.05;
/// Times between arrivals vary by this much less than times from end to arrival where arrivals follow a clock.
const LITTLE_GAP: f64 = 0.25;
/// Share of their time within which tasks follow one another.
const SOON: f64 = 0.02;

impl Ground<'_, '_> {
    pub(super) fn model(&self, changed: Option<&Changed<'_>>) -> Model {
        let mut building = Building {
            servers: Vec::new(),
            names: HashMap::new(),
            locked: Locked::default(),
            changed,
        };
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.traces.nodes.len());
        for node in &self.traces.nodes {
            let piece = self.piece(node, &mut building);
            pieces.push(piece);
        }
        // Parts that begin when a sibling has ended.
        for node in &self.traces.nodes {
            for (part, after, gap) in self.sequels(node) {
                if let Some(piece) = pieces.get_mut(after) {
                    piece.then.push((part, gap));
                }
            }
        }
        self.unlock(&mut pieces, &building);
        let tasks: Vec<usize> = self.traces.roots.clone();
        self.begin(&mut pieces);
        Model { servers: building.servers, pieces, tasks }
    }

    fn piece(&self, node: &Node<'_>, building: &mut Building<'_>) -> Piece {
        // Whoever is not waited for tells nobody that it has ended.
        let joined = |parent: &usize| {
            self.traces.node(*parent).is_some_and(|whole| node.ended <= whole.ended + 1e-3)
        };
        let mut piece = Piece { parent: node.parent.filter(joined), ..Piece::default() };
        let factor = building.factor(node.owner(), &node.span.step);
        let (mut simulated, mut within) = (0.0, Vec::new());
        for wait in &node.span.waits {
            let seconds = wait.to.since(wait.from).as_secs_f64();
            let early = wait.from < node.span.started;
            match wait.on {
                WaitFor::Place
                    if early
                        && node.span.agent.as_ref() == Some(&wait.what)
                        && self.capacity.contains_key(&wait.what) =>
                {
                    simulated += seconds;
                }
                WaitFor::Pool
                    if early && &*wait.what == POOL && self.capacity.contains_key(POOL) =>
                {
                    simulated += seconds;
                }
                _ if early => {
                    piece.pause += seconds * building.factor(&wait.what, &node.span.step);
                    simulated += seconds;
                }
                _ => within.push(wait),
            }
        }
        piece.pause += (node.started - node.arrived - simulated).max(0.0);
        if let Some(agent) = &node.span.agent
            && node.span.failure.is_none_or(|_| node.service() > 0.0)
        {
            if let Some(most) = self.capacity.get(agent) {
                piece.holds.push(building.server(Kind::Places, agent, *most));
            }
            if node.span.waits.iter().any(|wait| wait.on == WaitFor::Pool && &*wait.what == POOL)
                && let Some(most) = self.capacity.get(POOL)
            {
                piece.holds.push(building.server(Kind::Threads, POOL, *most));
            }
        }
        // Its own work, with its parts in between.
        let mut at = node.started;
        for group in self.groups(node) {
            let (Some(begin), Some(end)) = (group.begin, group.end) else { continue };
            self.work(node, at, begin, factor, &within, building, &mut piece.does);
            piece.does.push(Does::Parts(group.parts, group.waits_for));
            at = end.max(at);
        }
        self.work(node, at, node.ended, factor, &within, building, &mut piece.does);
        piece
    }

    #[allow(clippy::too_many_arguments, reason = "one place, where it is taken apart")]
    fn work(
        &self,
        node: &Node<'_>,
        from: f64,
        to: f64,
        factor: f64,
        waits: &[&super::span::Wait],
        building: &mut Building<'_>,
        does: &mut Vec<Does>,
    ) {
        let mut seconds = to - from;
        if seconds <= 0.0 {
            return;
        }
        for wait in waits {
            let begun = node.arrived + wait.from.since(node.span.arrived).as_secs_f64();
            let ended = node.arrived + wait.to.since(node.span.arrived).as_secs_f64();
            let part = (ended.min(to) - begun.max(from)).max(0.0).min(seconds);
            seconds -= part;
            if part > 0.0 {
                does.push(Does::Takes(part * building.factor(&wait.what, &node.span.step)));
            }
        }
        let makeup = self.makeups.get(node.station).copied().unwrap_or_default();
        let runs = makeup.cpu + makeup.memory;
        let mut rest = seconds * (1.0 - makeup.runnable - makeup.locked).max(0.0);
        // What waits for a lock is done one at a time, all of it as far as that is possible: how much of it was outside the lock is
        // not known.
        if makeup.locked > CONTENDED {
            let own = self.lock.map_or("lock", |lock| lock);
            let server = building.server(Kind::Lock, own, 1.0);
            building.locked.pieces += 1.0;
            building.locked.done += rest;
            building.locked.waited += seconds * makeup.locked;
            does.push(Does::Uses(server, rest * factor));
            return;
        }
        rest += seconds * makeup.locked;
        if makeup.runnable > CONTENDED && runs > 0.0 {
            let on_cpu = seconds * runs;
            let server = building.server(Kind::Processors, CPU, self.cores);
            does.push(Does::Uses(server, on_cpu * factor));
            rest -= on_cpu;
        } else {
            rest += seconds * makeup.runnable;
        }
        if rest > 0.0 {
            does.push(Does::Takes(rest * factor));
        }
    }

    /// More work cannot have been done under locks than there was time: then they were held as long as waiting for them tells.
    fn unlock(&self, pieces: &mut [Piece], building: &Building<'_>) {
        let nodes = &self.traces.nodes;
        let began = nodes.iter().map(|node| node.started).fold(f64::INFINITY, f64::min);
        let ended = nodes.iter().map(|node| node.ended).fold(f64::NEG_INFINITY, f64::max);
        let within = building.locked.within(ended - began);
        if within >= 1.0 {
            return;
        }
        let locks = |server: usize| {
            building.names.iter().any(|((kind, _), at)| *kind == Kind::Lock && *at == server)
        };
        let locks: Vec<bool> = (0..building.servers.len()).map(locks).collect();
        for piece in pieces {
            let does = std::mem::take(&mut piece.does);
            for one in does {
                match one {
                    Does::Uses(server, seconds) if locks.get(server) == Some(&true) => {
                        piece.does.push(Does::Takes(seconds * (1.0 - within)));
                        piece.does.push(Does::Uses(server, seconds * within));
                    }
                    other => piece.does.push(other),
                }
            }
        }
    }

    /// Parts that overlap belong together: the whole goes on when the last of them has ended.
    fn groups(&self, node: &Node<'_>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut ended = Ended::default();
        for (at, part) in self.traces.children(node) {
            let joined = part.ended <= node.ended + 1e-3;
            let together =
                groups.last_mut().filter(|group| group.end.is_some_and(|end| part.arrived < end));
            match together {
                Some(group) => {
                    group.waits_for += usize::from(joined);
                    if joined {
                        group.end = group.end.map(|end| end.max(part.ended));
                    }
                    if ended.by(part.arrived).is_none() {
                        let begin = group.begin.unwrap_or(part.arrived);
                        group.parts.push((at, part.arrived - begin));
                    }
                }
                None => {
                    ended.clear();
                    groups.push(Group {
                        begin: Some(part.arrived),
                        end: Some(if joined { part.ended } else { part.arrived }),
                        parts: vec![(at, 0.0)],
                        waits_for: usize::from(joined),
                    });
                }
            }
            if joined {
                ended.add(part.ended, at);
            }
        }
        groups
    }

    /// Parts that began when a sibling of their group had ended, whoever that was, and how long after.
    fn sequels(&self, node: &Node<'_>) -> Vec<(usize, usize, f64)> {
        let mut all = Vec::new();
        let (mut ended, mut until) = (Ended::default(), f64::NEG_INFINITY);
        for (at, part) in self.traces.children(node) {
            let joined = part.ended <= node.ended + 1e-3;
            if part.arrived >= until {
                ended.clear();
                until = part.arrived;
            } else if let Some((end, sibling)) = ended.by(part.arrived) {
                all.push((at, sibling, part.arrived - end));
            }
            if joined {
                until = until.max(part.ended);
                ended.add(part.ended, at);
            }
        }
        all
    }

    /// When tasks begin: at their time; or when the one before of their client has ended, where it waits for that.
    fn begin(&self, pieces: &mut [Piece]) {
        let mut clients: HashMap<(Option<u64>, u64), Vec<usize>> = HashMap::new();
        for (at, task) in self.traces.tasks() {
            // Parts of what has not ended are tasks in the order of that.
            clients.entry((task.span.parent, task.span.client)).or_default().push(at);
        }
        let mut others: Vec<usize> = Vec::new();
        for tasks in clients.values() {
            let nodes: Vec<(usize, &Node<'_>)> =
                tasks.iter().filter_map(|at| Some((*at, self.traces.node(*at)?))).collect();
            let pairs = || nodes.iter().zip(nodes.iter().skip(1));
            let gaps: Vec<f64> = pairs().map(|(a, b)| b.1.arrived - a.1.ended).collect();
            let between: Vec<f64> = pairs().map(|(a, b)| b.1.arrived - a.1.arrived).collect();
            let one_by_one = gaps.iter().all(|gap| *gap >= -1e-4) && !gaps.is_empty();
            let ((gap, _), (apart, apart_scv)) = (mean_and_scv(&gaps), mean_and_scv(&between));
            let spread = |scv: f64, mean: f64| scv.sqrt() * mean;
            let gap_spread = spread(mean_and_scv(&gaps).1, gap);
            let waits =
                one_by_one && (gap <= LITTLE_GAP * apart || gap_spread < spread(apart_scv, apart));
            if !waits && nodes.len() > 1 {
                others.extend(tasks);
                continue;
            }
            let mut last: Option<(usize, f64)> = None;
            for (at, node) in nodes {
                match last {
                    Some((before, ended)) => {
                        if let Some(piece) = pieces.get_mut(before) {
                            piece.then.push((at, (node.arrived - ended).max(0.0)));
                        }
                    }
                    None => {
                        if let Some(piece) = pieces.get_mut(at) {
                            piece.begins = Begins::At(node.arrived);
                        }
                    }
                }
                last = Some((at, node.ended));
            }
        }
        self.begin_others(&others, pieces);
    }

    /// Tasks of clients that share threads, as those of an event loop do. Where nearly each comes right after another has ended,
    /// there are so many clients that each wait for their answer; else they come when they come.
    #[allow(clippy::cast_precision_loss, reason = "counts of a window")]
    fn begin_others(&self, others: &[usize], pieces: &mut [Piece]) {
        let mut nodes: Vec<(usize, &Node<'_>)> =
            others.iter().filter_map(|at| Some((*at, self.traces.node(*at)?))).collect();
        nodes.sort_by(|a, b| a.1.arrived.total_cmp(&b.1.arrived).then(a.0.cmp(&b.0)));
        let mut ends: Vec<(f64, usize)> =
            nodes.iter().map(|(at, node)| (node.ended, *at)).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let n = nodes.len().max(1) as f64;
        let took = nodes.iter().map(|(_, node)| node.ended - node.arrived).sum::<f64>() / n;
        let apart = (self.traces.last - self.traces.first) / n;
        // By chance an arrival has an end so shortly before it in three cases of ten, at most.
        let soon = (SOON * took).max(5e-4).min(0.3 * apart);
        let (mut next, mut followed, mut could) = (0, 0_usize, 0_usize);
        let mut follows: Vec<Option<(usize, f64)>> = Vec::with_capacity(nodes.len());
        for (_, node) in &nodes {
            while ends.get(next).is_some_and(|(end, _)| *end < node.arrived - soon) {
                next += 1;
            }
            could += usize::from(ends.first().is_some_and(|(end, _)| *end < node.arrived));
            let end = ends.get(next).filter(|(end, _)| *end <= node.arrived);
            follows.push(end.map(|(end, at)| (*at, node.arrived - end)));
            if end.is_some() {
                next += 1;
                followed += 1;
            }
        }
        let closed = could > 0 && followed as f64 >= 0.8 * could as f64;
        for ((at, node), follows) in nodes.into_iter().zip(follows) {
            match follows.filter(|_| closed) {
                Some((before, gap)) => {
                    if let Some(piece) = pieces.get_mut(before) {
                        piece.then.push((at, gap));
                    }
                }
                None => {
                    if let Some(piece) = pieces.get_mut(at) {
                        piece.begins = Begins::At(node.arrived);
                    }
                }
            }
        }
    }
}

/// What a server is: those of one name are several, such as an agent's places and the lock within it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Places,
    Threads,
    Lock,
    Processors,
}

/// Work that waited for locks: how many pieces, the seconds that they did something, and those that they waited.
#[derive(Default)]
struct Locked {
    pieces: f64,
    done: f64,
    waited: f64,
}

impl Locked {
    /// The share of the work that was done under a lock, where so many seconds passed: all of it, if that is possible, and else as much
    /// as makes pieces that come by chance wait as long as these did (`W = λs² ÷ (1 − λs)`, M/M/1).
    fn within(&self, seconds: f64) -> f64 {
        if self.done <= seconds || self.pieces < 1.0 || seconds <= 0.0 {
            return 1.0;
        }
        let rate = self.pieces / seconds;
        let waited = self.waited / self.pieces * rate;
        let held = ((waited * waited + 4.0 * waited).sqrt() - waited) / (2.0 * rate);
        (held * self.pieces / self.done).min(1.0)
    }
}

struct Group {
    begin: Option<f64>,
    end: Option<f64>,
    parts: Vec<(usize, f64)>,
    waits_for: usize,
}

struct Building<'a> {
    servers: Vec<Server>,
    names: HashMap<(Kind, String), usize>,
    /// What waited for locks, as it was recorded.
    locked: Locked,
    changed: Option<&'a Changed<'a>>,
}

impl Building<'_> {
    fn factor(&self, component: &str, step: &str) -> f64 {
        match self.changed {
            Some(Changed { component: wanted, step: of, by: Improvement::Faster(share) })
                if *wanted == component && of.is_none_or(|of| of == step) =>
            {
                1.0 - share
            }
            _ => 1.0,
        }
    }

    fn server(&mut self, kind: Kind, name: &str, capacity: f64) -> usize {
        let key = (kind, name.to_owned());
        if let Some(known) = self.names.get(&key) {
            return *known;
        }
        let more = match self.changed {
            // Who has more places still has one lock.
            Some(Changed { component, by: Improvement::MoreCapacity(more), .. })
                if *component == name && kind != Kind::Lock =>
            {
                f64::from(*more)
            }
            Some(Changed { component, by: Improvement::Faster(share), .. })
                if *component == name && kind == Kind::Processors =>
            {
                capacity / (1.0 - share) - capacity
            }
            _ => 0.0,
        };
        let shared = kind == Kind::Processors;
        self.servers.push(Server { capacity: capacity + more, shared });
        self.names.insert(key, self.servers.len() - 1);
        self.servers.len() - 1
    }
}
