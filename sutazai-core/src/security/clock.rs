//! A wall clock that never goes back, so that setting the system's back revives nothing.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::payload::Payload;
use crate::base::time::Timestamp;
use crate::store::{Durability, Store};
use crate::{Code, Error, Result};

const NAMESPACE: &str = "security.clock";
const KEY: &str = "seen";
/// Calls of threads that read the clock at the same time may come in another order than they read
/// it; a step back that is smaller than this is taken for that.
const REORDER: i64 = 2_000_000_000;

/// How a [`Clock`] keeps its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPolicy {
    /// How much time may pass before what was seen is written down; 10 ms to 1 h, default 1 s.
    pub persist_every: Duration,
    /// A jump forward by more than this is remembered as a leap, and can be taken back by
    /// [`Clock::reset`]; 1 min to 10 years, default 1 h.
    pub leap: Duration,
}

impl Default for ClockPolicy {
    fn default() -> Self {
        Self { persist_every: Duration::from_secs(1), leap: Duration::from_secs(3600) }
    }
}

impl ClockPolicy {
    fn check(self) -> Result<Self> {
        let bad =
            |what: &'static str| Err(Error::new(Code::INVALID, what).operation("security.clock"));
        if !(Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&self.persist_every) {
            return bad("persist_every must be from 10 ms to 1 h");
        }
        if !(Duration::from_secs(60)..=Duration::from_secs(315_360_000)).contains(&self.leap) {
            return bad("leap must be from 1 min to 10 years");
        }
        Ok(self)
    }
}

/// A wall clock that never goes back.
///
/// [`observe`](Self::observe) answers the latest of all times that it was ever given, this process's
/// and earlier ones': what was seen is written to the store at intervals and by
/// [`persist`](Self::persist) at the end. A process that is killed loses at most
/// [`ClockPolicy::persist_every`] of it. While the system's clock is set back by more than 2 s, time goes
/// on from the latest by as much as the system's clock advances.
///
/// **The trade-off.** A clock that was far ahead for a moment stays there. That does no harm to what
/// was issued under it, but one-time codes and other parties' tokens do not fit it. A jump of more than
/// [`ClockPolicy::leap`] is therefore remembered as a leap, and [`reset`](Self::reset) goes back, at most
/// to where the last leap began: never behind anything that was seen before it.
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::security::{Clock, ClockPolicy};
/// use sutazai_core::store::Store;
///
/// let clock = Clock::open(Store::memory(&[])?, ClockPolicy::default())?;
/// let noon = Timestamp::from_nanos(1_700_000_000_000_000_000);
/// assert_eq!(clock.observe(noon), noon);
/// assert_eq!(clock.observe(Timestamp::EPOCH), noon);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Clock {
    store: StoreHandle,
    policy: ClockPolicy,
    /// The latest time that was answered.
    seen: AtomicI64,
    /// What of it is on its way to the store, or there.
    written: AtomicI64,
    /// Whether the system's clock is behind by more than [`REORDER`].
    behind: AtomicBool,
    slow: Mutex<Slow>,
    steps_back: AtomicU64,
}

#[derive(Debug, Default)]
struct Slow {
    /// Where the last leap began: the floor of a reset.
    floor: Option<i64>,
    /// While the system's clock is behind: what it said when that was found, and what was answered.
    anchor: Option<(i64, i64)>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    seen: i64,
    floor: Option<i64>,
}

struct StoreHandle(Store);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Clock {
    /// The clock of this store, where it stood.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy out of range; what the store answers; [`Code::STORE_CORRUPT`] when
    /// what was kept cannot be read.
    pub fn open(store: Store, policy: ClockPolicy) -> Result<Self> {
        let policy = policy.check()?;
        let kept = match store.get(NAMESPACE, KEY)? {
            None => Kept { seen: i64::MIN, floor: None },
            Some(entry) => serde_json::from_str(&entry.value.to_text()).map_err(|e| {
                Error::new(Code::STORE_CORRUPT, "the time last seen cannot be read")
                    .operation("security.clock")
                    .because(e)
            })?,
        };
        Ok(Self {
            store: StoreHandle(store),
            policy,
            seen: AtomicI64::new(kept.seen),
            written: AtomicI64::new(kept.seen),
            behind: AtomicBool::new(false),
            slow: Mutex::new(Slow { floor: kept.floor, anchor: None }),
            steps_back: AtomicU64::new(0),
        })
    }

    /// Now, as the system's clock says it, or the latest time seen if that is later. Does not block.
    #[inline]
    pub fn observe(&self, now: Timestamp) -> Timestamp {
        let now = now.as_nanos();
        let seen = self.seen.load(Ordering::Acquire);
        let ahead = now.saturating_sub(seen);
        if ahead < -REORDER || self.behind.load(Ordering::Relaxed) || self.leaps(seen, ahead) {
            return self.observe_slowly(now);
        }
        let answer = self.seen.fetch_max(now, Ordering::AcqRel).max(now);
        if answer.saturating_sub(self.written.load(Ordering::Relaxed)) >= self.every() {
            self.write_later(answer);
        }
        Timestamp::from_nanos(answer)
    }

    fn leaps(&self, seen: i64, ahead: i64) -> bool {
        seen != i64::MIN && ahead > nanos(self.policy.leap)
    }

    #[cold]
    fn observe_slowly(&self, now: i64) -> Timestamp {
        let mut slow = self.slow.lock();
        let seen = self.seen.load(Ordering::Acquire);
        if now >= seen.saturating_sub(REORDER) {
            slow.anchor = None;
            self.behind.store(false, Ordering::Relaxed);
            if self.leaps(seen, now.saturating_sub(seen)) {
                slow.floor = Some(seen);
            }
            let answer = self.seen.fetch_max(now, Ordering::AcqRel).max(now);
            drop(slow);
            self.write_later(answer);
            return Timestamp::from_nanos(answer);
        }
        let (base, answered) = match slow.anchor {
            Some((base, answered)) if now >= base.saturating_sub(REORDER) => (base, answered),
            _ => {
                self.steps_back.fetch_add(1, Ordering::Relaxed);
                self.behind.store(true, Ordering::Relaxed);
                slow.anchor = Some((now, seen));
                (now, seen)
            }
        };
        let gone = answered.saturating_add(now.saturating_sub(base).max(0));
        let answer = self.seen.fetch_max(gone, Ordering::AcqRel).max(gone);
        drop(slow);
        if answer.saturating_sub(self.written.load(Ordering::Relaxed)) >= self.every() {
            self.write_later(answer);
        }
        Timestamp::from_nanos(answer)
    }

    fn every(&self) -> i64 {
        nanos(self.policy.persist_every)
    }

    /// Hands what was seen to the store, once for each interval, and does not wait.
    #[cold]
    fn write_later(&self, seen: i64) {
        let before = self.written.load(Ordering::Relaxed);
        if before >= seen
            || self
                .written
                .compare_exchange(before, seen, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        // Under the lock, so that the writes reach the store's queue in the order of what they say.
        let slow = self.slow.lock();
        if let Ok(value) = self.kept(slow.floor) {
            let now = self.latest();
            self.store.0.put(NAMESPACE, KEY, &value, now, Durability::Process).detach();
        }
    }

    fn kept(&self, floor: Option<i64>) -> Result<Payload> {
        Payload::json(&Kept { seen: self.seen.load(Ordering::Acquire), floor })
    }

    /// The latest time seen.
    pub fn latest(&self) -> Timestamp {
        Timestamp::from_nanos(self.seen.load(Ordering::Acquire))
    }

    /// How often the system's clock was found to be set back since this process began.
    pub fn steps_back(&self) -> u64 {
        self.steps_back.load(Ordering::Relaxed)
    }

    /// Where the last leap began: as far as [`reset`](Self::reset) may go back.
    pub fn floor(&self) -> Option<Timestamp> {
        self.slow.lock().floor.map(Timestamp::from_nanos)
    }

    /// Writes down what was seen, and waits until it is on the disk: for the end of the process, and for
    /// what must hold from here on.
    ///
    /// # Errors
    /// What the store answers.
    pub fn persist(&self) -> Result<()> {
        if self.seen.load(Ordering::Acquire) == i64::MIN {
            return Ok(());
        }
        let slow = self.slow.lock();
        let value = self.kept(slow.floor)?;
        let mut ticket = self.store.0.put(NAMESPACE, KEY, &value, self.latest(), Durability::Fsync);
        drop(slow);
        ticket.wait()
    }

    /// Goes back to `to` after a leap: for a clock that was wrong and is right again. Once a leap, and
    /// never behind where it began. Whoever does this revokes the tokens issued until then as well
    /// ([`Tokens::reset_clock`](super::token::Tokens::reset_clock) does), because revocations that seemed
    /// to be over were forgotten meanwhile.
    ///
    /// # Errors
    /// [`Code::CLOCK_RESET_REFUSED`] when there was no leap, or `to` is before it or after the latest
    /// time seen; what the store answers.
    pub fn reset(&self, to: Timestamp) -> Result<()> {
        let refused = |message: &'static str| {
            Error::new(Code::CLOCK_RESET_REFUSED, message).operation("security.clock.reset")
        };
        let mut slow = self.slow.lock();
        let Some(floor) = slow.floor else {
            return Err(refused("the clock has not leapt, so there is nothing to take back"));
        };
        if to.as_nanos() < floor {
            return Err(refused("that is before the leap began")
                .with("earliest", Timestamp::from_nanos(floor))
                .advice("set the system's clock right and reset to what it says"));
        }
        if to > self.latest() {
            return Err(refused("that is later than the latest time seen"));
        }
        self.seen.store(to.as_nanos(), Ordering::Release);
        self.written.store(to.as_nanos(), Ordering::Release);
        self.behind.store(false, Ordering::Relaxed);
        *slow = Slow::default();
        let value = self.kept(None)?;
        let mut ticket = self.store.0.put(NAMESPACE, KEY, &value, to, Durability::Fsync);
        drop(slow);
        ticket.wait()
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
