//! [`Trie`]: every subscription, found by its pattern.

use std::collections::HashMap;
use std::sync::Arc;

use super::queue::Queue;

/// A tree of pattern tokens. Its depth is bounded by [`MAX_TOKENS`](super::MAX_TOKENS), so the
/// recursion below is too.
#[derive(Default)]
pub(super) struct Trie {
    root: Node,
    len: usize,
}

#[derive(Default)]
struct Node {
    named: HashMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    /// Patterns that end here.
    here: Vec<Arc<Queue>>,
    /// Patterns that end here with `>`.
    rest: Vec<Arc<Queue>>,
}

impl Trie {
    pub(super) fn insert(&mut self, queue: Arc<Queue>) {
        let pattern = queue.pattern.clone();
        let mut node = &mut self.root;
        for token in pattern.tokens() {
            node = match token {
                ">" => {
                    node.rest.push(queue);
                    self.len += 1;
                    return;
                }
                "*" => node.any.get_or_insert_default(),
                name => node.named.entry(name.into()).or_default(),
            };
        }
        node.here.push(queue);
        self.len += 1;
    }

    /// Takes a subscription out, and what it leaves empty.
    pub(super) fn remove(&mut self, queue: &Arc<Queue>) -> bool {
        let mut tokens = queue.pattern.tokens();
        let found = self.root.remove(&mut tokens, queue);
        self.len -= usize::from(found);
        found
    }

    /// The subscriptions that want this subject, oldest first.
    pub(super) fn collect(&self, subject: &str) -> Vec<Arc<Queue>> {
        let mut found = Vec::new();
        self.root.collect(subject.split('.'), &mut found);
        found.sort_unstable_by_key(|queue| queue.id);
        found
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Every subscription.
    pub(super) fn for_each(&self, f: &mut dyn FnMut(&Arc<Queue>)) {
        self.root.for_each(f);
    }
}

impl Node {
    fn collect<'t>(
        &self,
        mut tokens: impl Iterator<Item = &'t str> + Clone,
        found: &mut Vec<Arc<Queue>>,
    ) {
        let Some(token) = tokens.next() else {
            found.extend(self.here.iter().cloned());
            return;
        };
        found.extend(self.rest.iter().cloned());
        if let Some(node) = self.named.get(token) {
            node.collect(tokens.clone(), found);
        }
        if let Some(node) = &self.any {
            node.collect(tokens, found);
        }
    }

    fn remove<'t>(
        &mut self,
        tokens: &mut impl Iterator<Item = &'t str>,
        queue: &Arc<Queue>,
    ) -> bool {
        match tokens.next() {
            None => take_out(&mut self.here, queue),
            Some(">") => take_out(&mut self.rest, queue),
            Some("*") => {
                let Some(node) = &mut self.any else { return false };
                let found = node.remove(tokens, queue);
                if node.is_empty() {
                    self.any = None;
                }
                found
            }
            Some(name) => {
                let Some(node) = self.named.get_mut(name) else { return false };
                let found = node.remove(tokens, queue);
                if node.is_empty() {
                    self.named.remove(name);
                }
                found
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }

    fn for_each(&self, f: &mut dyn FnMut(&Arc<Queue>)) {
        self.here.iter().chain(&self.rest).for_each(&mut *f);
        for node in self.named.values().chain(self.any.as_deref()) {
            node.for_each(f);
        }
    }
}

fn take_out(queues: &mut Vec<Arc<Queue>>, queue: &Arc<Queue>) -> bool {
    match queues.iter().position(|other| Arc::ptr_eq(other, queue)) {
        Some(at) => {
            queues.swap_remove(at);
            true
        }
        None => false,
    }
}
