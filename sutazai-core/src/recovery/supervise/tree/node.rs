//! What the tree remembers: supervisors with their children, and every life.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::super::intensity::Intensity;
use super::super::spec::{ChildSpec, SupervisorSpec};
use super::super::state::{Cause, Kind, State, Transition};
use super::timers::Key;
use super::{Request, Token};
use crate::Error;
use crate::base::time::Moment;
use crate::port::{ChildExit, Generation};

/// A child's place among its siblings: they start in the order of their places. Never given twice.
pub(super) type Place = u64;

/// A supervisor that lives, or is about to.
pub(super) struct Sup {
    pub(super) path: Arc<str>,
    /// Supervisors above it.
    pub(super) above: usize,
    /// The supervisor it belongs to; none for the root.
    pub(super) owner: Option<Generation>,
    pub(super) spec: Arc<SupervisorSpec>,
    pub(super) children: Siblings,
    pub(super) intensity: Intensity,
    /// What it will come to when it has done what it is at, in order: an Erlang process's mailbox.
    pub(super) inbox: VecDeque<Message>,
    /// The calls in it.
    pub(super) calls: usize,
    pub(super) job: Job,
}

/// What a supervisor is told.
pub(super) enum Message {
    /// A child ended by itself.
    Exit(Generation, ChildExit),
    /// A start failed during a restart: once more. By identifier, as in OTP.
    Retry(Arc<str>),
    /// The pause before a restart is over.
    PauseOver(Place, Key),
    /// It is to stop.
    Shutdown,
    /// Somebody asks for something.
    Call(Token, Request),
}

/// What a supervisor waits for before it comes to the next message.
pub(super) enum Job {
    Idle,
    Start(StartJob),
    Stop(StopJob),
}

/// A child is being started.
pub(super) struct StartJob {
    pub(super) place: Place,
    pub(super) generation: Generation,
    pub(super) timer: Option<Key>,
    /// It overran its deadline, and is being killed.
    pub(super) killing: bool,
    pub(super) then: AfterStart,
}

/// What follows a start.
#[derive(Clone, Copy)]
pub(super) enum AfterStart {
    /// The next, until the supervisor itself has started.
    Init,
    /// The next, until all that are restarted because of the child at that place have started.
    Group { because: Place },
    /// Nothing: it was restarted alone.
    Alone,
    /// An answer; a child that is new is forgotten when it did not start.
    Answer { token: Token, new: bool },
}

/// Children are being stopped, the last first.
pub(super) struct StopJob {
    /// Those that are left, in the order in which they start.
    pub(super) left: Vec<Place>,
    /// The one that is being stopped.
    pub(super) current: Option<Place>,
    /// The lives that are waited for: its own, or all below it once it is killed.
    pub(super) waiting: Vec<Generation>,
    pub(super) timer: Option<Key>,
    pub(super) killing: bool,
    pub(super) then: AfterStop,
}

/// What follows when all are stopped.
pub(super) enum AfterStop {
    /// Those from this place on are started, because of the child at another place.
    Group { from: Place, because: Place },
    /// The child at this place is restarted at that moment.
    Pause { place: Place, until: Moment },
    /// The start of the supervisor has failed.
    InitFailed(Error),
    /// The supervisor has ended.
    End,
    /// An answer.
    Answer(Token),
}

/// The children of a supervisor.
#[derive(Default)]
pub(super) struct Siblings {
    order: BTreeMap<Place, Entry>,
    places: HashMap<Arc<str>, Place>,
    next: Place,
}

/// A child of a supervisor.
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    pub(super) path: Arc<str>,
    pub(super) spec: Arc<ChildSpec>,
    pub(super) life: Life,
    /// The number of the life that its state is about.
    pub(super) generation: Option<Generation>,
    pub(super) state: State,
    /// When its last life began.
    pub(super) lives_since: Moment,
    pub(super) restarts: u64,
    /// Restarts since it was last calm.
    pub(super) row: u32,
    pub(super) last_failure: Option<Cause>,
    /// Why it lived no longer, when it last ended by itself or failed to start.
    pub(super) blame: Option<Blame>,
    /// The timer of its pause.
    pub(super) pause: Option<Key>,
}

/// The child that led to an end, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Blame {
    pub(crate) child: Arc<str>,
    pub(crate) error: Option<Error>,
}

/// What OTP keeps as a child's pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    None,
    Alive(Generation),
    Restarting,
}

/// Something that lives, is being started, or is being killed: a worker or a supervisor.
pub(super) struct Being {
    /// Who is told of its end; none for the root, and for what is killed with it.
    pub(super) owner: Option<Generation>,
    pub(super) place: Place,
    pub(super) supervisor: bool,
    /// It has ended by itself: while it was started, or before its supervisor came to that.
    pub(super) exit: Option<ChildExit>,
    pub(super) killed: bool,
}

impl Sup {
    pub(super) fn new(
        path: Arc<str>,
        above: usize,
        owner: Option<Generation>,
        spec: Arc<SupervisorSpec>,
        now: Moment,
    ) -> Self {
        let mut children = Siblings::default();
        for child in &spec.children {
            children.add(&path, Arc::new(child.clone()), now);
        }
        Self {
            path,
            above,
            owner,
            children,
            intensity: Intensity::new(spec.intensity, spec.period()),
            inbox: VecDeque::new(),
            calls: 0,
            job: Job::Idle,
            spec,
        }
    }
}

impl Entry {
    /// Notes what a change of its state says about why it ended. A supervisor that gave up or failed to
    /// start has named a child of its own before that.
    pub(super) fn note_end(&mut self, to: State, cause: &Cause) {
        let own = || Some(Blame { child: Arc::clone(&self.path), error: cause.error().cloned() });
        match (to, cause) {
            (State::Starting, _) => self.blame = None,
            (State::Exited, _) if self.blame.is_none() => self.blame = own(),
            (_, Cause::StartFailed { .. }) if self.blame.is_none() => self.blame = own(),
            _ => {}
        }
    }

    pub(super) fn kind(&self) -> Kind {
        if self.spec.supervisor.is_some() { Kind::Supervisor } else { Kind::Worker }
    }

    /// Its last change: the supervisor that it belongs to is killed.
    pub(super) fn orphaned(&self, now: Moment) -> Transition {
        Transition {
            path: Arc::clone(&self.path),
            kind: self.kind(),
            generation: self.generation,
            from: self.state,
            to: State::Stopped,
            cause: Cause::Orphaned,
            at: now,
        }
    }
}

impl Siblings {
    /// Adds one behind the others.
    pub(super) fn add(&mut self, above: &str, spec: Arc<ChildSpec>, now: Moment) -> Place {
        let place = self.next;
        self.next += 1;
        let id: Arc<str> = Arc::from(spec.id.as_str());
        self.places.insert(Arc::clone(&id), place);
        let entry = Entry {
            path: Arc::from(format!("{above}>{id}")),
            id,
            spec,
            life: Life::None,
            generation: None,
            state: State::Waiting,
            lives_since: now,
            restarts: 0,
            row: 0,
            last_failure: None,
            blame: None,
            pause: None,
        };
        self.order.insert(place, entry);
        place
    }

    pub(super) fn remove(&mut self, place: Place) {
        if let Some(entry) = self.order.remove(&place) {
            self.places.remove(&entry.id);
        }
    }

    pub(super) fn get(&self, place: Place) -> Option<&Entry> {
        self.order.get(&place)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Entry> {
        self.order.get_mut(&place)
    }

    pub(super) fn find(&self, id: &str) -> Option<(Place, &Entry)> {
        let place = *self.places.get(id)?;
        Some((place, self.order.get(&place)?))
    }

    /// The places from one on, in the order in which children start.
    pub(super) fn places_from(&self, place: Place) -> Vec<Place> {
        self.order.range(place..).map(|(place, _)| *place).collect()
    }

    /// The first place from one on.
    pub(super) fn next_from(&self, place: Place) -> Option<Place> {
        self.order.range(place..).next().map(|(place, _)| *place)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Place, &Entry)> {
        self.order.iter().map(|(place, entry)| (*place, entry))
    }
}
