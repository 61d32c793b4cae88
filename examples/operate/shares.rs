//! Who of several agents with one skill got the work, over time: what the kernel's router has learned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use sutazai_core::kernel::Kernel;

use super::fleet::Member;

const PAUSE: Duration = Duration::from_millis(10);
/// Columns of the chart.
const COLUMNS: usize = 32;
/// Samples that are kept, at most: beyond that every second one goes, and the pause doubles.
const MOST: usize = 4096;

/// Counts calls until it is asked for the result.
pub struct Watch {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Allocation>>,
}

/// How the calls for one skill were shared out.
#[derive(Serialize)]
pub struct Allocation {
    /// Which skill.
    pub skill: &'static str,
    /// Its agents.
    pub agents: Vec<Share>,
}

/// One agent's share.
#[derive(Serialize)]
pub struct Share {
    /// Who.
    pub agent: String,
    /// Its calls in all.
    pub calls: u64,
    /// Its share of the calls, from 0 to 1, in equal parts of the run; none where there were no calls.
    pub over_time: Vec<Option<f64>>,
}

impl Watch {
    /// Begins to count. `None` when no thread can be had, or there is nothing to share.
    pub fn begin(kernel: &Kernel, fleet: &[Member]) -> Option<Self> {
        let skills: Vec<(&'static str, Vec<String>)> = skills(fleet);
        if skills.is_empty() {
            return None;
        }
        let (kernel, done) = (kernel.clone(), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&done);
        let count = move || {
            let names: Vec<&String> = skills.iter().flat_map(|(_, agents)| agents).collect();
            // An agent's figures are kept from run to run.
            let before = calls(&kernel, &names);
            let calls = |kernel: &Kernel, names: &[&String]| -> Vec<u64> {
                calls(kernel, names).iter().zip(&before).map(|(now, then)| now - then).collect()
            };
            let (mut samples, mut pause) = (vec![vec![0; names.len()]], PAUSE);
            while !stop.load(Relaxed) {
                std::thread::sleep(pause);
                samples.push(calls(&kernel, &names));
                if samples.len() > MOST {
                    let mut keep = false;
                    samples.retain(|_| {
                        keep = !keep;
                        keep
                    });
                    pause *= 2;
                }
            }
            samples.push(calls(&kernel, &names));
            let mut from = 0;
            let each = skills.into_iter().map(|(skill, agents)| {
                let columns = from..from + agents.len();
                from = columns.end;
                let parts: Vec<&[u64]> =
                    samples.iter().filter_map(|sample| sample.get(columns.clone())).collect();
                Allocation { skill, agents: shares(agents, &parts) }
            });
            each.collect()
        };
        let thread = std::thread::Builder::new().name("operate-shares".to_owned()).spawn(count);
        Some(Self { done, thread: thread.ok()? })
    }

    /// What came of it.
    pub fn end(self) -> Vec<Allocation> {
        self.done.store(true, Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// The skills that several agents have, with these.
fn skills(fleet: &[Member]) -> Vec<(&'static str, Vec<String>)> {
    let mut skills: Vec<(&'static str, Vec<String>)> = Vec::new();
    for member in fleet.iter().filter(|member| member.unavailable.is_none()) {
        match skills.iter_mut().find(|(skill, _)| *skill == member.skill) {
            Some((_, agents)) => agents.extend(member.agents.iter().cloned()),
            None => skills.push((member.skill, member.agents.clone())),
        }
    }
    skills.retain(|(_, agents)| agents.len() > 1);
    skills
}

fn calls(kernel: &Kernel, names: &[&String]) -> Vec<u64> {
    names.iter().map(|name| kernel.agent(name).map_or(0, |view| view.stats.calls)).collect()
}

/// Shares in equal parts of the time between the first call and the last one.
fn shares(agents: Vec<String>, samples: &[&[u64]]) -> Vec<Share> {
    let total = |sample: &&[u64]| sample.iter().sum::<u64>();
    let last = samples.last().map_or(0, total);
    // Before the first call and after the last one nothing was shared out.
    let begin = samples.iter().rposition(|sample| total(sample) == 0).unwrap_or(0);
    let end = samples.iter().position(|sample| total(sample) == last).unwrap_or(0);
    let part = |column: usize| begin + (end - begin.min(end)) * column / COLUMNS;
    let at = |place: usize, agent: usize| {
        samples.get(place).and_then(|sample| sample.get(agent)).copied().unwrap_or(0)
    };
    let columns = 0..COLUMNS.min(end.saturating_sub(begin));
    let of = |(index, agent): (usize, String)| {
        let over_time = columns.clone().map(|column| {
            let (from, to) = (part(column), part(column + 1));
            let of_all = samples.get(to).map_or(0, total) - samples.get(from).map_or(0, total);
            let own = at(to, index) - at(from, index);
            (of_all > 0).then(|| own as f64 / of_all as f64)
        });
        let over_time = over_time.collect();
        Share { agent, calls: at(samples.len().saturating_sub(1), index), over_time }
    };
    agents.into_iter().enumerate().map(of).collect()
}

impl Share {
    /// Its share over time, a character a part: from nothing to all.
    pub fn chart(&self) -> String {
        const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let bar = |share: &Option<f64>| match share {
            Some(share) => {
                let height = (share * 8.0).round().clamp(0.0, 8.0) as usize;
                BARS.get(height).copied().unwrap_or(' ')
            }
            None => '·',
        };
        self.over_time.iter().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_calls() {
        let mut samples: Vec<[u64; 2]> = vec![[0, 0], [0, 0]];
        for n in 1..=64_u64 {
            // The second one gets everything from the middle on.
            samples.push([n.min(32), n.saturating_sub(32)]);
        }
        samples.extend([[32, 32]; 9]);
        let samples: Vec<&[u64]> = samples.iter().map(<[u64; 2]>::as_slice).collect();
        let shares = shares(vec!["a".to_owned(), "b".to_owned()], &samples);
        assert_eq!((shares[0].calls, shares[1].calls), (32, 32));
        assert_eq!(shares[0].chart(), "████████████████                ");
        assert_eq!(shares[1].chart(), "                ████████████████");
        let none = super::shares(vec!["a".to_owned()], &[&[0], &[0]]);
        assert_eq!(none[0].chart(), "");
    }
}
