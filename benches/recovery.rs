//! The guard beside what Rust programs use for the same: tower, tower-resilience, failsafe, recloser,
//! backon, governor.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::future::{Future, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use backon::BlockingRetryable as _;
use failsafe::CircuitBreaker as _;
use sutazai_core::base::runtime::{Runtime, Tokio};
use sutazai_core::base::time::Moment;
use sutazai_core::recovery::{Breaker, BreakerPolicy, Forced, Guard, RateLimit, RatePolicy};
use sutazai_core::{Code, Error};
use tower::{Service as _, ServiceBuilder, ServiceExt as _};
use tower_resilience_bulkhead::BulkheadLayer;
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_retry::{RetryBudgetBuilder, RetryLayer};
use tower_resilience_timelimiter::TimeLimiterLayer;

const ROUND: u64 = 200_000;

/// Retry, budget, breaker, bulkhead and deadline.
const USUAL: &str = r#"{"timeout_ms": 10000, "retry": {}, "breaker": {}, "bulkhead": {}}"#;
/// The same, with slow calls and a rate limit that does not bite.
const ALL: &str = r#"{"timeout_ms": 10000, "retry": {}, "bulkhead": {},
    "breaker": {"slow_rate": 0.5, "slow_ms": 5}, "rate": {"calls": 1000000000, "period_ms": 1000}}"#;

fn guard(policy: &str) -> Guard {
    Guard::new("bench", serde_json::from_str(policy).unwrap()).unwrap()
}

fn main() {
    let usual = guard(USUAL);
    bar::alone("recovery.guard_sync", "ns", 60.0, &mut || one_thread(&usual));
    let all = guard(ALL);
    bar::alone("recovery.guard_slowcall", "ns", 100.0, &mut || one_thread(&all));

    let rejecting = Breaker::new("open", BreakerPolicy::default()).unwrap();
    rejecting.force(Some(Forced::Open));
    let open = guard(r#"{"timeout_ms": 10000, "retry": {}, "breaker": {}, "bulkhead": {}}"#);
    open.breaker().unwrap().force(Some(Forced::Open));
    bar::alone("recovery.reject", "ns", 30.0, &mut || {
        bar::timed(ROUND, || {
            for n in 0..ROUND {
                assert!(open.run(|_| Ok(black_box(n))).is_err());
            }
        })
    });

    breakers();
    threads(&usual);
    awaited();
    retries();
    rates();
}

fn one_thread(guard: &Guard) -> (Duration, u64) {
    bar::timed(ROUND, || {
        for n in 0..ROUND {
            assert_eq!(guard.run(|_| Ok(black_box(n))).unwrap(), n);
        }
    })
}

fn failsafe_breaker() -> impl failsafe::CircuitBreaker {
    failsafe::Config::new()
        .failure_policy(failsafe::failure_policy::success_rate_over_time_window(
            0.5,
            20,
            Duration::from_secs(10),
            failsafe::backoff::exponential(Duration::from_secs(5), Duration::from_secs(60)),
        ))
        .build()
}

fn recloser() -> recloser::Recloser {
    recloser::Recloser::custom()
        .error_rate(0.5)
        .closed_len(100)
        .half_open_len(10)
        .open_wait(Duration::from_secs(5))
        .build()
}

/// One breaker, on one thread.
fn breakers() {
    let (ours, failsafe, recloser) = (guard(r#"{"breaker": {}}"#), failsafe_breaker(), recloser());
    bar::compare(
        "recovery.breaker",
        "ns",
        1.0,
        &mut || one_thread(&ours),
        &mut [
            ("failsafe", &mut || {
                bar::timed(ROUND, || {
                    for n in 0..ROUND {
                        assert_eq!(failsafe.call(|| Ok::<_, ()>(black_box(n))).unwrap(), n);
                    }
                })
            }),
            ("recloser", &mut || {
                bar::timed(ROUND, || {
                    for n in 0..ROUND {
                        assert_eq!(recloser.call(|| Ok::<_, ()>(black_box(n))).unwrap(), n);
                    }
                })
            }),
        ],
    );
}

/// Eight threads on one guard; the peers have a breaker alone.
fn threads(ours: &Guard) {
    let (failsafe, recloser) = (failsafe_breaker(), recloser());
    bar::compare(
        "recovery.guard_8threads",
        "ns",
        1.0,
        &mut || eight(|n| ours.run(|_| Ok(black_box(n))).unwrap()),
        &mut [
            ("failsafe", &mut || eight(|n| failsafe.call(|| Ok::<_, ()>(black_box(n))).unwrap())),
            ("recloser", &mut || eight(|n| recloser.call(|| Ok::<_, ()>(black_box(n))).unwrap())),
        ],
    );
}

fn eight(call: impl Fn(u64) -> u64 + Sync) -> (Duration, u64) {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..ROUND / 4).for_each(|n| assert_eq!(call(n), n)));
        }
    });
    (start.elapsed(), 2 * ROUND)
}

/// Awaited calls that are ready at once, with a deadline.
fn awaited() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = tokio.enter();
    let runtime: Arc<dyn Runtime> = Arc::new(Tokio::current().unwrap());
    let ours = Guard::builder("bench", serde_json::from_str(USUAL).unwrap())
        .runtime(runtime)
        .build()
        .unwrap();
    let mut tower = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(64)
        .retry(Again::default())
        .timeout(Duration::from_secs(10))
        .service(tower::service_fn(|n: u64| ready(Ok::<_, Error>(black_box(n)))));
    let mut resilience = resilience();
    bar::compare(
        "recovery.guard_async",
        "ns",
        0.6,
        &mut || {
            bar::timed(ROUND, || {
                for n in 0..ROUND {
                    assert_eq!(now(ours.call(|_| ready(Ok(black_box(n))))).unwrap(), n);
                }
            })
        },
        &mut [
            ("tower", &mut || {
                bar::timed(ROUND, || {
                    for n in 0..ROUND {
                        let answer = now(async { tower.ready().await?.call(n).await });
                        assert_eq!(answer.unwrap(), n);
                    }
                })
            }),
            ("tower-resilience", &mut || {
                bar::timed(ROUND, || {
                    for n in 0..ROUND {
                        let answer = now(async { resilience.ready().await?.call(n).await });
                        assert_eq!(answer.unwrap(), n);
                    }
                })
            }),
        ],
    );
}

/// The parts of the guard in their order: a time limit around all tries, then retry with a budget, and
/// around each try the breaker and the bulkhead.
fn resilience()
-> impl tower::Service<u64, Response = u64, Error: std::fmt::Debug, Future: Send> + Clone {
    let breaker = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(100)
        .minimum_number_of_calls(20)
        .wait_duration_in_open(Duration::from_secs(5))
        .build()
        .unwrap();
    let budget = RetryBudgetBuilder::new()
        .token_bucket()
        .tokens_per_second(1.0)
        .max_tokens(16)
        .initial_tokens(16)
        .build()
        .unwrap();
    ServiceBuilder::new()
        .layer(TimeLimiterLayer::builder().timeout_duration(Duration::from_secs(10)).build())
        .layer(
            RetryLayer::builder()
                .max_attempts(5)
                .exponential_backoff(Duration::from_millis(100))
                .budget(budget)
                .build(),
        )
        .layer(breaker)
        .layer(BulkheadLayer::builder().max_concurrent_calls(64).build().unwrap())
        .service(tower::service_fn(|n: u64| ready(Ok::<_, Error>(black_box(n)))))
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it is ready"),
    }
}

/// tower's own budget, as its documentation has it.
#[derive(Clone, Default)]
struct Again(Arc<tower::retry::budget::TpsBudget>);

impl<E> tower::retry::Policy<u64, u64, E> for Again {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, E>) -> Option<Self::Future> {
        use tower::retry::budget::Budget as _;
        match result {
            Ok(_) => {
                self.0.deposit();
                None
            }
            Err(_) => self.0.withdraw().then(|| ready(())),
        }
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

/// A call that fails once and then succeeds, without a wait.
fn retries() {
    let ours = guard(
        r#"{"retry": {"base_ms": 0, "max_ms": 0}, "budget": {"capacity": 1000000, "per_success": 1}}"#,
    );
    let busy = Error::new(Code::OVERLOADED, "busy");
    let backoff = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::ZERO)
        .with_max_delay(Duration::ZERO)
        .with_max_times(4);
    bar::compare(
        "recovery.retry_once",
        "ns",
        1.0,
        &mut || {
            bar::timed(ROUND / 10, || {
                for _ in 0..ROUND / 10 {
                    ours.run(
                        |attempt| if attempt.number == 1 { Err(busy.clone()) } else { Ok(()) },
                    )
                    .unwrap();
                }
            })
        },
        &mut [("backon", &mut || {
            bar::timed(ROUND / 10, || {
                for _ in 0..ROUND / 10 {
                    let mut first = true;
                    let call = || {
                        if std::mem::take(&mut first) { Err(busy.clone()) } else { Ok(()) }
                    };
                    call.retry(backoff).sleep(|_| ()).call().unwrap();
                }
            })
        })],
    );
}

/// A rate limit that does not bite, the clock read included.
fn rates() {
    let mut policy = RatePolicy::default();
    policy.calls = 1_000_000_000;
    let ours = RateLimit::new("bench", policy).unwrap();
    let governor = governor::RateLimiter::direct(governor::Quota::per_second(
        std::num::NonZeroU32::new(1_000_000_000).unwrap(),
    ));
    bar::compare(
        "recovery.rate",
        "ns",
        1.0,
        &mut || {
            bar::timed(ROUND, || {
                (0..ROUND).for_each(|_| assert!(ours.admit(Moment::now()).is_ok()))
            })
        },
        &mut [("governor", &mut || {
            bar::timed(ROUND, || (0..ROUND).for_each(|_| assert!(governor.check().is_ok())))
        })],
    );
}
