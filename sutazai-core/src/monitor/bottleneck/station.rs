//! Each agent and step as a queue, and what its time goes to.
//!
//! Utilisation and Little's laws are those of Denning and Buzen, "The operational analysis of queueing network models" (Computing
//! Surveys 10, 1978): they hold for what was observed, whatever the distributions. The estimate of the wait is Allen and Cunneen's
//! (Allen, *Probability, Statistics, and Queueing Theory*, 1990), with one server Kingman's (1961).

use std::collections::HashMap;
use std::sync::Arc;

use super::blame::POOL;
use super::span::{Wait, WaitFor};
use super::trace::Traces;
use super::view::StationView;

/// Where the time of a station's own work goes, in shares of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Makeup {
    pub(super) cpu: f64,
    pub(super) runnable: f64,
    pub(super) memory: f64,
    pub(super) locked: f64,
    pub(super) disk: f64,
    /// Asleep, outside, or unknown.
    pub(super) other: f64,
}

/// Looks before their shares mean something.
const LOOKS: f64 = 8.0;

#[derive(Default)]
struct Sums {
    service: f64,
    covered: f64,
    measured: f64,
    /// Service of those that were measured.
    of_measured: f64,
    cpu: f64,
    runnable: f64,
    memory: f64,
    looks: f64,
    running: f64,
    locked: f64,
    disk: f64,
}

/// What the time of each station's own work goes to.
pub(super) fn makeups(traces: &Traces<'_>) -> Vec<Makeup> {
    let mut sums: Vec<Sums> = traces.stations.iter().map(|_| Sums::default()).collect();
    for node in &traces.nodes {
        let Some(sum) = sums.get_mut(node.station) else { continue };
        let did = &node.span.activity;
        sum.service += node.service();
        sum.covered += traces.covered(node, node.started, node.ended);
        if did.measured_s > 0.0 && did.measured_s.is_finite() {
            sum.measured += did.measured_s;
            sum.of_measured += node.service().max(did.measured_s);
            sum.cpu += did.cpu_s.clamp(0.0, did.measured_s);
            sum.runnable += did.runnable_s.clamp(0.0, did.measured_s);
            sum.memory += did.memory_s.clamp(0.0, did.measured_s);
        }
        sum.looks += did.looks();
        sum.running += f64::from(did.running);
        sum.locked += f64::from(did.locked);
        sum.disk += f64::from(did.disk);
    }
    let mut makeups: Vec<Makeup> = sums.iter().map(Sums::makeup).collect();
    if !somebody_has_it(traces, &makeups) {
        // They wait for a thread that is nobody's here, and not for one another.
        for makeup in &mut makeups {
            makeup.other += makeup.locked;
            makeup.locked = 0.0;
        }
    }
    makeups
}

/// A lock that is waited for is had by somebody, who does not wait for it: of those at work at a time, close to one at least.
fn somebody_has_it(traces: &Traces<'_>, makeups: &[Makeup]) -> bool {
    let (mut times, mut at_work) = (Vec::new(), 0.0);
    for node in &traces.nodes {
        let Some(makeup) = makeups.get(node.station).filter(|it| it.locked > 0.0) else { continue };
        let own = node.service() - traces.covered(node, node.started, node.ended);
        at_work += own.max(0.0) * (1.0 - makeup.locked);
        times.push((node.started, node.ended));
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut busy, mut until) = (0.0, f64::NEG_INFINITY);
    for (from, to) in times {
        busy += (to - from.max(until)).max(0.0);
        until = until.max(to);
    }
    busy > 0.0 && at_work >= HAD * busy
}

/// Of the time, to allow for what looks miss.
const HAD: f64 = 0.6;

impl Sums {
    fn makeup(&self) -> Makeup {
        if self.service <= 0.0 {
            return Makeup { other: 1.0, ..Makeup::default() };
        }
        // Whoever waits for a part of its work waits for another thread, and that is not its own time.
        let own = (1.0 - self.covered / self.service).max(0.02);
        let (mut cpu, mut runnable, mut memory) = (0.0, 0.0, 0.0);
        if self.of_measured > 0.0 {
            memory = self.memory / self.of_measured;
            cpu = (self.cpu / self.of_measured - memory).max(0.0);
            runnable = self.runnable / self.of_measured;
        } else if self.looks >= LOOKS {
            cpu = self.running / self.looks;
        }
        let (mut locked, mut disk) = (0.0, 0.0);
        if self.looks >= LOOKS {
            let blocked = (1.0 - cpu - runnable - memory).max(0.0);
            // The measure of who runs is the better one: looks share out the rest.
            let rest = (self.looks - self.running).max(0.0);
            if rest > 0.0 {
                locked = (blocked * self.locked / rest - self.covered / self.service).max(0.0);
                disk = blocked * self.disk / rest;
            }
        }
        let mut makeup = Makeup {
            cpu: cpu / own,
            runnable: runnable / own,
            memory: memory / own,
            locked: locked / own,
            disk: disk / own,
            other: 0.0,
        };
        let sum = makeup.cpu + makeup.runnable + makeup.memory + makeup.locked + makeup.disk;
        if sum > 1.0 {
            for part in [
                &mut makeup.cpu,
                &mut makeup.runnable,
                &mut makeup.memory,
                &mut makeup.locked,
                &mut makeup.disk,
            ] {
                *part /= sum;
            }
        }
        makeup.other = (1.0 - sum).max(0.0);
        makeup
    }
}

/// Each station's figures, in the order of [`Traces::stations`].
pub(super) fn views(traces: &Traces<'_>, capacity: &HashMap<Arc<str>, f64>) -> Vec<StationView> {
    let mut members: Vec<Vec<usize>> = traces.stations.iter().map(|_| Vec::new()).collect();
    for (at, node) in traces.nodes.iter().enumerate() {
        if let Some(list) = members.get_mut(node.station) {
            list.push(at);
        }
    }
    let each = traces.stations.iter().zip(&members);
    each.map(|((step, agent), members)| {
        let known = agent.as_ref().and_then(|agent| capacity.get(agent).copied());
        view(traces, step, agent.as_ref(), members, known)
    })
    .collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts of a window")]
fn view(
    traces: &Traces<'_>,
    step: &Arc<str>,
    agent: Option<&Arc<str>>,
    members: &[usize],
    capacity: Option<f64>,
) -> StationView {
    let nodes: Vec<_> = members.iter().filter_map(|at| traces.node(*at)).collect();
    let n = nodes.len() as f64;
    let span = (traces.last - traces.first).max(1e-9);
    let service: Vec<f64> = nodes.iter().map(|node| node.service()).collect();
    let waits: f64 = nodes.iter().map(|node| node.started - node.arrived).sum();
    let mut arrivals: Vec<f64> = nodes.iter().map(|node| node.arrived).collect();
    arrivals.sort_by(f64::total_cmp);
    let between: Vec<f64> =
        arrivals.iter().zip(arrivals.iter().skip(1)).map(|(a, b)| b - a).collect();
    let (service_s, service_scv) = mean_and_scv(&service);
    let (_, arrival_scv) = mean_and_scv(&between);
    let rate = n / span;
    let failed = nodes.iter().filter(|node| node.span.failure.is_some()).count() as f64;
    // The edges of the window are not steady: the middle four fifths are looked at.
    let (from, to) = (traces.first + 0.1 * span, traces.last - 0.1 * span);
    let present = nodes
        .iter()
        .map(|node| (node.ended.min(to) - node.arrived.max(from)).max(0.0))
        .sum::<f64>();
    let inside: Vec<f64> = nodes
        .iter()
        .filter(|node| node.arrived >= from && node.arrived < to)
        .map(|node| node.ended - node.arrived)
        .collect();
    let middle = (to - from).max(1e-9);
    let utilisation = capacity.map(|most| rate * service_s / most.max(1e-9));
    StationView {
        step: step.to_string(),
        agent: agent.map(ToString::to_string),
        arrivals: nodes.len() as u64,
        arrivals_per_s: rate,
        in_service: service.iter().sum::<f64>() / span,
        waiting: waits / span,
        service_s,
        wait_s: if n > 0.0 { waits / n } else { 0.0 },
        capacity,
        utilisation,
        little: inside.iter().sum::<f64>() / middle,
        observed: present / middle,
        arrival_scv,
        service_scv,
        estimated_wait_s: capacity
            .and_then(|most| allen_cunneen(rate, service_s, most, arrival_scv, service_scv)),
        failed: if n > 0.0 { failed / n } else { 0.0 },
    }
}

/// Mean, and variance over squared mean; 0 where there is nothing to tell.
#[allow(clippy::cast_precision_loss, reason = "counts of a window")]
pub(super) fn mean_and_scv(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if mean <= 0.0 || values.len() < 2 {
        return (mean.max(0.0), 0.0);
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance / (mean * mean))
}

/// Mean wait of a queue with this many servers.
pub(super) fn allen_cunneen(
    rate: f64,
    service_s: f64,
    servers: f64,
    arrival_scv: f64,
    service_scv: f64,
) -> Option<f64> {
    let offered = rate * service_s;
    let utilisation = offered / servers;
    if !(utilisation.is_finite() && utilisation < 1.0 && (1.0..=1e6).contains(&servers)) {
        return None;
    }
    // Erlang B by its recurrence, and C from it.
    let mut blocked = 1.0;
    let mut busy = 1.0;
    while busy <= servers {
        blocked = offered * blocked / (busy + offered * blocked);
        busy += 1.0;
    }
    let waits = blocked / (1.0 - utilisation * (1.0 - blocked));
    let spread = f64::midpoint(arrival_scv, service_scv);
    Some(spread * waits * service_s / (servers * (1.0 - utilisation)))
}

/// How many an agent (or the pool) can do at once: what was said, else the most that were seen while some waited.
pub(super) fn capacities(
    traces: &Traces<'_>,
    said: &HashMap<Arc<str>, f64>,
) -> HashMap<Arc<str>, f64> {
    let mut all = said.clone();
    let mut waited: HashMap<&Arc<str>, f64> = HashMap::new();
    for wait in traces.nodes.iter().flat_map(|node| &node.span.waits) {
        if matches!(wait.on, WaitFor::Place) {
            *waited.entry(&wait.what).or_default() += wait.to.since(wait.from).as_secs_f64();
        }
    }
    for (agent, _) in waited.into_iter().filter(|(_, seconds)| *seconds > 1e-3) {
        if !all.contains_key(agent) {
            let most = most_at_once(traces, agent);
            all.insert(Arc::clone(agent), most.max(1.0));
        }
    }
    all
}

/// Whether all that waited for a thread of the pool can have kept it until they ended.
pub(super) fn kept_threads(traces: &Traces<'_>, most: f64) -> bool {
    let waited = |wait: &Wait| wait.on == WaitFor::Pool && &*wait.what == POOL;
    let (mut held, mut began, mut ended) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
    for node in traces.nodes.iter().filter(|node| node.span.waits.iter().any(waited)) {
        held += node.service();
        (began, ended) = (began.min(node.started), ended.max(node.ended));
    }
    held <= 1.05 * most * (ended - began).max(0.0)
}

fn most_at_once(traces: &Traces<'_>, agent: &Arc<str>) -> f64 {
    let mut edges: Vec<(f64, f64)> = Vec::new();
    for node in traces.nodes.iter().filter(|node| node.span.agent.as_ref() == Some(agent)) {
        edges.push((node.started, 1.0));
        edges.push((node.ended, -1.0));
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (mut now, mut most) = (0.0, 0.0_f64);
    for (_, step) in edges {
        now += step;
        most = most.max(now);
    }
    most
}
