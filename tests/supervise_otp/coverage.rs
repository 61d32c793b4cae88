//! Whether the table has enough of everything to mean something.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use sutazai_core::recovery::supervise::{Restart, Shutdown, Strategy, SupervisorSpec};

use crate::table::{Node, Nodes, Trace};

/// What the traces of a table contain.
#[derive(Default)]
pub struct Coverage {
    traces: usize,
    /// Traces with a supervisor that reached its intensity.
    intensity: usize,
    /// Traces by the levels of supervisors.
    depth: BTreeMap<usize, usize>,
    /// Traces in which a worker ended by itself, by its supervisor's strategy and its restart type; and
    /// whether it ended in order.
    crashes: HashMap<(Strategy, Restart, bool), usize>,
    /// The same of the trace that is being looked at.
    crashes_here: BTreeSet<(u8, u8, bool)>,
    /// Starts that failed after the first start of everything was over, so during a restart or a call.
    failed_starts: usize,
    /// Ends of significant children by themselves.
    significant: usize,
    /// Supervisors that ended with their significant children.
    pub auto_shutdowns: usize,
    /// Things that happened while a supervisor started or stopped a child.
    pub meanwhile: usize,
    /// Workers that were killed because they did not stop in time, or because they are always killed.
    kills: HashMap<bool, usize>,
    /// Supervisors that were killed with children.
    orphaned: usize,
    answers: BTreeMap<char, usize>,
}

impl Coverage {
    /// Counts what the text of a trace says.
    pub fn count(&mut self, trace: &Trace) {
        self.traces += 1;
        self.crashes_here.clear();
        *self.depth.entry(depth(&trace.root)).or_default() += 1;
        let logs = || trace.steps.iter().map(|(_, log)| log);
        let has = |sign: char| trace.start.contains(sign) || logs().any(|log| log.contains(sign));
        self.intensity += usize::from(has('^'));
        self.failed_starts += logs().map(|log| log.matches('!').count()).sum::<usize>();
        self.orphaned += logs().map(|log| log.matches('[').count()).sum::<usize>();
        for log in logs() {
            self.count_kills(&trace.nodes, log);
            for letter in log.split_once('|').map_or("", |(_, letters)| letters).chars() {
                *self.answers.entry(letter).or_default() += 1;
            }
        }
    }

    fn count_kills(&mut self, nodes: &Nodes, log: &str) {
        for (at, _) in log.match_indices('k') {
            let digits = log[..at].rfind('-').map_or("", |begin| &log[begin + 1..at]);
            let node = digits.parse::<Node>().ok().and_then(|node| nodes.get(&node));
            if let Some(known) = node.filter(|known| known.spec.supervisor.is_none()) {
                let always = known.spec.shutdown == Some(Shutdown::BrutalKill);
                *self.kills.entry(always).or_default() += 1;
            }
        }
    }

    /// A worker ends by itself.
    pub fn crash(&mut self, nodes: &Nodes, node: Node, reason: char) {
        let known = &nodes[&node];
        let above = &nodes[&known.parent.unwrap()].spec;
        let strategy = above.supervisor.as_ref().unwrap().strategy;
        let orderly = !matches!(reason, 'e' | 'k');
        self.significant += usize::from(known.spec.significant);
        let restart = known.spec.restart;
        if self.crashes_here.insert((strategy as u8, restart as u8, orderly)) {
            *self.crashes.entry((strategy, restart, orderly)).or_default() += 1;
        }
    }

    /// Fails when the table has too little of something. A tenth of the committed table's size will do
    /// for a tenth of each number.
    pub fn assert(&self, head: &Value, committed: bool) {
        assert_eq!(head["traces"], self.traces);
        let enough = |number: usize, of: &str, found: usize| {
            let number = if committed { number } else { number / 10 };
            assert!(found >= number, "only {found} {of}");
        };
        enough(10_000, "traces", self.traces);
        let percent = 100 * self.intensity / self.traces;
        assert!(percent >= 30, "only {percent} % of the traces reach the intensity");
        for levels in 1..=4 {
            enough(500, "traces of a depth", self.depth.get(&levels).copied().unwrap_or(0));
        }
        assert!(self.depth.keys().all(|levels| *levels <= 4));
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
                for orderly in [false, true] {
                    let found = self.crashes.get(&(strategy, restart, orderly));
                    let of = format!("{strategy:?} {restart:?} {orderly}");
                    enough(100, &of, found.copied().unwrap_or(0));
                }
            }
        }
        enough(2_000, "failures during a restart", self.failed_starts);
        enough(2_000, "ends of significant children", self.significant);
        enough(1_000, "automatic shutdowns", self.auto_shutdowns);
        enough(500, "things that happened meanwhile", self.meanwhile);
        for always in [false, true] {
            let found = self.kills.get(&always).copied().unwrap_or(0);
            enough(1_000, "kills of a kind", found);
        }
        enough(500, "supervisors killed with children", self.orphaned);
        for letter in ['o', 'r', 'f', 'a', 'p', 'e', 'x'] {
            enough(40, "answers of a kind", self.answers.get(&letter).copied().unwrap_or(0));
        }
    }
}

fn depth(spec: &SupervisorSpec) -> usize {
    let below = spec.children.iter().filter_map(|child| child.supervisor.as_ref());
    1 + below.map(depth).max().unwrap_or(0)
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let least = self.crashes.values().min().copied().unwrap_or(0);
        write!(
            f,
            "{} traces, {} of which reach the intensity, {} failures during a restart, {} automatic \
             shutdowns, {} meanwhile, {} supervisors killed, depth {:?}, each strategy, restart type and \
             kind of end in at least {least} traces, kills {:?}, answers {:?}",
            self.traces,
            self.intensity,
            self.failed_starts,
            self.auto_shutdowns,
            self.meanwhile,
            self.orphaned,
            self.depth,
            self.kills,
            self.answers,
        )
    }
}
