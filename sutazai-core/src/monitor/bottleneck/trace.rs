//! Spans put together to tasks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::span::WorkSpan;
use crate::base::time::Moment;

/// The spans of a window: trees, whose roots are tasks.
pub(super) struct Traces<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// Places of the tasks, by arrival.
    pub(super) roots: Vec<usize>,
    /// Who did what: step and agent.
    pub(super) stations: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// The first arrival, and the last end.
    pub(super) first: f64,
    pub(super) last: f64,
}

/// A span with times in seconds; they are in order.
pub(super) struct Node<'a> {
    pub(super) span: &'a WorkSpan,
    pub(super) arrived: f64,
    pub(super) started: f64,
    pub(super) ended: f64,
    /// By arrival.
    pub(super) children: Vec<usize>,
    pub(super) parent: Option<usize>,
    pub(super) station: usize,
}

impl Node<'_> {
    pub(super) fn service(&self) -> f64 {
        self.ended - self.started
    }

    /// Whether somebody only told that he has waited.
    fn only_waits(&self) -> bool {
        self.span.agent.is_none() && !self.span.waits.is_empty() && self.service() <= 0.0
    }

    /// Who answers for its time: the agent, or the step where there is none.
    pub(super) fn owner(&self) -> &Arc<str> {
        self.span.agent.as_ref().unwrap_or(&self.span.step)
    }
}

/// Parts of parts, at most: those that go deeper are left out.
const DEEPEST: usize = 64;

impl<'a> Traces<'a> {
    /// Parts whose whole is not among these, since it has not ended or is forgotten, are tasks of their own where it has gone on for
    /// longer than any task took that has ended; else it is a task under way, and they are left out. Waits alone are no task.
    pub(super) fn new(spans: impl Iterator<Item = &'a WorkSpan>) -> Self {
        let spans: Vec<&WorkSpan> = spans.collect();
        let origin = spans.iter().map(|span| span.arrived).min().unwrap_or(Moment::ZERO);
        let seconds = |at: Moment| at.since(origin).as_secs_f64();
        let mut index: HashMap<u64, usize> = HashMap::with_capacity(spans.len());
        let mut names: HashMap<(&str, Option<&str>), usize> = HashMap::new();
        let mut stations = Vec::new();
        let mut nodes: Vec<Node<'a>> = Vec::with_capacity(spans.len());
        for span in spans {
            // The first of a number counts.
            if index.contains_key(&span.id) {
                continue;
            }
            index.insert(span.id, nodes.len());
            let station = *names.entry((&*span.step, span.agent.as_deref())).or_insert_with(|| {
                stations.push((Arc::clone(&span.step), span.agent.clone()));
                stations.len() - 1
            });
            let arrived = seconds(span.arrived);
            let ended = seconds(span.ended).max(arrived);
            let started = seconds(span.started).clamp(arrived, ended);
            let (children, parent) = (Vec::new(), None);
            nodes.push(Node { span, arrived, started, ended, children, parent, station });
        }
        let parents: Vec<Option<Option<usize>>> = nodes
            .iter()
            .map(|node| {
                let parent = node.span.parent?;
                Some(index.get(&parent).copied())
            })
            .collect();
        let open = open_for_long(&nodes, &parents);
        let mut roots = Vec::new();
        for (at, parent) in parents.iter().enumerate() {
            match parent {
                None => roots.push(at),
                Some(None) => {
                    let part = nodes.get(at).filter(|part| !part.only_waits());
                    if part.and_then(|part| part.span.parent).is_some_and(|it| open.contains(&it)) {
                        roots.push(at);
                    }
                }
                Some(Some(parent)) if goes_up(&parents, at) => {
                    if let Some(node) = nodes.get_mut(at) {
                        node.parent = Some(*parent);
                    }
                    if let Some(node) = nodes.get_mut(*parent) {
                        node.children.push(at);
                    }
                }
                Some(Some(_)) => {}
            }
        }
        let arrivals: Vec<f64> = nodes.iter().map(|node| node.arrived).collect();
        let when = |at: &usize| arrivals.get(*at).copied().unwrap_or(0.0);
        for node in &mut nodes {
            node.children.sort_by(|a, b| when(a).total_cmp(&when(b)).then(a.cmp(b)));
        }
        roots.sort_by(|a, b| when(a).total_cmp(&when(b)).then(a.cmp(b)));
        let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
        for root in roots.iter().filter_map(|root| nodes.get(*root)) {
            first = first.min(root.arrived);
            last = last.max(root.ended);
        }
        let first = if first.is_finite() { first } else { 0.0 };
        Self { nodes, roots, stations, first, last: last.max(first) }
    }

    pub(super) fn node(&self, at: usize) -> Option<&Node<'a>> {
        self.nodes.get(at)
    }

    /// Those of a node's parts that are known.
    pub(super) fn children(
        &self,
        node: &Node<'a>,
    ) -> impl DoubleEndedIterator<Item = (usize, &Node<'a>)> {
        node.children.iter().filter_map(|at| Some((*at, self.nodes.get(*at)?)))
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = (usize, &Node<'a>)> {
        self.roots.iter().filter_map(|at| Some((*at, self.nodes.get(*at)?)))
    }

    /// Whether it is part of a task: those of tasks that are left out are not.
    pub(super) fn whole(&self) -> Vec<bool> {
        let mut whole = vec![false; self.nodes.len()];
        let mut open: Vec<usize> = self.roots.clone();
        while let Some(at) = open.pop() {
            if let Some(is) = whole.get_mut(at) {
                *is = true;
            }
            open.extend(
                self.nodes.get(at).into_iter().flat_map(|node| node.children.iter().copied()),
            );
        }
        whole
    }

    /// Seconds that parts cover of a time, however many there are at once.
    pub(super) fn covered(&self, node: &Node<'a>, from: f64, to: f64) -> f64 {
        let (mut covered, mut until) = (0.0, from);
        for (_, child) in self.children(node) {
            let (a, b) = (child.arrived.max(until), child.ended.min(to));
            if b > a {
                covered += b - a;
                until = b;
            }
        }
        covered
    }
}

/// Wholes that are not there, and whose parts were done over a longer time than any whole task took.
fn open_for_long(nodes: &[Node<'_>], parents: &[Option<Option<usize>>]) -> HashSet<u64> {
    let mut longest = 0.0_f64;
    let mut open: HashMap<u64, (f64, f64)> = HashMap::new();
    for (node, parent) in nodes.iter().zip(parents) {
        match (parent, node.span.parent) {
            (None, _) => longest = longest.max(node.ended - node.arrived),
            (Some(None), Some(whole)) => {
                let (first, last) = open.entry(whole).or_insert((node.arrived, node.ended));
                (*first, *last) = (first.min(node.arrived), last.max(node.ended));
            }
            _ => {}
        }
    }
    let long = |times: &(f64, f64)| times.1 - times.0 > longest;
    open.into_iter().filter(|(_, times)| long(times)).map(|(whole, _)| whole).collect()
}

/// Whether a chain of wholes ends: what says that it is part of itself is left out.
fn goes_up(parents: &[Option<Option<usize>>], from: usize) -> bool {
    let mut at = from;
    for _ in 0..DEEPEST {
        match parents.get(at) {
            Some(None | Some(None)) => return true,
            Some(Some(Some(up))) => at = *up,
            _ => return false,
        }
    }
    false
}
