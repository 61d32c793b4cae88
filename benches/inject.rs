//! `kernel.inject1000`: a graph of 1,000 singletons is registered, checked and resolved.
//!
//! Each node needs three earlier ones, declared and asked for; every node is resolved. There is no
//! peer to measure against.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sutazai_core::Result;
use sutazai_core::kernel::inject::{Container, Injector, Key};

const NODES: usize = 1000;
const ROUNDS: usize = 300;

struct Part {
    weight: u64,
}

fn main() -> Result<()> {
    let keys: Vec<Key<Part>> = (0..NODES).map(|n| Key::named(format!("part-{n}"))).collect();
    let needs = graph();
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        times.push(inject1000(&keys, &needs)?);
    }
    times.sort_unstable();
    let us = times[ROUNDS / 2].as_nanos() as f64 / 1e3;
    println!("bar kernel.inject1000 ours={us:.0}us peer=- ratio=- goal=<=1000us");
    Ok(())
}

fn inject1000(keys: &[Key<Part>], needs: &[Vec<usize>]) -> Result<Duration> {
    // What the factories capture is the host's own; it is made before the clock starts.
    let captured: Vec<Vec<Key<Part>>> =
        needs.iter().map(|needs| needs.iter().map(|n| keys[*n].clone()).collect()).collect();
    let begin = Instant::now();
    let mut container = Container::new();
    for (key, needs) in keys.iter().zip(captured) {
        let mut provide = container.provide_key(key.clone());
        for need in &needs {
            provide = provide.needs_key(need);
        }
        provide.singleton(move |r| {
            let mut weight = 1;
            for need in &needs {
                weight += r.get_key(need)?.weight;
            }
            Ok(Arc::new(Part { weight }))
        });
    }
    let injector: Injector = container.seal()?;
    for key in keys {
        black_box(injector.get_key(key)?.weight);
    }
    let took = begin.elapsed();
    drop(injector);
    Ok(took)
}

/// For each node the earlier ones it needs: a binary tree, crossed by one far edge a node.
fn graph() -> Vec<Vec<usize>> {
    (0..NODES)
        .map(|n| match n {
            0 => Vec::new(),
            n => vec![(n - 1) / 2, n / 3, n - 1 - (n * 7919) % n],
        })
        .collect()
}
