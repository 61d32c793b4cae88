//! Runs of a kernel with one thing in it that holds tasks up.
//!
//! Long because: it is a table of two dozen plants, each a few lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sutazai_core::agent::from_fn;
use sutazai_core::kernel::{CallsTo, Kernel, Limits};
use sutazai_core::monitor::{
    BottleneckKind as Kind, BottleneckPolicy, Bottlenecks, ResourceFigures, WaitFor,
};
use sutazai_core::port::{AgentCard, Task};
use sutazai_core::recovery::GuardPolicy;
use sutazai_core::{Code, Error};

pub fn ms(n: f64) -> Duration {
    Duration::from_secs_f64(n / 1e3)
}

pub fn sleep(n: f64) {
    std::thread::sleep(ms(n));
}

pub fn kernel(limits: Limits) -> Kernel {
    let kernel = Kernel::builder().limits(limits).seed(7).build().unwrap();
    kernel.start().unwrap();
    kernel
}

/// An agent with the skill of its name.
pub fn agent(kernel: &Kernel, name: &str, work: impl Fn(&Kernel) + Send + Sync + 'static) {
    agent_for(kernel, name, name, move |kernel| {
        work(kernel);
        Ok(())
    });
}

pub fn agent_for(
    kernel: &Kernel,
    name: &str,
    skill: &str,
    work: impl Fn(&Kernel) -> sutazai_core::Result<()> + Send + Sync + 'static,
) {
    let inner = kernel.clone();
    let card = AgentCard::new(name, [skill]);
    let agent = from_fn(card, move |_: &Task| work(&inner).map(|()| "done"));
    kernel.add_agent(agent).unwrap();
}

pub fn guard(kernel: &Kernel, calls: CallsTo, policy: serde_json::Value) {
    let policy: GuardPolicy = serde_json::from_value(policy).unwrap();
    kernel.guard(calls, policy).unwrap();
}

pub fn call(kernel: &Kernel, skill: &str) {
    let _ = kernel.call(Task::new(skill, 1)).wait();
}

/// So many clients, each of which does one thing after the other for this long.
pub fn clients(kernel: &Kernel, n: usize, millis: f64, task: impl Fn(&Kernel) + Sync) -> u64 {
    let (end, done) = (Instant::now() + ms(millis), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..n {
            scope.spawn(|| {
                while Instant::now() < end {
                    task(kernel);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner()
}

pub fn look(kernel: &Kernel) -> Bottlenecks {
    kernel.bottlenecks(&BottleneckPolicy::default()).unwrap()
}

/// A number of steps, whatever else the machine does.
pub fn compute(rounds: u64) {
    let mut x = 1_u64;
    for i in 0..rounds {
        x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i));
    }
}

/// What is planted: who is to be named, and how.
pub struct Plant {
    pub what: &'static str,
    pub run: fn() -> Bottlenecks,
    pub component: &'static [&'static str],
    pub kinds: &'static [Kind],
}

fn done(kernel: &Kernel) -> Bottlenecks {
    let found = look(kernel);
    kernel.stop(Duration::from_secs(2)).unwrap();
    found
}

pub const PLANTS: &[Plant] = &[
    Plant {
        what: "agents that compute, more of them than processors",
        component: &["iris", "cpu"],
        kinds: &[Kind::Cpu, Kind::Compute],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "oak", |_| sleep(2.0));
            agent(&kernel, "iris", |_| compute(4_000_000));
            clients(&kernel, 8, 700.0, |kernel| {
                call(kernel, "oak");
                call(kernel, "iris");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "one step of a task computes",
        component: &["b2"],
        kinds: &[Kind::Cpu, Kind::Compute],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "a1", |_| sleep(3.0));
            agent(&kernel, "b2", |_| compute(20_000_000));
            agent(&kernel, "whole", |kernel| {
                call(kernel, "a1");
                call(kernel, "b2");
            });
            clients(&kernel, 1, 700.0, |kernel| call(kernel, "whole"));
            done(&kernel)
        },
    },
    Plant {
        what: "a lock that is held while asleep",
        component: &["pine"],
        kinds: &[Kind::Lock],
        run: || {
            let kernel = kernel(Limits::default());
            let lock = Arc::new(std::sync::Mutex::new(()));
            agent(&kernel, "fir", |_| sleep(6.0));
            agent(&kernel, "pine", move |_| {
                let _held = lock.lock();
                sleep(8.0);
            });
            clients(&kernel, 6, 900.0, |kernel| {
                call(kernel, "fir");
                call(kernel, "pine");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "a lock that two agents share",
        component: &["lock", "left", "right"],
        kinds: &[Kind::Lock],
        run: || {
            let kernel = kernel(Limits::default());
            let lock = Arc::new(parking_lot::Mutex::new(()));
            for name in ["left", "right"] {
                let lock = Arc::clone(&lock);
                agent(&kernel, name, move |_| {
                    let _held = lock.lock();
                    sleep(5.0);
                });
            }
            agent(&kernel, "both", |kernel| {
                call(kernel, "left");
                call(kernel, "right");
            });
            clients(&kernel, 5, 900.0, |kernel| call(kernel, "both"));
            done(&kernel)
        },
    },
    Plant {
        what: "a lock of the host's, which says so",
        component: &["index"],
        kinds: &[Kind::Lock],
        run: || {
            let kernel = kernel(Limits::default());
            let lock = Arc::new(parking_lot::Mutex::new(()));
            agent(&kernel, "reader", |_| sleep(4.0));
            agent(&kernel, "scribe", move |kernel| {
                let _held = kernel.waiting(WaitFor::Lock, "index", || lock.lock());
                sleep(5.0);
            });
            clients(&kernel, 6, 700.0, |kernel| {
                call(kernel, "reader");
                call(kernel, "scribe");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "an agent that takes one at a time",
        component: &["m"],
        kinds: &[Kind::Queue],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "k", |_| sleep(12.0));
            agent(&kernel, "m", |_| sleep(8.0));
            let policy = json!({"bulkhead": {"concurrency": 1, "queue": 64}});
            guard(&kernel, CallsTo::Agent("m".into()), policy);
            clients(&kernel, 6, 700.0, |kernel| {
                call(kernel, "k");
                call(kernel, "m");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "a burst at an agent with little room",
        component: &["teller"],
        kinds: &[Kind::Queue],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "teller", |_| sleep(10.0));
            let policy = json!({"bulkhead": {"concurrency": 3, "queue": 200}});
            guard(&kernel, CallsTo::Skill("teller".into()), policy);
            let tickets: Vec<_> = (0..120).map(|_| kernel.call(Task::new("teller", 1))).collect();
            tickets.into_iter().for_each(|mut ticket| drop(ticket.wait()));
            done(&kernel)
        },
    },
    Plant {
        what: "one slow agent among four",
        component: &["gamma"],
        kinds: &[Kind::Service],
        run: || {
            let kernel = kernel(Limits::default());
            for (name, took) in [("alpha", 4.0), ("beta", 5.0), ("gamma", 22.0), ("delta", 6.0)] {
                agent(&kernel, name, move |_| sleep(took));
            }
            agent(&kernel, "tour", |kernel| {
                ["alpha", "beta", "gamma", "delta"].into_iter().for_each(|it| call(kernel, it));
            });
            clients(&kernel, 3, 700.0, |kernel| call(kernel, "tour"));
            done(&kernel)
        },
    },
    Plant {
        what: "one slow branch of three",
        component: &["west"],
        kinds: &[Kind::Service],
        run: || {
            let kernel = kernel(Limits::default());
            for (name, took) in [("north", 6.0), ("west", 25.0), ("east", 8.0)] {
                agent(&kernel, name, move |_| sleep(took));
            }
            agent(&kernel, "rose", |kernel| {
                let all = ["north", "west", "east"];
                let tickets: Vec<_> = all.map(|it| kernel.call(Task::new(it, 1))).into();
                tickets.into_iter().for_each(|mut ticket| drop(ticket.wait()));
                sleep(4.0);
            });
            clients(&kernel, 3, 700.0, |kernel| call(kernel, "rose"));
            done(&kernel)
        },
    },
    Plant {
        what: "an agent that syncs what it writes",
        component: &["ledger", "disk"],
        kinds: &[Kind::Disk],
        run: || {
            use std::io::Write as _;
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let kernel = kernel(Limits::default());
            let (path, next) = (dir.path().to_owned(), AtomicU64::new(0));
            agent(&kernel, "stamp", |_| sleep(1.0));
            agent(&kernel, "ledger", move |_| {
                let name = path.join(next.fetch_add(1, Ordering::Relaxed).to_string());
                let mut file = std::fs::File::create(name).unwrap();
                for _ in 0..12 {
                    file.write_all(&[7; 65_536]).unwrap();
                    file.sync_all().unwrap();
                }
            });
            clients(&kernel, 4, 900.0, |kernel| {
                call(kernel, "stamp");
                call(kernel, "ledger");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "an agent that takes much memory anew each time",
        component: &["atlas", "cpu"],
        kinds: &[Kind::Memory, Kind::Cpu, Kind::Compute],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "pin", |_| sleep(3.0));
            agent(&kernel, "atlas", |_| {
                let mut all = vec![0_u8; 48 << 20];
                all.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                std::hint::black_box(all);
            });
            clients(&kernel, 2, 700.0, |kernel| {
                call(kernel, "pin");
                call(kernel, "atlas");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "a rate limit that turns calls away",
        component: &["dove"],
        kinds: &[Kind::RateLimit],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "dove", |_| sleep(2.0));
            let policy = json!({"rate": {"calls": 20, "period_ms": 1000, "burst": 5}});
            guard(&kernel, CallsTo::Agent("dove".into()), policy);
            clients(&kernel, 3, 600.0, |kernel| {
                call(kernel, "dove");
                sleep(5.0);
            });
            done(&kernel)
        },
    },
    Plant {
        what: "a limiter of the host's, which says so",
        component: &["tokens"],
        kinds: &[Kind::RateLimit],
        run: || {
            let kernel = kernel(Limits::default());
            let next = parking_lot::Mutex::new(Instant::now());
            agent(&kernel, "heron", move |kernel| {
                kernel.waiting(WaitFor::RateLimit, "tokens", || {
                    let until = {
                        let mut next = next.lock();
                        *next = (*next).max(Instant::now()) + ms(10.0);
                        *next
                    };
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                });
                sleep(5.0);
            });
            clients(&kernel, 5, 600.0, |kernel| call(kernel, "heron"));
            done(&kernel)
        },
    },
    Plant {
        what: "too few threads",
        component: &["pool"],
        kinds: &[Kind::Pool],
        run: || {
            let mut limits = Limits::default();
            limits.pool = Some(2);
            let kernel = kernel(limits);
            agent(&kernel, "wren", |_| sleep(8.0));
            agent(&kernel, "lark", |_| sleep(9.0));
            clients(&kernel, 10, 700.0, |kernel| {
                call(kernel, "wren");
                call(kernel, "lark");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "a slow agent behind another one",
        component: &["deep"],
        kinds: &[Kind::Service],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "deep", |_| sleep(20.0));
            agent(&kernel, "front", |kernel| {
                sleep(3.0);
                call(kernel, "deep");
            });
            let policy = json!({"bulkhead": {"concurrency": 4, "queue": 64}});
            guard(&kernel, CallsTo::Agent("front".into()), policy);
            clients(&kernel, 7, 700.0, |kernel| call(kernel, "front"));
            done(&kernel)
        },
    },
    Plant {
        what: "a slow service outside, which is told of",
        component: &["archive"],
        kinds: &[Kind::Dependency],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "clerk", |kernel| {
                sleep(4.0);
                kernel.waiting(WaitFor::Dependency, "archive", || sleep(15.0));
            });
            clients(&kernel, 4, 600.0, |kernel| call(kernel, "clerk"));
            done(&kernel)
        },
    },
    Plant {
        what: "an agent that fails two times of three",
        component: &["moth"],
        kinds: &[Kind::Retry, Kind::Errors],
        run: || {
            let kernel = kernel(Limits::default());
            let calls = AtomicU64::new(0);
            agent(&kernel, "bee", |_| sleep(8.0));
            agent_for(&kernel, "moth", "moth", move |_| {
                sleep(5.0);
                match calls.fetch_add(1, Ordering::Relaxed) % 3 {
                    2 => Ok(()),
                    _ => Err(Error::new(Code::OVERLOADED, "not now")),
                }
            });
            let retry = json!({"retry": {"attempts": 6, "base_ms": 15, "max_ms": 15, "jitter": "none"},
                "budget": {"capacity": 1e6}});
            guard(&kernel, CallsTo::Skill("moth".into()), retry);
            clients(&kernel, 3, 900.0, |kernel| {
                call(kernel, "bee");
                call(kernel, "moth");
            });
            done(&kernel)
        },
    },
    Plant {
        what: "all for one of three that could do it",
        component: &["s1"],
        kinds: &[Kind::Imbalance],
        run: || {
            let kernel = kernel(Limits::default());
            for name in ["s1", "s2", "s3"] {
                agent_for(&kernel, name, "sort", |_| {
                    sleep(8.0);
                    Ok(())
                });
                let policy = json!({"bulkhead": {"concurrency": 1, "queue": 64}});
                guard(&kernel, CallsTo::Agent(name.into()), policy);
            }
            let turn = AtomicU64::new(0);
            clients(&kernel, 6, 800.0, |kernel| {
                let to = match turn.fetch_add(1, Ordering::Relaxed) % 12 {
                    0 => "s2",
                    6 => "s3",
                    _ => "s1",
                };
                let _ = kernel.call(Task::new("sort", 1).to_agent(to)).wait();
            });
            done(&kernel)
        },
    },
    Plant {
        what: "what is done alone after all others",
        component: &["fold"],
        kinds: &[Kind::Service],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "leaf", |_| sleep(10.0));
            agent(&kernel, "fold", |_| sleep(30.0));
            agent(&kernel, "tree", |kernel| {
                let all: Vec<_> = (0..6).map(|_| kernel.call(Task::new("leaf", 1))).collect();
                all.into_iter().for_each(|mut ticket| drop(ticket.wait()));
                call(kernel, "fold");
            });
            clients(&kernel, 3, 700.0, |kernel| call(kernel, "tree"));
            done(&kernel)
        },
    },
    Plant {
        what: "a budget for retries that is used up",
        component: &["crow"],
        kinds: &[Kind::Budget, Kind::Errors, Kind::Retry],
        run: || {
            let kernel = kernel(Limits::default());
            let calls = AtomicU64::new(0);
            agent_for(&kernel, "crow", "crow", move |_| {
                sleep(3.0);
                match calls.fetch_add(1, Ordering::Relaxed) % 4 {
                    3 => Ok(()),
                    _ => Err(Error::new(Code::IO, "broken pipe")),
                }
            });
            let policy = json!({"retry": {"attempts": 5, "base_ms": 2, "max_ms": 2},
                "budget": {"capacity": 2.0, "per_success": 0.0, "per_second": 0.0}});
            guard(&kernel, CallsTo::Skill("crow".into()), policy);
            clients(&kernel, 3, 500.0, |kernel| call(kernel, "crow"));
            done(&kernel)
        },
    },
    Plant {
        what: "a processor quota, by stated figures",
        component: &["quota"],
        kinds: &[Kind::Resource],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "elm", |_| sleep(10.0));
            agent(&kernel, "ash", |_| sleep(4.0));
            clients(&kernel, 4, 500.0, |kernel| {
                call(kernel, "elm");
                call(kernel, "ash");
            });
            let mut figures = ResourceFigures::new("quota");
            (figures.utilisation, figures.saturation) = (Some(1.0), Some(0.8));
            kernel.state_resource(figures).unwrap();
            done(&kernel)
        },
    },
    Plant {
        what: "too few connections of the host's",
        component: &["connections"],
        kinds: &[Kind::Pool],
        run: || {
            let kernel = kernel(Limits::default());
            let (give, take) = std::sync::mpsc::channel();
            (0..2).for_each(|_| give.send(()).unwrap());
            let take = parking_lot::Mutex::new(take);
            let give = parking_lot::Mutex::new(give);
            agent(&kernel, "query", move |kernel| {
                kernel.waiting(WaitFor::Pool, "connections", || take.lock().recv().unwrap());
                sleep(8.0);
                give.lock().send(()).unwrap();
            });
            clients(&kernel, 9, 600.0, |kernel| call(kernel, "query"));
            done(&kernel)
        },
    },
    Plant {
        what: "a step of the host's own",
        component: &["render"],
        kinds: &[Kind::Service],
        run: || {
            let kernel = kernel(Limits::default());
            agent(&kernel, "fetch", |_| sleep(5.0));
            clients(&kernel, 3, 500.0, |kernel| {
                kernel.step("page", || {
                    call(kernel, "fetch");
                    kernel.step("render", || sleep(15.0));
                });
            });
            done(&kernel)
        },
    },
    Plant {
        what: "an agent that turns away what it has no room for",
        component: &["gate"],
        kinds: &[Kind::Queue],
        run: || {
            let kernel = kernel(Limits::default());
            let card = AgentCard::new("gate", ["gate"]).concurrency(1);
            let gate = from_fn(card, |_: &Task| {
                sleep(10.0);
                Ok("done")
            });
            kernel.add_agent(gate).unwrap();
            clients(&kernel, 6, 500.0, |kernel| {
                call(kernel, "gate");
                sleep(3.0);
            });
            done(&kernel)
        },
    },
];
