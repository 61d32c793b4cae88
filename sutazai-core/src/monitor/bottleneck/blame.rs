//! Whose the tasks' time is: the critical path of each task, and what waits behind whom.
//!
//! The critical path goes back from the end of a task: the part that ended last is what was waited for, before it the last that
//! had ended when it began, and so on (Yang and Miller, "Critical path analysis for the execution of parallel and distributed
//! programs", ICDCS 1988; over nested calls as in Zhang et al., "CRISP", USENIX ATC 2022). What waits for a place waits for those
//! who have the places: where these do nothing but wait themselves, the place is not what is short (the software bottleneck of
//! Neilson, Woodside, Petriu and Majumdar, IEEE TSE 21, 1995).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::span::{Failure, WaitFor};
use super::station::Makeup;
use super::trace::{Node, Traces};
use super::view::BottleneckKind as Kind;

/// The name of the processors, as a component.
pub(super) const CPU: &str = "cpu";
/// The name of the kernel's threads for blocking work.
pub(super) const POOL: &str = "pool";

/// What time is put down to, and of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    pub(super) component: Arc<str>,
    pub(super) kind: Kind,
    pub(super) agent: Option<Arc<str>>,
    pub(super) step: Arc<str>,
}

pub(super) type Account = BTreeMap<Whose, f64>;

/// What a task's own work also goes to: resources whose figures somebody has stated, with the share of it.
pub(super) struct Stated {
    pub(super) name: Arc<str>,
    pub(super) share: f64,
}

pub(super) struct Blame<'a, 't> {
    pub(super) traces: &'a Traces<'t>,
    pub(super) makeups: &'a [Makeup],
    pub(super) stated: &'a [Stated],
    /// Resources that many share, each put down to the agent that has most of it, if one has.
    pub(super) mostly: Mostly,
}

/// The agents that have most of what several share.
#[derive(Default)]
pub(super) struct Mostly {
    pub(super) cpu: Option<Arc<str>>,
    pub(super) lock: Option<Arc<str>>,
    pub(super) disk: Option<Arc<str>>,
}

/// Share of a resource that makes it one agent's.
const MOST: f64 = 0.6;

impl Mostly {
    pub(super) fn of(traces: &Traces<'_>, makeups: &[Makeup]) -> Self {
        let owner = |of: fn(&Makeup) -> f64| {
            let mut by: HashMap<&Arc<str>, f64> = HashMap::new();
            for node in &traces.nodes {
                let own = node.service() - traces.covered(node, node.started, node.ended);
                let share = makeups.get(node.station).map_or(0.0, of);
                *by.entry(node.owner()).or_default() += own.max(0.0) * share;
            }
            let sum: f64 = by.values().sum();
            let most = by.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(a.0)));
            most.filter(|(_, seconds)| *seconds >= MOST * sum && sum > 0.0)
                .map(|(name, _)| Arc::clone(name))
        };
        Self {
            cpu: owner(|it| it.cpu + it.memory),
            lock: owner(|it| it.locked),
            disk: owner(|it| it.disk),
        }
    }
}

impl Blame<'_, '_> {
    /// Puts down the time of each task, along its critical path.
    pub(super) fn tasks(&self) -> Account {
        let mut account = Account::new();
        for (at, task) in self.traces.tasks() {
            match self.lost_by(at) {
                // Whatever it did was in vain.
                Some((node, kind)) => {
                    add(&mut account, node, node.owner(), kind, task.ended - task.arrived);
                }
                None => self.path(at, task.arrived, task.ended, &mut account),
            }
        }
        account
    }

    /// Puts down this much of a span's time.
    pub(super) fn path(&self, at: usize, from: f64, to: f64, account: &mut Account) {
        let Some(node) = self.traces.node(at) else { return };
        let mut parts: Vec<_> = self.traces.children(node).collect();
        parts.sort_by(|a, b| b.1.ended.total_cmp(&a.1.ended));
        let (mut until, mut first) = (to, true);
        for (child, part) in parts {
            let ended = if first { part.ended.min(until) } else { part.ended };
            let begun = part.arrived.max(from);
            if ended > until || begun >= ended {
                continue;
            }
            self.own(node, ended, until, account);
            // A try that failed, and after which another one was made, is time lost by failing.
            let lost = part.span.failure.filter(|_| !first);
            match lost {
                Some(why) => self.lost(part, why, ended - begun, account),
                None => self.path(child, begun, ended, account),
            }
            first = false;
            until = begun;
        }
        self.own(node, from, until, account);
    }

    fn lost(&self, part: &Node<'_>, why: Failure, seconds: f64, account: &mut Account) {
        let kind = match why {
            Failure::RateLimit => Kind::RateLimit,
            Failure::Full => Kind::Queue,
            Failure::Budget => Kind::Budget,
            Failure::Late | Failure::Failed => Kind::Retry,
        };
        add(account, part, part.owner(), kind, seconds);
    }

    /// Time of the span itself, between its parts.
    fn own(&self, node: &Node<'_>, from: f64, to: f64, account: &mut Account) {
        if to <= from {
            return;
        }
        // What it waited for by its own account, then what is left of the time before its begin and of that after.
        let (mut before, mut after) =
            ((node.started.min(to) - from).max(0.0), (to - node.started.max(from)).max(0.0));
        for wait in &node.span.waits {
            let at = node.arrived;
            let begun = at + wait.from.since(node.span.arrived).as_secs_f64();
            let ended = at + wait.to.since(node.span.arrived).as_secs_f64();
            let early = (ended.min(to).min(node.started) - begun.max(from)).max(0.0).min(before);
            let late = (ended.min(to) - begun.max(from).max(node.started)).max(0.0).min(after);
            before -= early;
            after -= late;
            add(account, node, &wait.what, kind_of(wait.on), early + late);
        }
        add(account, node, node.owner(), Kind::Queue, before);
        self.work(node, after, account);
    }

    fn work(&self, node: &Node<'_>, seconds: f64, account: &mut Account) {
        if seconds <= 0.0 {
            return;
        }
        let unknown = Makeup { other: 1.0, ..Makeup::default() };
        let makeup = self.makeups.get(node.station).copied().unwrap_or(unknown);
        let mut left = seconds;
        for stated in self.stated {
            let part = seconds * stated.share;
            add(account, node, &stated.name, Kind::Resource, part);
            left -= part;
        }
        let left = left.max(0.0);
        let shared = |mostly: &Option<Arc<str>>, name: &str| -> Arc<str> {
            mostly.as_ref().map_or_else(|| Arc::from(name), Arc::clone)
        };
        let owner = node.owner();
        let parts = [
            (Arc::clone(owner), Kind::Compute, makeup.cpu),
            (shared(&self.mostly.cpu, CPU), Kind::Cpu, makeup.runnable),
            (Arc::clone(owner), Kind::Memory, makeup.memory),
            (shared(&self.mostly.lock, "lock"), Kind::Lock, makeup.locked),
            (shared(&self.mostly.disk, "disk"), Kind::Disk, makeup.disk),
            (Arc::clone(owner), Kind::Service, makeup.other),
        ];
        for (component, kind, share) in parts {
            add(account, node, &component, kind, left * share);
        }
    }

    /// What comes to nothing has to be done again: as long as tasks take that succeed. Answers how long that is in all.
    pub(super) fn failures(&self, mean_s: f64, account: &mut Account) -> f64 {
        let mut sum = 0.0;
        for (at, _) in self.traces.tasks() {
            if let Some((node, kind)) = self.lost_by(at) {
                add(account, node, node.owner(), kind, mean_s);
                sum += mean_s;
            }
        }
        sum
    }

    /// Whom a task came to nothing by, and how; nothing for one that did not, or only took too long: what it took is its critical path.
    fn lost_by(&self, task: usize) -> Option<(&Node<'_>, Kind)> {
        let node = self.traces.node(task)?;
        node.span.failure.filter(|why| *why != Failure::Late)?;
        let (node, why) = self.culprit(task)?;
        let kind = match why {
            Failure::RateLimit => Kind::RateLimit,
            Failure::Full => Kind::Queue,
            Failure::Budget => Kind::Budget,
            Failure::Late | Failure::Failed => Kind::Errors,
        };
        Some((node, kind))
    }

    /// The innermost part that came to nothing last: why the task did.
    fn culprit(&self, task: usize) -> Option<(&Node<'_>, Failure)> {
        let mut found = None;
        let mut at = task;
        for _ in 0..64 {
            let node = self.traces.node(at)?;
            let Some(why) = node.span.failure else { break };
            // A budget that is used up says so at the whole; its parts failed otherwise.
            if why == Failure::Budget {
                return Some((node, why));
            }
            found = Some((node, why));
            let failed = self.traces.children(node).filter(|(_, part)| part.span.failure.is_some());
            match failed.max_by(|a, b| a.1.ended.total_cmp(&b.1.ended)) {
                Some((child, _)) => at = child,
                None => break,
            }
        }
        found
    }

    /// Hands the time that tasks waited for a place or a thread on to what those waited for who had them.
    pub(super) fn hand_on(&self, account: Account) -> Account {
        let mut holders: HashMap<(Arc<str>, Kind), (Account, f64)> = HashMap::new();
        let mut settled = Account::new();
        let mut open = account;
        for _ in 0..ROUNDS {
            let mut next = Account::new();
            for (whose, seconds) in open {
                if !matches!(whose.kind, Kind::Queue | Kind::Pool) {
                    *settled.entry(whose).or_default() += seconds;
                    continue;
                }
                let key = (Arc::clone(&whose.component), whose.kind);
                let (waits, held) = holders
                    .entry(key)
                    .or_insert_with(|| self.holders(&whose.component, whose.kind));
                let mut kept = seconds;
                if *held > 0.0 {
                    for (other, part) in waits.iter() {
                        let part = seconds * (part / *held).min(1.0);
                        kept -= part;
                        *next.entry(other.clone()).or_default() += part;
                    }
                }
                *settled.entry(whose).or_default() += kept.max(0.0);
            }
            open = next;
            if open.is_empty() {
                break;
            }
        }
        for (whose, seconds) in open {
            *settled.entry(whose).or_default() += seconds;
        }
        settled
    }

    /// What those waited for who had the places of an agent, or the threads of the pool; and how long they had them in all.
    fn holders(&self, component: &Arc<str>, kind: Kind) -> (Account, f64) {
        let (mut all, mut held) = (Account::new(), 0.0);
        for (at, node) in self.traces.nodes.iter().enumerate() {
            let has = match kind {
                Kind::Pool => node.span.agent.is_some(),
                _ => node.owner() == component,
            };
            if !has || node.span.failure == Some(Failure::Full) {
                continue;
            }
            // A place is had while a thread is waited for.
            let waits_pool = |on| matches!(on, WaitFor::Pool);
            let from = match kind {
                Kind::Pool => node.started,
                _ => node.span.waits.iter().filter(|wait| waits_pool(wait.on)).fold(
                    node.started,
                    |from, wait| {
                        from.min(node.arrived + wait.from.since(node.span.arrived).as_secs_f64())
                    },
                ),
            };
            held += node.ended - from;
            self.path(at, from, node.ended, &mut all);
        }
        all.retain(|whose, _| {
            let own = whose.component == *component;
            match kind {
                // A thread that works is well used; who waits within a part of its work lends it out.
                Kind::Pool => {
                    is_wait(whose.kind) && whose.kind != Kind::Pool && whose.kind != Kind::Queue
                }
                _ => !own || matches!(whose.kind, Kind::Lock | Kind::Cpu),
            }
        });
        (all, held)
    }
}

/// Places that are waited for within places, at most.
const ROUNDS: usize = 8;

fn is_wait(kind: Kind) -> bool {
    !matches!(kind, Kind::Service | Kind::Compute | Kind::Memory)
}

fn kind_of(on: WaitFor) -> Kind {
    match on {
        WaitFor::Place => Kind::Queue,
        WaitFor::Pool => Kind::Pool,
        WaitFor::Lock => Kind::Lock,
        WaitFor::RateLimit => Kind::RateLimit,
        WaitFor::Retry => Kind::Retry,
        WaitFor::Budget => Kind::Budget,
        WaitFor::Disk => Kind::Disk,
        WaitFor::Dependency => Kind::Dependency,
    }
}

fn add(account: &mut Account, node: &Node<'_>, component: &Arc<str>, kind: Kind, seconds: f64) {
    if seconds > 0.0 {
        let whose = Whose {
            component: Arc::clone(component),
            kind,
            agent: node.span.agent.clone(),
            step: Arc::clone(&node.span.step),
        };
        *account.entry(whose).or_default() += seconds;
    }
}
