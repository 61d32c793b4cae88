//! Cells that are filled once, by whichever thread comes first, without a lock around the filling.
//!
//! A thread that finds a cell being filled waits for it, unless waiting could never end. Who waits
//! for whom is a graph of threads in which each has at most one edge: from a waiting thread to the
//! one that fills the cell it waits for. An edge is added under one lock, and only after following
//! the edges from its end has not led back to its beginning; so the graph never has a circle, and
//! some thread can always go on. The filler removes the edges to its cell, under the same lock, in
//! the step in which it stops being the filler; so an edge is never stale, and a circle is never
//! reported where there is none. What a circle means is a dependency cycle spread over threads.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

use super::container::Value;
use crate::Error;
use crate::base::runtime;

/// The cells of one lifetime: an injector's singletons, or the scoped values of one scope.
pub(super) struct Cells {
    cells: Box<[Cell]>,
    /// The cells that are full, in the order in which they were filled.
    filled: Mutex<Vec<usize>>,
}

#[derive(Default)]
struct Cell {
    value: OnceLock<Value>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    filler: Option<ThreadId>,
    /// Whether an edge of the [`Waits`] leads to this cell's filler.
    awaited: bool,
    /// What the latest attempt ended with; waiting threads share it instead of trying in turn.
    failure: Option<Error>,
}

/// Why a cell gave no value.
pub(super) enum Stop {
    /// This thread's attempt failed.
    Failed(Error),
    /// Another thread's attempt, which this one waited for, failed.
    Shared(Error),
    /// Waiting would never end: the paths of the threads in the circle, beginning with the thread
    /// that is waited for. Empty when this thread itself fills the cell.
    Circle(Vec<Vec<usize>>),
}

impl Cells {
    pub(super) fn new(count: usize) -> Self {
        Self {
            cells: std::iter::repeat_with(Cell::default).take(count).collect(),
            filled: Mutex::default(),
        }
    }

    /// The value of a cell, if it is full.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&Value> {
        self.cells.get(slot)?.value.get()
    }

    /// Fills a cell from outside; gives the value back when the cell was full.
    pub(super) fn put(&self, slot: usize, value: Value) -> Result<(), Value> {
        let Some(cell) = self.cells.get(slot) else { return Err(value) };
        cell.value.set(value)?;
        self.filled.lock().push(slot);
        Ok(())
    }

    /// The value of a cell; `make` fills it unless it is full or another thread is at it. `path` is
    /// the nodes that led here, asked for only when this thread has to wait.
    pub(super) fn get_or_fill(
        &self,
        slot: usize,
        waits: &Waits,
        path: impl Fn() -> Vec<usize>,
        make: impl FnOnce() -> Result<Value, Error>,
    ) -> Result<Value, Stop> {
        let cell = &self.cells[slot];
        let me = thread::current().id();
        loop {
            let mut state = cell.state.lock();
            if let Some(value) = cell.value.get() {
                return Ok(value.clone());
            }
            if state.filler.is_none() {
                state.filler = Some(me);
                break;
            }
            drop(state);
            // Lends a pool worker's slot; refused on a thread that must not block.
            runtime::block(|| waits.wait(cell, me, &path)).map_err(Stop::Failed)??;
            if let Some(failure) = cell.failure() {
                return Err(Stop::Shared(failure));
            }
        }
        let made = make();
        let failure = match made {
            Ok(value) => {
                // Full already when a scope was given its value meanwhile; that one counts.
                let _ = self.put(slot, value);
                None
            }
            Err(error) => Some(error),
        };
        waits.release(cell, failure.clone());
        match (failure, cell.value.get()) {
            (None, Some(value)) => Ok(value.clone()),
            (Some(error), _) => Err(Stop::Failed(error)),
            (None, None) => {
                Err(Stop::Failed(Error::new(crate::Code::INTERNAL, "a filled cell is empty")))
            }
        }
    }
}

impl Drop for Cells {
    /// Drops the values in the reverse order of their building.
    fn drop(&mut self) {
        while let Some(slot) = self.filled.get_mut().pop() {
            drop(self.cells[slot].value.take());
        }
    }
}

impl Cell {
    fn failure(&self) -> Option<Error> {
        let state = self.state.lock();
        if self.value.get().is_some() { None } else { state.failure.clone() }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Which thread waits for which; one for an injector and all its scopes.
#[derive(Default)]
pub(super) struct Waits {
    edges: Mutex<HashMap<ThreadId, Edge>>,
    changed: Condvar,
}

struct Edge {
    filler: ThreadId,
    /// The address of the cell; it stays put, because the waiting thread borrows it.
    cell: usize,
    /// The nodes that led the waiting thread to the cell, the cell's own last.
    path: Vec<usize>,
}

impl Waits {
    fn wait(&self, cell: &Cell, me: ThreadId, path: &dyn Fn() -> Vec<usize>) -> Result<(), Stop> {
        let mut edges = self.edges.lock();
        let filler = {
            let mut state = cell.state.lock();
            let Some(filler) = state.filler else { return Ok(()) };
            if filler == me {
                return Err(Stop::Circle(Vec::new()));
            }
            state.awaited = true;
            filler
        };
        let mut circle = Vec::new();
        let mut at = filler;
        while let Some(edge) = edges.get(&at) {
            circle.push(edge.path.clone());
            if edge.filler == me {
                return Err(Stop::Circle(circle));
            }
            at = edge.filler;
        }
        edges.insert(me, Edge { filler, cell: cell.address(), path: path() });
        while edges.contains_key(&me) {
            self.changed.wait(&mut edges);
        }
        Ok(())
    }

    fn release(&self, cell: &Cell, failure: Option<Error>) {
        let mut state = cell.state.lock();
        if !state.awaited {
            state.filler = None;
            let before = std::mem::replace(&mut state.failure, failure);
            drop(state);
            drop(before);
            return;
        }
        // The order of locks is edges, then a cell's state.
        drop(state);
        let mut edges = self.edges.lock();
        let mut state = cell.state.lock();
        state.filler = None;
        state.awaited = false;
        let before = std::mem::replace(&mut state.failure, failure);
        drop(state);
        edges.retain(|_, edge| edge.cell != cell.address());
        self.changed.notify_all();
        drop(edges);
        drop(before);
    }
}

#[cfg(test)]
impl Waits {
    pub(super) fn any(&self) -> bool {
        !self.edges.lock().is_empty()
    }
}
