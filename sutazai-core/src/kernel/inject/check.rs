//! The declared graph, checked without building anything.

use super::container::{Container, Lifetime, Node, Source};
use super::key::Id;
use super::{PATH_LIMIT, explain};
use crate::{Code, Error};

/// Missing pieces, cycles, and singletons that hold on to scoped values, in order of registration.
///
/// A depth-first walk with its own stack, so that a deep graph cannot overflow the thread's.
pub(super) fn graph(container: &Container) -> Vec<Error> {
    let nodes = &container.nodes;
    let mut walk = Walk { container, marks: vec![Mark::New; nodes.len()], errors: Vec::new() };
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for start in 0..nodes.len() {
        if walk.marks[start] != Mark::New {
            continue;
        }
        walk.marks[start] = Mark::Open;
        stack.push((start, 0));
        while let Some((number, next)) = stack.last_mut() {
            let (number, node) = (*number, &nodes[*number]);
            let Some(need) = node.needs.get(*next) else {
                walk.close(number, node);
                stack.pop();
                continue;
            };
            *next += 1;
            match container.index.find(need) {
                None => walk.missing(&stack, need),
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
    container: &'c Container,
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
    Done { scoped: bool },
}

impl Walk<'_> {
    fn close(&mut self, number: usize, node: &Node) {
        let need = self.scoped_need(node);
        let scoped = match &node.source {
            Source::Value(_) => false,
            Source::Factory(Lifetime::Scoped, _) => true,
            Source::Factory(Lifetime::Transient, _) => need.is_some(),
            Source::Factory(Lifetime::Singleton, _) => {
                if need.is_some() {
                    self.captive(node);
                }
                false
            }
        };
        self.marks[number] = Mark::Done { scoped };
    }

    fn scoped_need(&self, node: &Node) -> Option<usize> {
        let known = node.needs.iter().filter_map(|need| self.container.index.find(need));
        known.into_iter().find(|other| self.marks[*other] == Mark::Done { scoped: true })
    }

    fn missing(&mut self, stack: &[(usize, usize)], need: &Id) {
        let way = stack.iter().map(|(number, _)| &self.container.nodes[*number].id);
        let path = explain::path(way.chain([need]));
        self.errors.push(explain::missing(need, &path, &self.container.nodes).operation("inject.check"));
    }

    fn cycle(&mut self, stack: &[(usize, usize)], back_to: usize) {
        let nodes = &self.container.nodes;
        let circle = stack.iter().map(|(number, _)| *number).skip_while(|n| *n != back_to);
        let path = explain::path(circle.chain([back_to]).map(|number| &nodes[number].id));
        self.errors.push(explain::cycle(&nodes[back_to].id, &path).operation("inject.check"));
    }

    fn captive(&mut self, node: &Node) {
        let mut way = vec![&node.id];
        let mut at = node;
        while let Some(next) = self.scoped_need(at) {
            at = &self.container.nodes[next];
            way.push(&at.id);
            // A scoped value ends the way; only ones built anew lead further.
            if way.len() > PATH_LIMIT || matches!(at.source, Source::Factory(Lifetime::Scoped, _)) {
                break;
            }
        }
        let path = explain::path(way);
        self.errors.push(
            Error::new(
                Code::INJECT_SCOPE,
                format!("the singleton {} would keep {} beyond its scope", node.id, at.id),
            )
            .operation("inject.check")
            .with("path", path)
            .advice("make it scoped too, or ask the scope for the value where it is used"),
        );
    }
}
