//! tower's balancer: its own `PeakEwma`, whose clock is tokio's and stands still until it is told to go on,
//! and of two at random the lesser loaded, as its `p2c::Balance` chooses among services that are ready.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;
use tower::load::completion::TrackCompletionFuture;
use tower::load::{CompleteOnResponse, Load, PeakEwma, peak_ewma::Handle};

use super::latency::{AGENTS, Balancer};
use super::worlds::Luck;

/// tower's example (`examples/tower-balance.rs`): what an endpoint is taken to need that has not answered yet,
/// and the time constant of the average.
const DEFAULT_RTT: Duration = Duration::from_millis(30);
const DECAY_NS: f64 = 10e9;

/// Never answers: a call ends when its future is dropped, which is what tells the load.
pub struct Silent;

impl Service<()> for Silent {
    type Response = ();
    type Error = Infallible;
    type Future = std::future::Pending<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        std::future::pending()
    }
}

type Call =
    TrackCompletionFuture<std::future::Pending<Result<(), Infallible>>, CompleteOnResponse, Handle>;

pub struct Tower {
    clock: tokio::runtime::Runtime,
    now: Duration,
    services: Vec<PeakEwma<Silent>>,
    calls: Vec<Option<Call>>,
    luck: Luck,
}

impl Tower {
    pub fn new(seed: u64) -> Self {
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let service =
            || PeakEwma::new(Silent, DEFAULT_RTT, DECAY_NS, CompleteOnResponse::default());
        let services = clock.block_on(async { (0..AGENTS).map(|_| service()).collect() });
        Self { clock, now: Duration::ZERO, services, calls: Vec::new(), luck: Luck(seed) }
    }

    fn go_on(&mut self, now: Duration) {
        let by = now.saturating_sub(self.now);
        self.now = now;
        if !by.is_zero() {
            self.clock.block_on(tokio::time::advance(by));
        }
    }
}

impl Balancer for Tower {
    fn choose(&mut self, _call: usize, now: Duration, _in_flight: &[u32; AGENTS]) -> usize {
        self.go_on(now);
        let first = (self.luck.unit() * AGENTS as f64) as usize;
        let second = (first + 1 + (self.luck.unit() * (AGENTS - 1) as f64) as usize) % AGENTS;
        let services = &mut self.services;
        let calls = &mut self.calls;
        self.clock.block_on(async {
            let lesser = services[first].load() <= services[second].load();
            let chosen = if lesser { first } else { second };
            calls.push(Some(services[chosen].call(())));
            chosen
        })
    }

    fn done(&mut self, call: usize, now: Duration) {
        self.go_on(now);
        let calls = &mut self.calls;
        self.clock.block_on(async { drop(calls[call].take()) });
    }
}
