//! The answer in words.

use super::rank::is_machine;
use super::view::{
    Bottleneck, BottleneckKind as Kind, BottleneckVerdict, Improvement, ResourceFigures,
    StationView, WhatIf,
};

/// Multiples of what tasks took, within which doing them again shows what changes would bring.
const WELL: std::ops::Range<f64> = 0.5..2.0;

pub(super) fn answer(verdict: BottleneckVerdict, first: Option<&Bottleneck>) -> String {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    match (verdict, first) {
        (BottleneckVerdict::NoTasks, _) | (_, None) => "no task has ended in the window".to_owned(),
        (BottleneckVerdict::LightLoad, Some(first)) => format!(
            "nothing is a bottleneck at this load; most of the tasks' time, {}, goes to {}",
            percent(first.share),
            first.component
        ),
        (BottleneckVerdict::Found, Some(first)) => format!(
            "{} is the bottleneck: {}, which costs {} of the tasks' time",
            first.component,
            what(first.kind),
            percent(first.share)
        ),
    }
}

pub(super) fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "its work takes long",
        Kind::Compute => "its work computes long",
        Kind::Cpu => "there are too few processors for what is to be computed",
        Kind::Queue => "tasks wait for a place with it",
        Kind::Imbalance => "tasks wait for it while others could take them",
        Kind::Pool => "tasks wait for one of its threads",
        Kind::Lock => "tasks wait for a lock, or for a thread that serves one at a time",
        Kind::Disk => "tasks wait for the disk",
        Kind::Memory => "memory has to be provided",
        Kind::RateLimit => "a rate limit holds tasks back",
        Kind::Retry => "tries fail and are made again",
        Kind::Budget => "a budget is used up",
        Kind::Dependency => "what it depends on is slow",
        Kind::Errors => "tasks come to nothing",
        Kind::Resource => "work is held up for want of it",
    }
}

pub(super) fn evidence(
    found: &Bottleneck,
    stations: &[StationView],
    resources: &[ResourceFigures],
    seconds: f64,
) -> Vec<String> {
    let mut all = Vec::new();
    let parts: Vec<String> = (found.parts.iter().filter(|part| part.share >= 0.005).take(4))
        .map(|part| format!("{:.1} % {}", 100.0 * part.share, name(part.kind)))
        .collect();
    let of_what = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    all.push(format!("{seconds:.3} s of the tasks' time{of_what}"));
    let of_it = |it: &&StationView| {
        let who = it.agent.as_deref().unwrap_or(&it.step);
        who == found.component
            || (is_machine(&found.component) && found.agent.is_some() && it.agent == found.agent)
    };
    let mut its: Vec<&StationView> = stations.iter().filter(of_it).collect();
    its.sort_by(|a, b| (b.in_service + b.waiting).total_cmp(&(a.in_service + a.waiting)));
    for it in its.into_iter().take(3) {
        all.push(station(it));
        if let (Some(used), Some(most)) = (it.utilisation, it.capacity) {
            all.push(format!(
                "utilisation of {} {:.0} % ({:.1} calls/s × {:.4} s ÷ {most:.0} at once){}",
                it.agent.as_deref().unwrap_or(&it.step),
                100.0 * used,
                it.arrivals_per_s,
                it.service_s,
                it.estimated_wait_s.map_or(String::new(), |wait| format!(
                    "; expected wait {wait:.4} s, observed {:.4} s",
                    it.wait_s
                )),
            ));
        }
    }
    for it in resources.iter().filter(|it| it.name == found.component) {
        all.push(resource(it));
    }
    all
}

/// What would come of changes; `replayed` says how well that can be told.
pub(super) fn estimates(all: &[WhatIf], replayed: Option<f64>) -> Vec<String> {
    let told = all.iter().map(|what_if| {
        let change = match what_if.change {
            Improvement::Faster(share) => format!("{:.0} % faster", 100.0 * share),
            Improvement::MoreCapacity(more) => format!("room for {more} more"),
        };
        format!(
            "with {change}: {:.1} tasks/s (× {:.2}), {:.4} s a task (× {:.2})",
            what_if.tasks_per_s, what_if.throughput, what_if.latency_s, what_if.latency
        )
    });
    let mut told: Vec<String> = told.collect();
    if let Some(times) = replayed.filter(|times| !told.is_empty() && !WELL.contains(times)) {
        told.push(format!(
            "these are rough: done again as they were recorded, tasks take {times:.1} times as long as they took"
        ));
    }
    told
}

fn station(it: &StationView) -> String {
    let who = match &it.agent {
        Some(agent) => format!("{} of {agent}", it.step),
        None => it.step.clone(),
    };
    format!(
        "{who}: {} calls, {:.1} in service and {:.1} waiting on average, {:.4} s service, {:.4} s wait, {:.0} % failed",
        it.arrivals,
        it.in_service,
        it.waiting,
        it.service_s,
        it.wait_s,
        100.0 * it.failed
    )
}

fn resource(it: &ResourceFigures) -> String {
    let share = |name: &str, value: Option<f64>| {
        value.map(|value| format!("{name} {:.0} %", 100.0 * value))
    };
    let said = [
        share("utilisation", it.utilisation),
        share("saturation", it.saturation),
        share("errors", it.errors),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    format!("{}: {}", it.name, said.join(", "))
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "at work, not on a processor",
        Kind::Compute => "on a processor",
        Kind::Cpu => "ready to run, without a processor",
        Kind::Queue | Kind::Imbalance => "waiting for a place",
        Kind::Pool => "waiting for a thread",
        Kind::Lock => "waiting for a lock",
        Kind::Disk => "waiting for the disk",
        Kind::Memory => "getting memory",
        Kind::RateLimit => "held back by a rate limit",
        Kind::Retry => "in failed tries and pauses after them",
        Kind::Budget => "refused by a budget",
        Kind::Dependency => "waiting for something outside",
        Kind::Errors => "lost to failures",
        Kind::Resource => "held up for want of it",
    }
}
