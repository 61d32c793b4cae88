//! The agent `flaky`: fails one call in five, and hangs in one of a hundred. What the guard is for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sutazai_core::agent::{FnAgent, from_async};
use sutazai_core::port::AgentCard;
use sutazai_core::{Code, Error};

/// It either answers at once or never.
const TIMEOUT: Duration = Duration::from_millis(100);

pub fn agent() -> FnAgent {
    let card = AgentCard::new("flaky", ["flake"])
        .description("fails one call in five, and sometimes hangs")
        .timeout(TIMEOUT);
    let calls = AtomicU64::new(0);
    from_async(card, move |_| {
        // By its number, so that every run meets the same trouble.
        let number = calls.fetch_add(1, Ordering::Relaxed) % 100;
        async move {
            match number {
                42 => std::future::pending().await,
                n if n % 5 == 0 => Err(Error::new(Code::AGENT_FAILED, "out of luck")),
                _ => Ok("fine"),
            }
        }
    })
}
