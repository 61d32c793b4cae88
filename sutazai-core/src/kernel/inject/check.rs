//! The declared graph, checked without building anything.

use super::container::{Container, Lifetime, Node, Source};
use super::{PATH_LIMIT, explain};
use crate::{Code, Error};

/// For each node, the numbers of the nodes that it declares to need; `None` for what is missing.
pub(super) struct Edges {
    flat: Vec<Option<usize>>,
    /// Where each node's part begins in `flat`, and where the last one's ends.
    starts: Vec<usize>,
}

impl Edges {
    pub(super) fn new(container: &Container) -> Self {
        let mut edges = Self { flat: Vec::new(), starts: Vec::with_capacity(container.len() + 1) };
        for node in &container.nodes {
            edges.starts.push(edges.flat.len());
            edges.flat.extend(node.needs.iter().map(|need| container.index.find(need)));
        }
        edges.starts.push(edges.flat.len());
        edges
    }

    #[inline]
    pub(super) fn of(&self, number: usize) -> &[Option<usize>] {
        &self.flat[self.starts[number]..self.starts[number + 1]]
    }
}

/// Missing pieces, cycles, and singletons that hold on to scoped values, in order of discovery.
///
/// A depth-first walk with its own stack, so that a deep graph cannot overflow the thread's.
pub(super) fn graph(nodes: &[Node], edges: &Edges) -> Vec<Error> {
    let mut walk = Walk { nodes, edges, marks: vec![Mark::New; nodes.len()], errors: Vec::new() };
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for start in 0..nodes.len() {
        if walk.marks[start] != Mark::New {
            continue;
        }
        walk.marks[start] = Mark::Open;
        stack.push((start, 0));
        while let Some((number, next)) = stack.last_mut() {
            let number = *number;
            let Some(need) = edges.of(number).get(*next) else {
                walk.close(number);
                stack.pop();
                continue;
            };
            let which = *next;
            *next += 1;
            match *need {
                None => walk.missing(&stack, number, which),
                Some(other) => match walk.marks[other] {
                    Mark::New => {
                        walk.marks[other] = Mark::Open;
                        stack.push((other, 0));
                    }
                    Mark::Open => walk.cycle(&stack, other),
                    Mark::Done { .. } => {}
                },
            }
        }
    }
    walk.errors
}

struct Walk<'c> {
    nodes: &'c [Node],
    edges: &'c Edges,
    marks: Vec<Mark>,
    errors: Vec<Error>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    /// On the way from the start to here.
    Open,
    /// Seen with everything it needs; `scoped` when it lives no longer than a scope, because it is
    /// scoped or is built anew out of something that is.
    Done {
        scoped: bool,
    },
}

impl Walk<'_> {
    fn close(&mut self, number: usize) {
        let need = self.scoped_need(number);
        let scoped = match &self.nodes[number].source {
            Source::Value(_) => false,
            Source::Factory(Lifetime::Scoped, _) => true,
            Source::Factory(Lifetime::Transient, _) => need.is_some(),
            Source::Factory(Lifetime::Singleton, _) => {
                if need.is_some() {
                    self.captive(number);
                }
                false
            }
        };
        self.marks[number] = Mark::Done { scoped };
    }

    fn scoped_need(&self, number: usize) -> Option<usize> {
        let mut known = self.edges.of(number).iter().flatten();
        known.find(|other| self.marks[**other] == Mark::Done { scoped: true }).copied()
    }

    fn missing(&mut self, stack: &[(usize, usize)], number: usize, which: usize) {
        let Some(need) = self.nodes[number].needs.get(which) else { return };
        let way = stack.iter().map(|(number, _)| &self.nodes[*number].id);
        let path = explain::path(way.chain([need]));
        self.errors.push(explain::missing(need, &path, self.nodes).operation("inject.check"));
    }

    fn cycle(&mut self, stack: &[(usize, usize)], back_to: usize) {
        let circle = stack.iter().map(|(number, _)| *number).skip_while(|n| *n != back_to);
        let path = explain::path(circle.chain([back_to]).map(|number| &self.nodes[number].id));
        self.errors
            .push(explain::cycle(Some(&self.nodes[back_to].id), &path).operation("inject.check"));
    }

    fn captive(&mut self, number: usize) {
        let mut way = vec![number];
        let mut at = number;
        while let Some(next) = self.scoped_need(at) {
            at = next;
            way.push(at);
            // A scoped value ends the way; only ones built anew lead further.
            let scoped = matches!(self.nodes[at].source, Source::Factory(Lifetime::Scoped, _));
            if scoped || way.len() > PATH_LIMIT {
                break;
            }
        }
        let (singleton, kept) = (&self.nodes[number].id, &self.nodes[at].id);
        self.errors.push(
            Error::new(
                Code::INJECT_SCOPE,
                format!("the singleton {singleton} would keep {kept} beyond its scope"),
            )
            .operation("inject.check")
            .with("path", explain::path(way.into_iter().map(|number| &self.nodes[number].id)))
            .advice("make it scoped too, or ask the scope for the value where it is used"),
        );
    }
}
