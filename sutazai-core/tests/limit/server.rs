//! A target with so many servers, in virtual time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How a target shares its servers out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Each server has one call; others wait in order of coming.
    Fifo,
    /// All calls are served at once, each as fast as there are servers for (processor sharing).
    Sharing,
}

/// A number that orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At(pub f64);
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Debug)]
pub struct Server {
    discipline: Discipline,
    capacity: f64,
    now: f64,
    /// Work that each call in service has had since the beginning of time (processor sharing).
    shared: f64,
    /// Calls in service: when they end, in time (FIFO) or in shared work.
    serving: BTreeSet<(At, u64)>,
    ends: BTreeMap<u64, f64>,
    waiting: VecDeque<(u64, f64)>,
    gone: BTreeSet<u64>,
}

impl Server {
    pub fn new(discipline: Discipline, capacity: f64) -> Self {
        Self {
            discipline,
            capacity,
            now: 0.0,
            shared: 0.0,
            serving: BTreeSet::new(),
            ends: BTreeMap::new(),
            waiting: VecDeque::new(),
            gone: BTreeSet::new(),
        }
    }

    fn rate(&self) -> f64 {
        (self.capacity / self.serving.len().max(1) as f64).min(1.0)
    }

    fn advance(&mut self, now: f64) {
        if self.discipline == Discipline::Sharing {
            self.shared += (now - self.now) * self.rate();
        }
        self.now = now;
    }

    fn serve(&mut self, id: u64, work: f64) {
        let end = match self.discipline {
            Discipline::Fifo => self.now + work,
            Discipline::Sharing => self.shared + work,
        };
        self.serving.insert((At(end), id));
        self.ends.insert(id, end);
    }

    fn fill(&mut self) {
        while (self.serving.len() as f64) < self.capacity {
            let Some((id, work)) = self.waiting.pop_front() else { return };
            if !self.gone.remove(&id) {
                self.serve(id, work);
            }
        }
    }

    pub fn begin(&mut self, now: f64, id: u64, work: f64) {
        self.advance(now);
        match self.discipline {
            Discipline::Sharing => self.serve(id, work),
            Discipline::Fifo => {
                self.waiting.push_back((id, work));
                self.fill();
            }
        }
    }

    /// When the next call ends, as things are.
    pub fn next(&self) -> Option<f64> {
        let (At(end), _) = self.serving.first()?;
        Some(match self.discipline {
            Discipline::Fifo => *end,
            Discipline::Sharing => self.now + (end - self.shared).max(0.0) / self.rate(),
        })
    }

    /// The call that ends now.
    pub fn end(&mut self, now: f64) -> Option<u64> {
        self.advance(now);
        let (_, id) = self.serving.pop_first()?;
        self.ends.remove(&id);
        self.fill();
        Some(id)
    }

    /// A call is given up.
    pub fn cancel(&mut self, now: f64, id: u64) {
        self.advance(now);
        match self.ends.remove(&id) {
            Some(end) => {
                self.serving.remove(&(At(end), id));
                self.fill();
            }
            None => {
                self.gone.insert(id);
            }
        }
    }

    pub fn set_capacity(&mut self, now: f64, capacity: f64) {
        self.advance(now);
        self.capacity = capacity;
        if self.discipline == Discipline::Fifo {
            self.fill();
        }
    }
}
