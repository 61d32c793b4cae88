//! Eight agents of eight slots that serve the arrivals of a production trace, one of which becomes slow: what
//! callers wait for, and how much is still sent to the slow one.

use std::collections::{BinaryHeap, VecDeque};
use std::path::Path;
use std::time::Duration;

use sutazai_core::agent::route::{Allocator, Arm, Ask, Ended, RoutePolicy};
use sutazai_core::base::time::Moment;

pub const AGENTS: usize = 8;
const SLOTS: usize = 8;
/// When one agent becomes slow, and which one.
pub const ONSET: Duration = Duration::from_secs(600);
pub const SLOW: usize = 3;

/// A call of the trace.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub at: Duration,
    /// How long an agent works on it.
    pub service: Duration,
}

/// Reads `traces/azure_llm_*.csv`: 0.2 s and 20 ms for each generated token.
pub fn read_trace(path: &Path) -> Vec<Arrival> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut first = None;
    text.lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',');
            let at = seconds(fields.next().unwrap());
            let tokens: f64 = fields.nth(1).unwrap().trim().parse().unwrap();
            Arrival {
                at: Duration::from_secs_f64((at - *first.get_or_insert(at)).max(0.0)),
                service: Duration::from_secs_f64(0.2 + 0.02 * tokens),
            }
        })
        .collect()
}

/// Of `2023-11-16 18:15:46.6805900`, the seconds of the month.
fn seconds(stamp: &str) -> f64 {
    let (date, time) = stamp.split_once(' ').unwrap();
    let day: f64 = date.rsplit('-').next().unwrap().parse().unwrap();
    time.split(':').fold(day * 24.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

/// Who sends calls to agents.
pub trait Balancer {
    /// Chooses for a call that arrives `now`; `in_flight` says what each agent has under way.
    fn choose(&mut self, call: usize, now: Duration, in_flight: &[u32; AGENTS]) -> usize;
    /// A call has its answer.
    fn done(&mut self, call: usize, now: Duration);
}

/// What came of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// Seconds from arrival to answer: of all calls.
    pub p50: f64,
    pub p99: f64,
    /// Of those that arrived after the onset.
    pub p99_after: f64,
    /// How much of what arrived later than 60 s after the onset went to the slow one.
    pub slow_share: f64,
}

#[derive(Default)]
struct Agent {
    busy: usize,
    waiting: VecDeque<usize>,
}

/// Serves the arrivals; the slow agent takes `factor` times as long for what it begins from the onset until
/// `healed`.
pub fn simulate(
    arrivals: &[Arrival],
    factor: f64,
    healed: Duration,
    balancer: &mut dyn Balancer,
) -> Waits {
    let mut agents: [Agent; AGENTS] = std::array::from_fn(|_| Agent::default());
    let mut in_flight = [0; AGENTS];
    let mut ends = BinaryHeap::new();
    let mut chosen = vec![0; arrivals.len()];
    let mut waits = vec![0.0; arrivals.len()];
    let begin = |agent: usize, call: usize, now: Duration| {
        let slow = agent == SLOW && (ONSET..healed).contains(&now);
        let service = arrivals[call].service;
        std::cmp::Reverse((now + if slow { service.mul_f64(factor) } else { service }, call))
    };
    let mut next = 0;
    loop {
        let arrival = arrivals.get(next).map(|a| a.at);
        let end = ends.peek().map(|std::cmp::Reverse((at, _))| *at);
        match (arrival, end) {
            (Some(at), end) if end.is_none_or(|end| at < end) => {
                let agent = balancer.choose(next, at, &in_flight);
                chosen[next] = agent;
                in_flight[agent] += 1;
                if agents[agent].busy < SLOTS {
                    agents[agent].busy += 1;
                    ends.push(begin(agent, next, at));
                } else {
                    agents[agent].waiting.push_back(next);
                }
                next += 1;
            }
            (_, Some(now)) => {
                let std::cmp::Reverse((_, call)) = ends.pop().unwrap();
                let agent = chosen[call];
                in_flight[agent] -= 1;
                waits[call] = (now - arrivals[call].at).as_secs_f64();
                balancer.done(call, now);
                match agents[agent].waiting.pop_front() {
                    Some(waiting) => ends.push(begin(agent, waiting, now)),
                    None => agents[agent].busy -= 1,
                }
            }
            _ => break,
        }
    }
    let later = arrivals.partition_point(|a| a.at < ONSET + Duration::from_secs(60));
    let to_slow = chosen[later..].iter().filter(|&&agent| agent == SLOW).count();
    let onset = arrivals.partition_point(|a| a.at < ONSET);
    Waits {
        p50: quantile(&waits, 0.5),
        p99: quantile(&waits, 0.99),
        p99_after: quantile(&waits[onset..], 0.99),
        slow_share: to_slow as f64 / (arrivals.len() - later).max(1) as f64,
    }
}

fn quantile(waits: &[f64], q: f64) -> f64 {
    let mut sorted = waits.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

/// Ours.
pub struct Ours {
    allocator: Allocator,
    numbers: Vec<u64>,
    names: [String; AGENTS],
}

impl Ours {
    pub fn new(policy: RoutePolicy, seed: u64) -> Self {
        Self {
            allocator: Allocator::new(policy, seed).unwrap(),
            numbers: Vec::new(),
            names: std::array::from_fn(|n| format!("agent-{n}")),
        }
    }
}

impl Balancer for Ours {
    fn choose(&mut self, _call: usize, now: Duration, in_flight: &[u32; AGENTS]) -> usize {
        let arms: [Arm<'_>; AGENTS] =
            std::array::from_fn(|n| Arm { in_flight: in_flight[n], ..Arm::new(&self.names[n]) });
        let decision = self.allocator.decide(moment(now), &Ask::new("complete", &arms)).unwrap();
        self.numbers.push(decision.number);
        decision.index
    }

    fn done(&mut self, call: usize, now: Duration) {
        let _ = self.allocator.settled(self.numbers[call], moment(now), Ended::Succeeded);
    }
}

fn moment(at: Duration) -> Moment {
    Moment::ZERO + at
}

/// Each in its turn.
#[derive(Default)]
pub struct RoundRobin(usize);

impl Balancer for RoundRobin {
    fn choose(&mut self, _call: usize, _now: Duration, _in_flight: &[u32; AGENTS]) -> usize {
        self.0 += 1;
        self.0 % AGENTS
    }

    fn done(&mut self, _call: usize, _now: Duration) {}
}
