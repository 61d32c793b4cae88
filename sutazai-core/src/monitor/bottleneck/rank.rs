//! One answer: components by what they cost the tasks, with the figures behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::blame::{Account, Blame, CPU, Mostly, POOL, Stated};
use super::model::{Changed, Ground};
use super::policy::BottleneckPolicy;
use super::replay::{Replay, Replayed};
use super::span::WorkSpan;
use super::station::{Makeup, capacities, kept_threads, makeups, views};
use super::trace::Traces;
use super::view::{
    Bottleneck, BottleneckKind as Kind, BottleneckVerdict, Bottlenecks, Improvement, Part,
    ResourceFigures, StationView, WhatIf,
};
use super::words;
use crate::base::nearest::nearest;
use crate::{Code, Error, Result};

/// What is known beside the spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// How many calls agents can do at once, where that is bounded; and `pool`, the kernel's threads for blocking work.
    pub capacity: HashMap<Arc<str>, f64>,
    /// Processors; 0 where that is not known.
    pub cores: f64,
    /// Utilisation, saturation and errors of resources.
    pub resources: Vec<ResourceFigures>,
}

/// A window that has been looked at.
pub(super) struct Looked<'a> {
    policy: &'a BottleneckPolicy,
    traces: Traces<'a>,
    makeups: Vec<Makeup>,
    capacity: HashMap<Arc<str>, f64>,
    mostly: Mostly,
    cores: f64,
    resources: Vec<ResourceFigures>,
}

/// One component's entries of the account.
#[derive(Default)]
struct Cost {
    seconds: f64,
    kinds: BTreeMap<Kind, f64>,
    agents: BTreeMap<Arc<str>, f64>,
    steps: BTreeMap<Arc<str>, f64>,
}

impl<'a> Looked<'a> {
    pub(super) fn at(
        spans: impl Iterator<Item = &'a WorkSpan>,
        around: &Surroundings,
        policy: &'a BottleneckPolicy,
    ) -> Self {
        let mut traces = Traces::new(spans);
        let whole = traces.whole();
        drop_others(&mut traces, &whole);
        let makeups = makeups(&traces);
        let sane = |most: &f64| most.is_finite() && *most >= 1.0;
        let said = around.capacity.iter().filter(|(_, most)| sane(most));
        let said = said.map(|(name, most)| (Arc::clone(name), *most)).collect();
        let mut capacity = capacities(&traces, &said);
        // Those that were given a thread have not kept it where that is not possible: they wait, and that is all.
        if capacity.get(POOL).is_some_and(|most| !kept_threads(&traces, *most)) {
            capacity.remove(POOL);
        }
        let mostly = Mostly::of(&traces, &makeups);
        let cores = if sane(&around.cores) { around.cores } else { 1.0 };
        let resources = around.resources.iter().map(sound).collect();
        Self { policy, traces, makeups, capacity, mostly, cores, resources }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a window")]
    pub(super) fn answer(self, forgotten: u64) -> Bottlenecks {
        let tasks = self.traces.roots.len();
        let seconds = self.traces.last - self.traces.first;
        let time: f64 = self.traces.tasks().map(|(_, task)| task.ended - task.arrived).sum();
        let latency_s = if tasks > 0 { time / tasks as f64 } else { 0.0 };
        let stations = views(&self.traces, &self.capacity);
        let stated = self.stated();
        let blame = Blame {
            traces: &self.traces,
            makeups: &self.makeups,
            stated: &stated,
            mostly: Mostly {
                cpu: self.mostly.cpu.clone(),
                lock: self.mostly.lock.clone(),
                disk: self.mostly.disk.clone(),
            },
        };
        let mut account = blame.tasks();
        let well: Vec<f64> = (self.traces.tasks())
            .filter(|(_, task)| task.span.failure.is_none())
            .map(|(_, task)| task.ended - task.arrived)
            .collect();
        let mean = match well.is_empty() {
            true => latency_s,
            false => well.iter().sum::<f64>() / well.len() as f64,
        };
        let lost = blame.failures(mean, &mut account);
        let sum = time + lost;
        let waits: f64 =
            account.iter().filter(|(whose, _)| waits(whose.kind)).map(|(_, s)| s).sum();
        let waiting = if sum > 0.0 { waits / sum } else { 0.0 };
        let account = blame.hand_on(account);
        let before = self.replay(None);
        let costs = costs(account);
        let ranked: Vec<Bottleneck> = costs
            .into_iter()
            .take(self.policy.ranked as usize)
            .map(|(name, cost)| self.bottleneck(&name, &cost, sum, before, &stations))
            .collect();
        let held_up: f64 = stated.iter().map(|stated| stated.share).sum();
        let troubles = (lost / sum.max(1e-12)).max(held_up);
        let verdict = self.verdict(tasks, time / seconds.max(1e-9), waiting, troubles);
        Bottlenecks {
            verdict,
            says: words::answer(verdict, ranked.first()),
            ranked,
            tasks: tasks as u64,
            seconds,
            tasks_per_s: if seconds > 0.0 { tasks as f64 / seconds } else { 0.0 },
            latency_s,
            waiting,
            replayed: self.replayed(before),
            forgotten,
            stations,
            resources: self.resources,
        }
    }

    fn verdict(&self, tasks: usize, at_once: f64, waiting: f64, lost: f64) -> BottleneckVerdict {
        let light = self.policy.light_wait;
        if tasks == 0 {
            BottleneckVerdict::NoTasks
        } else if at_once < self.policy.light_load && at_once * waiting < light && lost < light {
            BottleneckVerdict::LightLoad
        } else {
            BottleneckVerdict::Found
        }
    }

    fn stated(&self) -> Vec<Stated> {
        let mut all: Vec<Stated> = self
            .resources
            .iter()
            .filter(|resource| !resource.shared)
            .map(|resource| Stated {
                name: resource.name.as_str().into(),
                share: held_up(resource),
            })
            .filter(|stated| stated.share > 0.0)
            .collect();
        let sum: f64 = all.iter().map(|stated| stated.share).sum();
        if sum > 1.0 {
            all.iter_mut().for_each(|stated| stated.share /= sum);
        }
        all
    }

    fn bottleneck(
        &self,
        name: &Arc<str>,
        cost: &Cost,
        sum: f64,
        before: Option<Replayed>,
        stations: &[StationView],
    ) -> Bottleneck {
        let sum = sum.max(1e-12);
        let mut parts: Vec<Part> = (cost.kinds.iter())
            .map(|(kind, seconds)| Part { kind: *kind, share: seconds / sum })
            .collect();
        parts.sort_by(|a, b| b.share.total_cmp(&a.share));
        let mut kind = leading(&parts);
        if kind == Kind::Queue && self.others_idle(name, stations) {
            kind = Kind::Imbalance;
        }
        let most = |of: &BTreeMap<Arc<str>, f64>| {
            let most = of.iter().max_by(|a, b| a.1.total_cmp(b.1));
            most.map(|(name, _)| name.to_string())
        };
        let mut found = Bottleneck {
            component: name.to_string(),
            kind,
            agent: most(&cost.agents),
            step: most(&cost.steps),
            share: cost.seconds / sum,
            parts,
            evidence: Vec::new(),
            what_if: Vec::new(),
        };
        let mut changes = vec![Improvement::Faster(self.policy.faster)];
        if self.capacity.contains_key(name) {
            changes.push(Improvement::MoreCapacity(1));
        }
        found.what_if =
            changes.into_iter().filter_map(|by| self.what_if(name, None, by, before)).collect();
        found.evidence = words::evidence(&found, stations, &self.resources, cost.seconds);
        found.evidence.extend(words::estimates(&found.what_if, self.replayed(before)));
        found
    }

    /// Whether others that do the same step are used far less than this agent.
    fn others_idle(&self, name: &Arc<str>, stations: &[StationView]) -> bool {
        let own = stations.iter().filter(|it| it.agent.as_deref() == Some(&**name));
        let Some(own) = own.max_by(|a, b| a.waiting.total_cmp(&b.waiting)) else { return false };
        let used = |it: &StationView| it.utilisation.unwrap_or(it.in_service);
        let others: Vec<&StationView> = (stations.iter())
            .filter(|it| it.step == own.step && it.agent.is_some() && it.agent != own.agent)
            .collect();
        !others.is_empty() && others.iter().all(|it| used(it) < 0.5 * used(own))
    }

    fn ground(&self) -> Ground<'_, 'a> {
        Ground {
            traces: &self.traces,
            makeups: &self.makeups,
            capacity: &self.capacity,
            lock: self.mostly.lock.as_ref(),
            cores: self.cores,
        }
    }

    /// How long tasks take when they are done again, as a multiple of what they took.
    fn replayed(&self, before: Option<Replayed>) -> Option<f64> {
        let (_, took) = self.seen();
        before.map(|before| if took > 0.0 { before.latency / took } else { 1.0 })
    }

    fn replay(&self, changed: Option<&Changed<'_>>) -> Option<Replayed> {
        Replay::run(&self.ground().model(changed))
    }

    /// Nothing where there is nothing to do again.
    pub(super) fn what_if(
        &self,
        component: &str,
        step: Option<&str>,
        by: Improvement,
        before: Option<Replayed>,
    ) -> Option<WhatIf> {
        let before = before.or_else(|| self.replay(None))?;
        let after = self.replay(Some(&Changed { component, step, by }))?;
        let (throughput, latency) = (
            after.throughput / before.throughput.max(1e-12),
            if before.latency > 0.0 { after.latency / before.latency } else { 1.0 },
        );
        // What was seen, changed as the recording is: what the model gets wrong is in both.
        let (seen, took) = self.seen();
        let (tasks_per_s, latency_s) = (seen * throughput, took * latency);
        Some(WhatIf { change: by, throughput, latency, tasks_per_s, latency_s })
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a window")]
    fn seen(&self) -> (f64, f64) {
        let n = self.traces.roots.len().max(1) as f64;
        let time: f64 = self.traces.tasks().map(|(_, task)| task.ended - task.arrived).sum();
        let seconds = self.traces.last - self.traces.first;
        (if seconds > 0.0 { n / seconds } else { 0.0 }, time / n)
    }

    /// # Errors
    /// [`Code::NOT_FOUND`] where no task has anything to do with the component, or this step of it, with the names that are near.
    pub(super) fn check_known(&self, component: &str, step: Option<&str>) -> Result<()> {
        let nodes = &self.traces.nodes;
        let (mut names, mut steps) = (BTreeSet::from([CPU, POOL, "lock", "disk"]), BTreeSet::new());
        for node in nodes {
            names.insert(node.owner());
            names.extend(node.span.waits.iter().map(|wait| &*wait.what));
            if **node.owner() == *component {
                steps.insert(&*node.span.step);
            }
        }
        names.extend(self.capacity.keys().map(|name| &**name));
        names.extend(self.mostly.lock.iter().map(|name| &**name));
        if !names.contains(component) {
            let problem = "no task of the window has anything to do with this component";
            return Err(unknown(problem, component, &names).with("component", shown(component)));
        }
        match step {
            Some(step) if !steps.contains(step) => {
                let problem = "no task of the window has this step of the component";
                let error = unknown(problem, step, &steps).with("component", shown(component));
                Err(error.with("step", shown(step)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn has_tasks(&self) -> bool {
        !self.traces.roots.is_empty()
    }
}

/// Names that are told where none is near.
const NAMES: usize = 10;

fn unknown(problem: &'static str, name: &str, names: &BTreeSet<&str>) -> Error {
    let error = Error::new(Code::NOT_FOUND, problem).operation("monitor.what_if");
    match nearest(name, names.iter().copied()) {
        Some(near) => error.advice(format!("did you mean '{near}'?")),
        None => {
            let some: Vec<&str> = names.iter().copied().take(NAMES).collect();
            let more = if names.len() > NAMES { ", …" } else { "" };
            error.advice(format!("one of: {}{more}", some.join(", ")))
        }
    }
}

fn shown(name: &str) -> String {
    name.chars().take(200).flat_map(char::escape_debug).collect()
}

/// Spans that are part of no whole task would be time that nobody has waited for.
fn drop_others(traces: &mut Traces<'_>, whole: &[bool]) {
    for (node, whole) in traces.nodes.iter_mut().zip(whole) {
        if !whole {
            node.started = node.arrived;
            node.ended = node.arrived;
        }
    }
}

fn costs(account: Account) -> Vec<(Arc<str>, Cost)> {
    let mut costs: BTreeMap<Arc<str>, Cost> = BTreeMap::new();
    for (whose, seconds) in account {
        let cost = costs.entry(whose.component).or_default();
        cost.seconds += seconds;
        *cost.kinds.entry(whose.kind).or_default() += seconds;
        *cost.steps.entry(whose.step).or_default() += seconds;
        if let Some(agent) = whose.agent {
            *cost.agents.entry(agent).or_default() += seconds;
        }
    }
    let mut costs: Vec<_> = costs.into_iter().filter(|(_, cost)| cost.seconds > 0.0).collect();
    costs.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds).then_with(|| a.0.cmp(&b.0)));
    costs
}

/// The kind with the most of it; computing and waiting for a processor to do so belong together.
fn leading(parts: &[Part]) -> Kind {
    let family = |kind: Kind| match kind {
        Kind::Compute | Kind::Cpu => Kind::Cpu,
        Kind::Errors | Kind::Retry => Kind::Retry,
        other => other,
    };
    let mut sums: BTreeMap<Kind, f64> = BTreeMap::new();
    for part in parts {
        *sums.entry(family(part.kind)).or_default() += part.share;
    }
    let most = sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(kind, _)| kind);
    let first = parts.iter().find(|part| Some(family(part.kind)) == most);
    first.map_or(Kind::Service, |part| part.kind)
}

fn waits(kind: Kind) -> bool {
    !matches!(kind, Kind::Service | Kind::Compute | Kind::Memory | Kind::Disk | Kind::Dependency)
}

/// Share of the time that a resource holds work up. What is only said to be full holds up more, the fuller it is.
fn held_up(resource: &ResourceFigures) -> f64 {
    let full = resource.utilisation.map_or(0.0, |used| ((used - 0.8) / 0.2).clamp(0.0, 1.0) * 0.5);
    let held = resource.saturation.unwrap_or(full);
    held.max(resource.errors.unwrap_or(0.0)).clamp(0.0, 1.0)
}

fn sound(resource: &ResourceFigures) -> ResourceFigures {
    let share = |value: Option<f64>| value.filter(|it| it.is_finite()).map(|it| it.clamp(0.0, 1.0));
    ResourceFigures {
        name: resource.name.clone(),
        utilisation: share(resource.utilisation),
        saturation: share(resource.saturation),
        errors: share(resource.errors),
        shared: resource.shared,
    }
}

/// Names that components have beside those of agents and steps.
pub(super) fn is_machine(name: &str) -> bool {
    [CPU, POOL, "lock", "disk"].contains(&name)
}
