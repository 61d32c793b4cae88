//! One source of a kernel: what is known of it, and whose turn it is to look.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::Error;
use crate::agent::discover::{DiscoveryPolicy, Inventory, SourceView};
use crate::agent::{AgentState, Entry};
use crate::base::id::TimerId;
use crate::base::time::{Moment, Timestamp};
use crate::base::wait::{Condvar, Mutex};
use crate::port::{DiscoverySource, WatchGuard};

/// One source of a kernel.
pub(in crate::kernel) struct Slot {
    name: Arc<str>,
    policy: DiscoveryPolicy,
    interval: Duration,
    state: Mutex<State>,
    /// Somebody's turn has ended.
    change: Condvar,
}

struct State {
    /// Let go of when it is taken out, or the kernel stops.
    source: Option<Arc<dyn DiscoverySource>>,
    watch: Option<WatchGuard>,
    inventory: Inventory,
    /// The entries of the agents that were found here, by their names: of each its versions, the last one last.
    found: HashMap<Arc<str>, Vec<Weak<Entry>>>,
    busy: bool,
    /// When it is looked at next.
    next: Option<(Moment, TimerId)>,
    looks: u64,
    looked_at: Option<Timestamp>,
    error: Option<Error>,
}

/// What a slot held, to be dropped with no lock held.
pub(super) struct Held {
    pub(super) timer: Option<TimerId>,
    #[allow(dead_code, reason = "held for its drop")]
    rest: (Option<Arc<dyn DiscoverySource>>, Option<WatchGuard>),
}

/// Whoever has it looks at the source; nobody else does.
pub(super) struct Turn<'s>(&'s Slot);

impl Slot {
    pub(super) fn new(
        name: Arc<str>,
        source: Arc<dyn DiscoverySource>,
        policy: DiscoveryPolicy,
        interval: Duration,
    ) -> Self {
        let state = State {
            source: Some(source),
            watch: None,
            inventory: Inventory::new(&policy, interval),
            found: HashMap::new(),
            busy: false,
            next: None,
            looks: 0,
            looked_at: None,
            error: None,
        };
        Self { name, policy, interval, state: Mutex::new(state), change: Condvar::new() }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn policy(&self) -> &DiscoveryPolicy {
        &self.policy
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn settle(&self) -> Duration {
        Duration::from_millis(self.policy.settle_ms)
    }

    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.policy.grace_ms)
    }

    /// A number that goes with its name, the same in each process.
    pub(super) fn number(&self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(&*self.name)
    }

    /// Has the source, and nobody else has meanwhile. Waits for whoever does, where `waits`; `None` when it is
    /// somebody else's turn, or the source was taken out.
    pub(super) fn turn(&self, waits: bool) -> Option<(Turn<'_>, Arc<dyn DiscoverySource>)> {
        let mut state = self.state.lock();
        while state.busy {
            if !waits {
                return None;
            }
            state = self.change.wait(state);
        }
        let source = Arc::clone(state.source.as_ref()?);
        state.busy = true;
        Some((Turn(self), source))
    }

    /// Works with what the source has.
    pub(super) fn inventory<R>(&self, f: impl FnOnce(&mut Inventory) -> R) -> R {
        f(&mut self.state.lock().inventory)
    }

    /// The last entry of an agent that was found here, while there is one.
    pub(super) fn entry(&self, agent: &str) -> Option<Arc<Entry>> {
        self.state.lock().found.get(agent).and_then(|versions| versions.last()?.upgrade())
    }

    /// An agent was found here.
    pub(super) fn keep(&self, entry: &Arc<Entry>) {
        let mut state = self.state.lock();
        let versions = state.found.entry(Arc::clone(entry.name())).or_default();
        versions.retain(|other| {
            other.upgrade().is_some_and(|other| other.state() != AgentState::Stopped)
        });
        versions.push(Arc::downgrade(entry));
    }

    /// An agent is not the source's any more: its versions that were found here, those that are in charge last.
    pub(super) fn forget(&self, agent: &str) -> Vec<Arc<Entry>> {
        let found = self.state.lock().found.remove(agent);
        found.map(living).unwrap_or_default()
    }

    /// The source has been looked at; says how often, and whether it failed in another way than before.
    pub(super) fn looked(&self, at: Timestamp, error: Option<Error>) -> (u64, bool) {
        let mut state = self.state.lock();
        state.looks += 1;
        state.looked_at = Some(at);
        let new = match (&state.error, &error) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(before), Some(error)) => !crate::agent::discover::same(before, error),
        };
        state.error = error;
        (state.looks, new)
    }

    /// Whether nothing watches the source yet and it has not been looked at.
    pub(super) fn is_new(&self) -> bool {
        self.state.lock().looks == 0
    }

    /// Keeps what watches the source; gives it back when it was taken out meanwhile.
    pub(super) fn watched(&self, watch: WatchGuard) -> Option<WatchGuard> {
        let mut state = self.state.lock();
        if state.source.is_none() {
            return Some(watch);
        }
        state.watch.replace(watch)
    }

    /// Whether it would not be looked at before this moment.
    pub(super) fn is_later(&self, at: Moment) -> bool {
        let state = self.state.lock();
        state.source.is_some() && state.next.is_none_or(|(next, _)| at < next)
    }

    /// The timer for this moment was set; gives back the one that is of no use any more.
    pub(super) fn armed(&self, at: Moment, timer: TimerId) -> Option<TimerId> {
        let mut state = self.state.lock();
        if state.source.is_none() {
            return Some(timer);
        }
        state.next.replace((at, timer)).map(|(_, stale)| stale)
    }

    /// The timer for this moment has gone off; says whether it is the one that counts.
    pub(super) fn fires(&self, at: Moment) -> bool {
        let mut state = self.state.lock();
        let counts = state.next.is_some_and(|(next, _)| next == at);
        if counts {
            state.next = None;
        }
        counts
    }

    /// Takes the timer back: another one is set.
    pub(super) fn disarm(&self) -> Option<TimerId> {
        self.state.lock().next.take().map(|(_, timer)| timer)
    }

    /// Lets go of the source: it is not looked at any more.
    pub(super) fn close(&self) -> Held {
        let mut state = self.state.lock();
        let timer = state.next.take().map(|(_, timer)| timer);
        Held { timer, rest: (state.source.take(), state.watch.take()) }
    }

    /// Waits for whoever looks at it, where `waits`, and gives the agents that were found here.
    pub(super) fn end(&self, waits: bool) -> Vec<Vec<Arc<Entry>>> {
        let mut state = self.state.lock();
        while state.busy && waits {
            state = self.change.wait(state);
        }
        let found = std::mem::take(&mut state.found);
        state.inventory = Inventory::new(&self.policy, self.interval);
        drop(state);
        found.into_values().map(living).collect()
    }

    pub(super) fn view(&self) -> SourceView {
        let state = self.state.lock();
        SourceView {
            source: Arc::clone(&self.name),
            interval_ms: u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX),
            looks: state.looks,
            looked_at: state.looked_at,
            error: state.error.clone(),
            items: state.inventory.views(),
            beyond: state.inventory.beyond(),
        }
    }
}

/// What is left of an agent's versions; those that stand by come first, so that none of them takes over.
fn living(versions: Vec<Weak<Entry>>) -> Vec<Arc<Entry>> {
    let mut versions: Vec<_> = versions.iter().filter_map(Weak::upgrade).collect();
    versions.sort_by_key(|entry| entry.state() != AgentState::Standby);
    versions
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().busy = false;
        self.0.change.notify_all();
    }
}

/// Whether this thread is within a look: what would wait for the look's end is refused there.
pub(super) mod inside {
    use std::cell::Cell;

    use crate::base::error::Fixed;
    use crate::{Code, Error, Result};

    thread_local! {
        static INSIDE: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs code of a source.
    pub(in crate::kernel::discovery) fn run<R>(f: impl FnOnce() -> R) -> R {
        struct Restore(bool);
        impl Drop for Restore {
            fn drop(&mut self) {
                INSIDE.set(self.0);
            }
        }
        let _restore = Restore(INSIDE.replace(true));
        f()
    }

    pub(in crate::kernel::discovery) fn refuse() -> Result<()> {
        static WITHIN: Fixed = Fixed {
            code: Code::WOULD_DEADLOCK,
            message: "a source that is being looked at cannot wait for the end of the look",
        };
        if INSIDE.get() { Err(Error::from(&WITHIN)) } else { Ok(()) }
    }
}
