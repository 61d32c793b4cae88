//! One run of the simulation: an open loop of arrivals, a limit, a target.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use sutazai_core::tune::CallOutcome;

use super::peers::Limit;
use super::random::{Random, Service};
use super::server::{At, Discipline, Server};

/// What happens. Times are in service times; `second` says how many seconds one is.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub second: f64,
    pub length: f64,
    pub service: Service,
    pub discipline: Discipline,
    /// Servers, from each time on.
    pub capacity: Vec<(f64, f64)>,
    /// Arrivals as a multiple of what the servers can do at that time, from each time on.
    pub load: Vec<(f64, f64)>,
    /// How long a call takes, as a multiple, from each time on.
    pub slow: Vec<(f64, f64)>,
    /// When nothing comes back.
    pub black: Vec<(f64, f64)>,
    /// A call is given up that long after its arrival.
    pub deadline: f64,
    /// A call that is not let in waits that long for a place; 0 to be turned away at once.
    pub patience: f64,
    /// Times at which something changes at once; a limit has its time to settle after each.
    pub steps: Vec<f64>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Completions inside the deadline ÷ the lesser of arrivals and capacity, outside of the times for settling.
    pub goodput: f64,
    /// The same with them.
    pub whole: f64,
    /// Median time from admission to answer ÷ the mean service time at that time, outside of the times for settling.
    pub p50: f64,
    /// The limit ÷ the capacity at the end (averaged over the last tenth).
    pub last: f64,
    /// The largest limit ÷ capacity outside of the times for settling.
    pub largest: f64,
    /// The smallest one.
    pub smallest: f64,
    /// Service times until the limit is between 0.75 and 2 times the capacity for 19/20 of what remains, after the
    /// worst of the steps.
    pub settling: f64,
    /// The smallest limit while nothing came back.
    pub floor: f64,
    /// Completions inside the deadline.
    pub good: f64,
}

pub fn at(steps: &[(f64, f64)], time: f64) -> f64 {
    steps.iter().take_while(|(from, _)| *from <= time).last().map_or(1.0, |(_, value)| *value)
}

impl Scenario {
    pub fn settle(&self) -> f64 {
        // Service times that count are those that hold after the step.
        (10.0_f64 / self.second).max(20.0 * self.slow.iter().map(|s| s.1).fold(1.0_f64, f64::max))
    }

    /// When its phases begin.
    fn phases(&self) -> impl Iterator<Item = f64> {
        let wanders = self.load.len() > self.steps.len();
        let loads = self.load.iter().map(|load| load.0).filter(move |_| wanders);
        loads.chain(self.steps.iter().copied().filter(move |_| !wanders))
    }

    fn settling(&self, time: f64) -> bool {
        self.steps.iter().any(|step| (*step..*step + self.settle()).contains(&time))
    }

    fn is_black(&self, time: f64) -> bool {
        self.black.iter().any(|(from, to)| (*from..*to).contains(&time))
    }
}

struct InFlight {
    arrived: f64,
    begun: f64,
    slow: f64,
    black: bool,
    work: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Capacity,
    TimeOut(u64),
    Sample,
}

pub fn run(scenario: &Scenario, limit: &mut dyn Limit, seed: u64) -> Figures {
    let mut random = Random::new(seed);
    let unit = scenario.second;
    let mut server = Server::new(scenario.discipline, at(&scenario.capacity, 0.0));
    let mut events = BinaryHeap::new();
    events.push(Reverse((At(0.0), Event::Arrival)));
    events.push(Reverse((At(0.0), Event::Sample)));
    for (time, _) in &scenario.capacity {
        events.push(Reverse((At(*time), Event::Capacity)));
    }
    let mut flight: HashMap<u64, InFlight> = HashMap::new();
    let mut line: VecDeque<(f64, f64)> = VecDeque::new();
    let mut next_id = 0_u64;
    let mut counts = vec![[Count::default(); 2]; scenario.phases().count()];
    let mut stretches: Vec<f64> = Vec::new();
    let mut samples: Vec<(f64, f64)> = Vec::new();
    let mut floor = f64::INFINITY;
    loop {
        let event = events.peek().map(|Reverse((at, _))| at.0).unwrap_or(f64::INFINITY);
        let ends = server.next().unwrap_or(f64::INFINITY);
        let now = event.min(ends);
        if now >= scenario.length {
            break;
        }
        if ends <= event {
            let Some(id) = server.end(now) else { continue };
            if let Some(call) = flight.remove(&id) {
                let took = now - call.begun;
                let count = flight.len() + 1;
                limit.end(id, now * unit, took * unit, count, CallOutcome::Answered);
                for count in counted(&mut counts, scenario, now) {
                    count.served += 1.0;
                    count.work += call.work;
                    if now - call.arrived <= scenario.deadline * call.slow {
                        count.good += 1.0;
                    }
                }
                if !scenario.settling(now) && !scenario.settling(call.begun) {
                    stretches.push(took / call.slow);
                }
            }
        } else {
            let Some(Reverse((_, event))) = events.pop() else { break };
            match event {
                Event::Arrival => {
                    // The load is of what the servers could do before they were slow.
                    let rate = at(&scenario.load, now) * at(&scenario.capacity, now);
                    events
                        .push(Reverse((At(now + random.exponential(1.0 / rate)), Event::Arrival)));
                    let work = scenario.service.draw(&mut random);
                    if !scenario.is_black(now) {
                        for count in counted(&mut counts, scenario, now) {
                            count.arrived += 1.0;
                        }
                    }
                    line.push_back((now, work));
                    if flight.len() >= limit.limit() {
                        limit.kept_out(now * unit);
                    }
                }
                Event::Capacity => server.set_capacity(now, at(&scenario.capacity, now)),
                Event::TimeOut(id) => {
                    if let Some(call) = flight.remove(&id) {
                        if !call.black {
                            server.cancel(now, id);
                        }
                        let took = now - call.begun;
                        let count = flight.len() + 1;
                        limit.end(id, now * unit, took * unit, count, CallOutcome::TimedOut);
                    }
                }
                Event::Sample => {
                    limit.tick(now * unit);
                    let capacity = at(&scenario.capacity, now);
                    let target = limit.target() as f64;
                    samples.push((now, target / capacity));
                    if scenario.is_black(now) {
                        floor = floor.min(target);
                    } else {
                        let can = capacity / at(&scenario.slow, now) * SAMPLE;
                        for count in counted(&mut counts, scenario, now) {
                            count.can += can;
                        }
                    }
                    events.push(Reverse((At(now + SAMPLE), Event::Sample)));
                }
            }
        }
        // Those that wait go in as far as there is room.
        while let Some((arrived, work)) = line.front().copied() {
            if now - arrived > scenario.patience {
                line.pop_front();
                continue;
            }
            if flight.len() >= limit.limit() {
                break;
            }
            line.pop_front();
            let slow = at(&scenario.slow, now);
            let black = scenario.is_black(now);
            next_id += 1;
            limit.begin(next_id, now * unit);
            flight.insert(next_id, InFlight { arrived, begun: now, slow, black, work });
            if !black {
                server.begin(now, next_id, work * slow);
            }
            events.push(Reverse((At(arrived + scenario.deadline * slow), Event::TimeOut(next_id))));
        }
        if scenario.patience == 0.0 {
            line.clear();
        }
    }
    figures(scenario, &samples, stretches, &counts, floor)
}

/// Service times between two looks at the limit.
const SAMPLE: f64 = 0.25;

/// What was counted: over the whole run, and outside of the times for settling.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    arrived: f64,
    served: f64,
    /// The work of those served.
    work: f64,
    good: f64,
    /// The work that the servers can do.
    can: f64,
}

impl Count {
    /// What the servers can do is by the work of the calls that they did serve: of a heavy tail, no sample's mean is
    /// that of the distribution.
    fn possible(&self) -> f64 {
        if self.served == 0.0 { 0.0 } else { self.arrived.min(self.can * self.served / self.work) }
    }
}

/// Those of the phase between two changes: what could be done is the lesser of arrivals and capacity in each.
fn counted<'a>(
    counts: &'a mut [[Count; 2]],
    scenario: &Scenario,
    now: f64,
) -> impl Iterator<Item = &'a mut Count> {
    let phase = scenario.phases().filter(|from| *from <= now).count().max(1) - 1;
    counts[phase].iter_mut().take(if scenario.settling(now) { 1 } else { 2 })
}

/// Over all phases.
fn goodput(counts: &[[Count; 2]], which: usize) -> f64 {
    let good: f64 = counts.iter().map(|phase| phase[which].good).sum();
    let possible: f64 = counts.iter().map(|phase| phase[which].possible()).sum();
    good / possible
}

fn figures(
    scenario: &Scenario,
    samples: &[(f64, f64)],
    mut stretches: Vec<f64>,
    counts: &[[Count; 2]],
    floor: f64,
) -> Figures {
    stretches.sort_by(f64::total_cmp);
    let calm: Vec<f64> = samples
        .iter()
        .filter(|(t, _)| !scenario.settling(*t) && !scenario.is_black(*t))
        .map(|s| s.1)
        .collect();
    let tail: Vec<f64> =
        samples.iter().filter(|(t, _)| *t >= 0.9 * scenario.length).map(|s| s.1).collect();
    let settling = scenario
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| !scenario.is_black(**step))
        .map(|(i, step)| {
            let until = scenario.steps.get(i + 1).copied().unwrap_or(scenario.length);
            let phase: Vec<(f64, f64)> =
                samples.iter().filter(|(t, _)| (*step..until).contains(t)).copied().collect();
            settled(&phase) - step
        })
        .fold(0.0, f64::max);
    Figures {
        goodput: goodput(counts, 1),
        whole: goodput(counts, 0),
        p50: stretches.get(stretches.len() / 2).copied().unwrap_or(f64::NAN),
        last: tail.iter().sum::<f64>() / tail.len().max(1) as f64,
        largest: calm.iter().copied().fold(0.0, f64::max),
        smallest: calm.iter().copied().fold(f64::INFINITY, f64::min),
        settling,
        floor,
        good: counts.iter().map(|phase| phase[0].good).sum(),
    }
}

/// From when on 19 of 20 samples of the limit are between 0.75 and 2 times the capacity.
fn settled(phase: &[(f64, f64)]) -> f64 {
    let (mut inside, mut all) = (0_usize, 0_usize);
    let mut since = phase.last().map_or(0.0, |sample| sample.0);
    for (time, ratio) in phase.iter().rev() {
        all += 1;
        let is_inside = (0.75..=2.0).contains(ratio);
        inside += usize::from(is_inside);
        if is_inside && inside * 20 >= all * 19 {
            since = *time;
        }
    }
    since
}

impl Figures {
    /// The means of several runs; the largest and the smallest of what is so called.
    pub fn mean(runs: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        let most = |of: fn(&Self) -> f64| runs.iter().map(of).fold(0.0, f64::max);
        Self {
            goodput: mean(|f| f.goodput),
            whole: mean(|f| f.whole),
            p50: mean(|f| f.p50),
            last: mean(|f| f.last),
            largest: most(|f| f.largest),
            smallest: runs.iter().map(|f| f.smallest).fold(f64::INFINITY, f64::min),
            settling: mean(|f| f.settling),
            floor: most(|f| f.floor),
            good: mean(|f| f.good),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { goodput, whole, p50, last, largest, smallest, settling, floor, .. } = self;
        write!(f, "goodput {goodput:.3} (whole {whole:.3}) p50 {p50:.2} final {last:.2}")?;
        write!(f, " from {smallest:.2} to {largest:.2} floor {floor:.0} settled {settling:.0}")
    }
}
