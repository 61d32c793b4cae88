//! The recorded tasks done again, by events: with other service times and other capacities the waiting is another, and the
//! bottleneck may be elsewhere.
//!
//! A recording that is done again with a change says what the change brings whatever the distributions are and however work is
//! nested, which the formulas of queueing networks do not; see Curtsinger and Berger, "Coz" (SOSP 2015), for why a share of a
//! profile does not say it either.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::model::{Begins, Does, Model};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Replayed {
    /// Tasks a second, from the first arrival to the last end.
    pub(super) throughput: f64,
    /// Mean time of the tasks, seconds.
    pub(super) latency: f64,
}

/// Whole nanoseconds, so that they have an order.
type At = u64;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// It is asked for.
    Arrives(usize),
    /// It has paused, and asks for what it holds.
    Asks(usize),
    /// It goes on with what it does next.
    GoesOn(usize),
    /// It has what it needed of a server, and lets go of it.
    Lets(usize, usize),
    /// A shared server has done with somebody, if nothing has changed since.
    Shares(usize, u64),
}

#[derive(Default)]
struct Doing {
    arrived: f64,
    ended: f64,
    /// What it holds already.
    held: usize,
    /// What it does next.
    next: usize,
    /// Parts that it waits for.
    parts: usize,
    asked: bool,
    done: bool,
}

#[derive(Default)]
struct Line {
    busy: f64,
    waiting: VecDeque<Waiting>,
    /// For shared ones: who is there, by how much each will have had when it is done, and in the order of coming. All have equally
    /// much at a time, so that only the first has to be looked at.
    there: BinaryHeap<Reverse<(At, u64, usize)>>,
    /// What each has had that was there all the time, and until when that is.
    had: f64,
    since: f64,
    version: u64,
}

enum Waiting {
    /// For as long as the piece takes.
    Holds(usize),
    /// For so many seconds.
    Uses(usize, f64),
}

pub(super) struct Replay<'a> {
    model: &'a Model,
    doing: Vec<Doing>,
    lines: Vec<Line>,
    events: BinaryHeap<Reverse<(At, u64, Event)>>,
    number: u64,
    now: f64,
}

impl<'a> Replay<'a> {
    /// Does it all; nothing where there is no task, or one would never end.
    pub(super) fn run(model: &'a Model) -> Option<Replayed> {
        let mut replay = Self {
            model,
            doing: model.pieces.iter().map(|_| Doing::default()).collect(),
            lines: model.servers.iter().map(|_| Line::default()).collect(),
            events: BinaryHeap::new(),
            number: 0,
            now: 0.0,
        };
        for (at, piece) in model.pieces.iter().enumerate() {
            if let Begins::At(when) = piece.begins {
                replay.plan(when, Event::Arrives(at));
            }
        }
        while let Some(Reverse((at, _, event))) = replay.events.pop() {
            replay.now = replay.now.max(seconds(at));
            replay.happens(event);
        }
        replay.figures()
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a window")]
    fn figures(&self) -> Option<Replayed> {
        let (mut n, mut sum, mut first, mut last) = (0_u64, 0.0, f64::INFINITY, 0.0_f64);
        for at in &self.model.tasks {
            // Those that wait for each other for ever have no figures, and the others would have false ones.
            let task = self.doing.get(*at).filter(|task| task.done)?;
            n += 1;
            sum += task.ended - task.arrived;
            first = first.min(task.arrived);
            last = last.max(task.ended);
        }
        let n = n as f64;
        (n > 0.0).then(|| Replayed { throughput: n / (last - first).max(1e-9), latency: sum / n })
    }

    fn plan(&mut self, at: f64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((nanos(at), self.number, event)));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives(at) => {
                let pause = self.model.pieces.get(at).map_or(0.0, |piece| piece.pause);
                let now = self.now;
                match self.doing.get_mut(at) {
                    Some(doing) if !doing.asked => {
                        doing.asked = true;
                        doing.arrived = now;
                    }
                    _ => return,
                }
                self.plan(now + pause, Event::Asks(at));
            }
            Event::Asks(at) => self.asks(at),
            Event::GoesOn(at) => self.goes_on(at),
            Event::Lets(server, at) => {
                self.free(server);
                self.goes_on(at);
            }
            Event::Shares(server, version) => self.shares(server, version),
        }
    }

    /// Asks for what it has to hold; begins when it has everything.
    fn asks(&mut self, at: usize) {
        let model = self.model;
        let Some(piece) = model.pieces.get(at) else { return };
        loop {
            let Some(doing) = self.doing.get_mut(at) else { return };
            let Some(server) = piece.holds.get(doing.held).copied() else { break };
            let capacity = model.servers.get(server).map_or(1.0, |it| it.capacity);
            let Some(line) = self.lines.get_mut(server) else { break };
            if line.busy + 1.0 > capacity.max(1.0) {
                line.waiting.push_back(Waiting::Holds(at));
                return;
            }
            line.busy += 1.0;
            doing.held += 1;
        }
        self.goes_on(at);
    }

    fn goes_on(&mut self, at: usize) {
        let model = self.model;
        let now = self.now;
        let Some(piece) = model.pieces.get(at) else { return };
        let Some(doing) = self.doing.get_mut(at) else { return };
        let does = piece.does.get(doing.next);
        doing.next += 1;
        match does {
            Some(Does::Takes(seconds)) => self.plan(now + seconds, Event::GoesOn(at)),
            Some(Does::Uses(server, seconds)) => self.uses(at, *server, *seconds),
            Some(Does::Parts(parts, waits_for)) => {
                doing.parts = *waits_for;
                if *waits_for == 0 {
                    self.plan(now, Event::GoesOn(at));
                }
                for (part, after) in parts {
                    self.plan(now + after, Event::Arrives(*part));
                }
            }
            None => self.ends(at),
        }
    }

    fn ends(&mut self, at: usize) {
        let model = self.model;
        let now = self.now;
        let Some(piece) = model.pieces.get(at) else { return };
        match self.doing.get_mut(at) {
            Some(doing) if !doing.done => {
                doing.done = true;
                doing.ended = now;
            }
            _ => return,
        }
        for server in piece.holds.iter().rev() {
            self.free(*server);
        }
        for (next, after) in &piece.then {
            self.plan(now + after, Event::Arrives(*next));
        }
        if let Some(parent) = piece.parent
            && let Some(doing) = self.doing.get_mut(parent)
            && doing.parts > 0
        {
            doing.parts -= 1;
            if doing.parts == 0 {
                self.plan(now, Event::GoesOn(parent));
            }
        }
    }

    fn uses(&mut self, at: usize, server: usize, seconds: f64) {
        let Some(kind) = self.model.servers.get(server) else { return };
        let (now, capacity) = (self.now, kind.capacity.max(1.0));
        let Some(line) = self.lines.get_mut(server) else { return };
        if kind.shared {
            advance(line, now, capacity);
            let (until, number) = (nanos(line.had + seconds), self.number);
            line.there.push(Reverse((until, number, at)));
            self.next_share(server);
        } else if line.busy + 1.0 <= capacity {
            line.busy += 1.0;
            self.plan(now + seconds, Event::Lets(server, at));
        } else {
            line.waiting.push_back(Waiting::Uses(at, seconds));
        }
    }

    /// Somebody has let go: the next one has it.
    fn free(&mut self, server: usize) {
        let now = self.now;
        let Some(line) = self.lines.get_mut(server) else { return };
        match line.waiting.pop_front() {
            None => line.busy = (line.busy - 1.0).max(0.0),
            Some(Waiting::Uses(at, seconds)) => self.plan(now + seconds, Event::Lets(server, at)),
            Some(Waiting::Holds(at)) => {
                if let Some(doing) = self.doing.get_mut(at) {
                    doing.held += 1;
                }
                self.plan(now, Event::Asks(at));
            }
        }
    }

    fn next_share(&mut self, server: usize) {
        let Some(capacity) = self.model.servers.get(server).map(|it| it.capacity.max(1.0)) else {
            return;
        };
        let now = self.now;
        let Some(line) = self.lines.get_mut(server) else { return };
        line.version += 1;
        let version = line.version;
        if let Some(Reverse((until, ..))) = line.there.peek() {
            let left = (seconds(*until) - line.had).max(0.0);
            let rate = rate(line, capacity);
            self.plan(now + left / rate, Event::Shares(server, version));
        }
    }

    fn shares(&mut self, server: usize, version: u64) {
        let Some(capacity) = self.model.servers.get(server).map(|it| it.capacity.max(1.0)) else {
            return;
        };
        let now = self.now;
        let Some(line) = self.lines.get_mut(server).filter(|line| line.version == version) else {
            return;
        };
        advance(line, now, capacity);
        let mut done = Vec::new();
        while let Some(Reverse((until, _, at))) = line.there.peek().copied() {
            if seconds(until) - line.had > 2e-9 {
                break;
            }
            line.there.pop();
            done.push(at);
        }
        for at in done {
            self.plan(now, Event::GoesOn(at));
        }
        self.next_share(server);
    }
}

/// What each has of a shared server.
#[allow(clippy::cast_precision_loss, reason = "counts of a window")]
fn rate(line: &Line, capacity: f64) -> f64 {
    (capacity / (line.there.len().max(1) as f64)).min(1.0)
}

fn advance(line: &mut Line, now: f64, capacity: f64) {
    let done = (now - line.since).max(0.0) * rate(line, capacity);
    line.had += done;
    line.since = now;
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is not negative, and saturates"
)]
fn nanos(seconds: f64) -> At {
    (seconds.max(0.0) * 1e9).round() as At
}

#[allow(clippy::cast_precision_loss, reason = "a window is shorter than 2⁵³ nanoseconds")]
fn seconds(at: At) -> f64 {
    at as f64 / 1e9
}
