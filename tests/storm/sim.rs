//! A retry storm in virtual time: clients, layers, a server that goes down, and who retries how.
//!
//! Everything runs on one thread under `Manual`; the guard is the real one, the others are written as
//! their authors describe them. The server answers after a few milliseconds, well or not; what is
//! counted is what reaches it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sutazai_core::base::runtime::{Manual, Runtime as _};
use sutazai_core::base::ticket;
use sutazai_core::base::time::Moment;
use sutazai_core::recovery::{Guard, GuardPolicy};
use sutazai_core::{Code, Error, Result};

/// What happens, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub clients: usize,
    /// First calls a second, of all clients together.
    pub per_second: f64,
    /// Layers that each retry; 1 for the client alone.
    pub layers: u32,
    /// When first calls stop.
    pub ends: Duration,
    /// From when until when every call fails.
    pub down: (Duration, Duration),
    /// The share of calls that fail at any other time, each by itself.
    pub failing: f64,
    pub seed: u64,
}

/// Who retries how. The same in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The library's guard, as it is by default: retry with its budget, no breaker.
    Ours,
    /// Exponential backoff with full jitter, 100 ms to 10 s, and so many retries.
    FullJitter(u32),
    /// The AWS SDKs' standard mode: 500 tokens a client, 5 for a retry, 1 back for a success; two
    /// retries, full jitter from 1 s to 20 s.
    TokenBucket,
}

impl Policy {
    pub fn name(self) -> String {
        match self {
            Self::Ours => "ours".to_owned(),
            Self::FullJitter(retries) => format!("full jitter, {retries} retries"),
            Self::TokenBucket => "token bucket (AWS)".to_owned(),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Calls that reached the server, by second.
    pub attempts: Vec<u64>,
    /// First calls of clients, by second.
    pub first: Vec<u64>,
    /// First calls that were made while the server was down, and how many of them succeeded in the end.
    pub down: (u64, u64),
    /// All first calls, and how many of them succeeded in the end.
    pub all: (u64, u64),
}

impl Seen {
    /// Calls that reached the server ÷ first calls, while it was down.
    pub fn amplification(&self, scenario: &Scenario) -> f64 {
        let (from, to) = (scenario.down.0.as_secs() as usize, scenario.down.1.as_secs() as usize);
        let sum = |of: &[u64]| of[from..to].iter().sum::<u64>() as f64;
        sum(&self.attempts) / sum(&self.first)
    }

    /// Seconds from the end of the outage to the first of three in a row with at most 1.1 times the
    /// load that clients offer.
    pub fn recovered(&self, scenario: &Scenario) -> Option<u64> {
        let back = scenario.down.1.as_secs() as usize;
        let calm = |second: usize| {
            self.attempts.get(second).is_some_and(|&n| n as f64 <= 1.1 * scenario.per_second)
        };
        (back..scenario.ends.as_secs() as usize)
            .find(|&second| (second..second + 3).all(calm))
            .map(|second| (second - back) as u64)
    }

    pub fn attempts_a_call(&self) -> f64 {
        self.attempts.iter().sum::<u64>() as f64 / self.all.0 as f64
    }
}

/// Runs it.
pub fn run(scenario: Scenario, policy: Policy) -> Seen {
    let time = Manual::new();
    let world = Arc::new(World {
        time: time.clone(),
        scenario,
        chance: Chance(AtomicU64::new(scenario.seed)),
        seen: Mutex::new(Seen::default()),
    });
    let clients: Vec<_> = (0..scenario.clients)
        .map(|client| {
            let layers = (0..scenario.layers)
                .map(|layer| Layer::new(policy, &world, client as u64 * 8 + u64::from(layer)));
            Arc::from(layers.collect::<Vec<_>>())
        })
        .collect();
    // First calls come as they do from many people: by chance, independently (a Poisson process).
    let mut at = 0.0;
    loop {
        at += -(1.0 - world.chance.unit()).ln() / scenario.per_second;
        let when = Duration::from_secs_f64(at);
        if when >= scenario.ends {
            break;
        }
        let layers: Arc<[Layer]> =
            Arc::clone(&clients[(world.chance.unit() * clients.len() as f64) as usize]);
        let (world, runtime) = (Arc::clone(&world), time.clone());
        time.spawn_at(
            Moment::ZERO + when,
            Box::new(move || drop(runtime.spawn(Box::pin(first_call(world, layers))))),
        );
    }
    // A minute beyond the end, for those that still retry.
    time.advance(scenario.ends + Duration::from_secs(60));
    drop(clients);
    world.seen.lock().unwrap().clone()
}

struct World {
    time: Manual,
    scenario: Scenario,
    chance: Chance,
    seen: Mutex<Seen>,
}

struct Chance(AtomicU64);

impl Chance {
    /// SplitMix64, as in the library.
    fn unit(&self) -> f64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl World {
    fn now(&self) -> Duration {
        self.time.now().since(Moment::ZERO)
    }

    fn is_down(&self) -> bool {
        (self.scenario.down.0..self.scenario.down.1).contains(&self.now())
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = Result<()>> + Send + use<> {
        let (ticket, reply) = ticket::pair();
        self.time.spawn_at(self.time.now() + time, Box::new(move || drop(reply.send(()))));
        ticket
    }

    /// One call that reaches the server.
    async fn serve(&self) -> Result<()> {
        count(&mut self.seen.lock().unwrap().attempts, self.now());
        let fails = self.is_down() || self.chance.unit() < self.scenario.failing;
        self.sleep(Duration::from_millis(5)).await?;
        if fails { Err(Error::new(Code::OVERLOADED, "down")) } else { Ok(()) }
    }
}

fn count(seconds: &mut Vec<u64>, now: Duration) {
    let second = now.as_secs() as usize;
    if seconds.len() <= second {
        seconds.resize(second + 1, 0);
    }
    seconds[second] += 1;
}

async fn first_call(world: Arc<World>, layers: Arc<[Layer]>) {
    count(&mut world.seen.lock().unwrap().first, world.now());
    let down = world.is_down();
    let answer = through(&world, &layers).await;
    let mut seen = world.seen.lock().unwrap();
    let well = u64::from(answer.is_ok());
    seen.all.0 += 1;
    seen.all.1 += well;
    if down {
        seen.down.0 += 1;
        seen.down.1 += well;
    }
}

/// One layer's way of calling the next one.
enum Layer {
    Guard(Guard),
    Backoff { retries: u32, base: Duration, most: Duration, tokens: Option<Tokens> },
}

/// The bucket of the AWS SDKs, in tokens.
struct Tokens(Mutex<u32>);

impl Layer {
    fn new(policy: Policy, world: &World, seed: u64) -> Self {
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        match policy {
            Policy::Ours => {
                let policy: GuardPolicy = serde_json::from_str(r#"{"retry": {}}"#).unwrap();
                let guard = Guard::builder("client", policy)
                    .runtime(Arc::new(world.time.clone()))
                    .seed(seed ^ world.scenario.seed);
                Self::Guard(guard.build().unwrap())
            }
            Policy::FullJitter(retries) => {
                Self::Backoff { retries, base: ms(100), most: secs(10), tokens: None }
            }
            Policy::TokenBucket => Self::Backoff {
                retries: 2,
                base: secs(1),
                most: secs(20),
                tokens: Some(Tokens(Mutex::new(500))),
            },
        }
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

fn through<'a>(world: &'a World, layers: &'a [Layer]) -> Answer<'a> {
    let Some((layer, further)) = layers.split_first() else { return Box::pin(world.serve()) };
    Box::pin(async move {
        match layer {
            Layer::Guard(guard) => guard.call(|_| through(world, further)).await,
            Layer::Backoff { retries, base, most, tokens } => {
                let mut made = 0;
                loop {
                    let error = match through(world, further).await {
                        Ok(()) => {
                            if let Some(Tokens(tokens)) = tokens {
                                let mut tokens = tokens.lock().unwrap();
                                *tokens = (*tokens + if made == 0 { 1 } else { 5 }).min(500);
                            }
                            return Ok(());
                        }
                        Err(error) => error,
                    };
                    let pays = tokens.as_ref().is_none_or(|Tokens(tokens)| {
                        let mut tokens = tokens.lock().unwrap();
                        let left = tokens.checked_sub(5);
                        *tokens = left.unwrap_or(*tokens);
                        left.is_some()
                    });
                    if made == *retries || !pays {
                        return Err(error);
                    }
                    let step = most.min(&(*base * 2_u32.pow(made))).to_owned();
                    world.sleep(step.mul_f64(world.chance.unit())).await?;
                    made += 1;
                }
            }
        }
    })
}

/// The outage that the figures are of: 100 clients with 800 calls a second, 30 seconds.
pub fn outage(layers: u32, seed: u64) -> Scenario {
    Scenario {
        clients: 100,
        per_second: 800.0,
        layers,
        ends: Duration::from_secs(60),
        down: (Duration::from_secs(10), Duration::from_secs(40)),
        failing: 0.0,
        seed,
    }
}

/// The same load, and calls that fail by themselves or for a moment only.
pub fn calm(failing: f64, blip: Duration, seed: u64) -> Scenario {
    let from = Duration::from_secs(10);
    Scenario { down: (from, from + blip), failing, ..outage(1, seed) }
}
