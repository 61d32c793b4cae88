//! Asks the monitors, on a thread beside the one that takes the sample, so that none of them keeps it waiting for longer than it has
//! patience. Where that is used up before all were asked, those that were not come first the next time.
//!
//! A thread that hangs cannot be ended. It is left to its monitor, which is not asked again before it has returned; another thread
//! goes on with the others. So there are never more such threads than monitors that hang, and of these there are
//! [`MONITORS_MAX`](super::MONITORS_MAX) at most, because those count that were taken away while they hung.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::base::contain;
use crate::base::time::{Moment, Timestamp};
use crate::port::{Monitor, Samples};
use crate::{Code, Error, Result};

/// A monitor has this part of a sample's patience before another thread goes on with those behind it.
const TURN: u32 = 4;

thread_local! {
    /// The monitors that this thread is asking, and whose they are.
    static ASKING: RefCell<Vec<(u64, Arc<str>)>> = const { RefCell::new(Vec::new()) };
}

/// Refuses where this thread is within a monitor of the watch `of`.
///
/// # Errors
/// [`Code::WOULD_DEADLOCK`], naming the monitor.
pub(super) fn check_outside(of: u64) -> Result<()> {
    let within = ASKING.try_with(|asking| {
        let asking = asking.try_borrow().ok()?;
        asking.iter().rfind(|(watch, _)| *watch == of).map(|(_, name)| Arc::clone(name))
    });
    match within.ok().flatten() {
        None => Ok(()),
        Some(monitor) => Err(Error::new(
            Code::WOULD_DEADLOCK,
            "a monitor takes no samples itself: this one is being asked by a sample",
        )
        .operation("monitor.sample")
        .with("monitor", monitor.escape_debug())
        .advice("leave the call out: what else is measured is a part of the same sample anyway")),
    }
}

/// A monitor of a watch.
pub(super) struct Member {
    pub(super) name: Arc<str>,
    /// Of the kernel, whose figures have room of their own.
    pub(super) own: bool,
    watch: u64,
    monitor: Arc<dyn Monitor>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    out: Option<Out>,
    said: Option<Said>,
    /// The number of the last sample that has asked it.
    last: u64,
    /// Samples in a row that have not.
    unasked: u32,
    /// It was taken away, and is not asked any more.
    removed: bool,
    /// Room for measurements.
    spare: Samples,
}

/// It was asked and has not returned.
#[derive(Clone, Copy)]
pub(super) struct Out {
    /// By the sample of this time.
    pub(super) asked: Timestamp,
    pub(super) since: Moment,
    /// The sample has ended without it.
    pub(super) left: bool,
    /// It was told that it hangs.
    told: bool,
}

/// What came of asking.
pub(super) enum Turn {
    Said(Said),
    Away(Out),
    /// So many times in a row; nothing of one that was taken away meanwhile.
    Unasked(Option<u32>),
}

/// What it said.
pub(super) struct Said {
    pub(super) asked: Timestamp,
    pub(super) samples: Samples,
    pub(super) failed: Option<Error>,
}

impl Member {
    pub(super) fn new(watch: u64, monitor: Arc<dyn Monitor>, own: bool) -> Self {
        let name = monitor.name().into();
        Self { name, own, watch, monitor, state: Mutex::default() }
    }

    pub(super) fn out(&self) -> Option<Out> {
        self.state.lock().out
    }

    /// The sample ends: with what it said, or without it.
    pub(super) fn end_turn(&self) -> Turn {
        let mut state = self.state.lock();
        if let Some(said) = state.said.take() {
            return Turn::Said(said);
        }
        if let Some(out) = &mut state.out {
            out.left = true;
            return Turn::Away(*out);
        }
        if state.removed {
            return Turn::Unasked(None);
        }
        state.unasked = state.unasked.saturating_add(1);
        Turn::Unasked(Some(state.unasked))
    }

    /// What it said that nobody has taken yet.
    pub(super) fn said(&self) -> Option<Said> {
        self.state.lock().said.take()
    }

    /// It is taken away, and not asked any more; whether it has not returned.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        state.removed = true;
        state.out.is_some()
    }

    /// Its place in the queue: the kernel's own come first, then those that have not been asked for longest.
    pub(super) fn place(&self) -> (bool, u64) {
        (!self.own, self.state.lock().last)
    }

    /// That it hangs is told; whether that is new.
    pub(super) fn tell(&self) -> bool {
        let mut state = self.state.lock();
        state.out.as_mut().is_some_and(|out| !std::mem::replace(&mut out.told, true))
    }

    /// Room for what it says the next time.
    pub(super) fn give_back(&self, samples: Samples) {
        self.state.lock().spare = samples;
    }

    /// It is being asked by the sample `number`; not where it was taken away.
    fn go_out(&self, asked: Timestamp, since: Moment, number: u64) -> bool {
        let mut state = self.state.lock();
        if state.removed {
            return false;
        }
        (state.last, state.unasked) = (number, 0);
        state.out = Some(Out { asked, since, left: false, told: false });
        true
    }

    fn answer(&self, asked: Timestamp) {
        let mut samples = std::mem::take(&mut self.state.lock().spare);
        samples.clear();
        let _inside = Inside::enter(self.watch, &self.name);
        let sampled =
            contain::run("a monitor panicked", || self.monitor.sample(asked, &mut samples));
        let failed = sampled.flatten().err();
        let mut state = self.state.lock();
        state.out = None;
        state.said = Some(Said { asked, samples, failed });
    }
}

struct Inside;

impl Inside {
    fn enter(watch: u64, name: &Arc<str>) -> Self {
        ASKING.with(|asking| asking.borrow_mut().push((watch, Arc::clone(name))));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A thread that ends is within nothing any more.
        let _ = ASKING.try_with(|asking| asking.borrow_mut().pop());
    }
}

/// What one sample asks of the monitors.
pub(super) struct Round {
    number: u64,
    asked: Timestamp,
    moment: Moment,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<Arc<Member>>,
    under_way: usize,
    /// How many have returned.
    back: usize,
    over: bool,
}

impl Round {
    /// Of the sample `number`, at this time and moment.
    pub(super) fn new(
        number: u64,
        asked: Timestamp,
        moment: Moment,
        mut monitors: Vec<Arc<Member>>,
    ) -> Arc<Self> {
        monitors.sort_by_cached_key(|one| one.place());
        let work = Work { waiting: monitors.into(), ..Work::default() };
        Arc::new(Self { number, asked, moment, work: Mutex::new(work), changed: Condvar::new() })
    }

    /// Nobody waits for it any more, and nobody else is asked.
    pub(super) fn end(&self) {
        let left = {
            let mut work = self.work.lock();
            work.over = true;
            std::mem::take(&mut work.waiting)
        };
        self.changed.notify_all();
        drop(left);
    }

    /// Asks those who wait, one after another.
    fn ask(&self) {
        loop {
            let (next, goes) = {
                let mut work = self.work.lock();
                let Some(next) = work.waiting.pop_front() else { return };
                work.under_way += 1;
                let goes = next.go_out(self.asked, self.moment, self.number);
                (next, goes)
            };
            if goes {
                next.answer(self.asked);
            }
            // It may be the last one who has it.
            let _ = contain::catch(move || drop(next));
            let mut work = self.work.lock();
            work.under_way -= 1;
            work.back += 1;
            self.changed.notify_all();
        }
    }
}

/// The thread that asks, while there is anybody to be asked; one that is left to its monitor ends when that returns.
#[derive(Default)]
pub(super) struct Asker {
    thread: Option<Sender<Arc<Round>>>,
    /// The number of the last sample.
    samples: u64,
}

impl Asker {
    /// The number of the next sample.
    pub(super) fn next_number(&mut self) -> u64 {
        self.samples += 1;
        self.samples
    }

    /// Asks all; comes back when they have returned, or `patience` is over.
    ///
    /// # Errors
    /// Where there is no thread, and some were not asked by that.
    pub(super) fn ask(&mut self, round: &Arc<Round>, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        let mut started = self.send(round);
        let (mut turn, mut back) = (Instant::now() + patience / TURN, 0);
        let mut work = round.work.lock();
        while started.is_ok() && !work.over && !(work.waiting.is_empty() && work.under_way == 0) {
            let now = Instant::now();
            if now >= until {
                break;
            }
            if work.back != back {
                (turn, back) = (now + patience / TURN, work.back);
            }
            if work.waiting.is_empty() {
                round.changed.wait_until(&mut work, until);
            } else if now < turn {
                round.changed.wait_until(&mut work, turn.min(until));
            } else {
                drop(work);
                // Whoever has the present one is left to it.
                self.end();
                started = self.send(round);
                turn = Instant::now() + patience / TURN;
                work = round.work.lock();
            }
        }
        let stuck = work.under_way > 0;
        drop(work);
        round.end();
        if stuck {
            self.end();
        }
        started
    }

    /// It ends once it has nothing to do.
    pub(super) fn end(&mut self) {
        self.thread = None;
    }

    fn send(&mut self, round: &Arc<Round>) -> Result<()> {
        let refused = match &self.thread {
            Some(thread) => thread.send(Arc::clone(round)).is_err(),
            None => true,
        };
        if !refused {
            return Ok(());
        }
        let (sender, rounds) = channel::<Arc<Round>>();
        let thread = std::thread::Builder::new().name("sutazai-measure".to_owned());
        thread.spawn(move || rounds.iter().for_each(|round| round.ask())).map_err(|error| {
            Error::new(Code::OVERLOADED, "no thread could be started that asks monitors")
                .operation("monitor.sample")
                .because(error)
        })?;
        let _ = sender.send(Arc::clone(round));
        self.thread = Some(sender);
        Ok(())
    }
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;
