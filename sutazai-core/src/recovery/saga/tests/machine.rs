//! The state machine through random schedules: outcomes, crashes anywhere, cancels, time, hands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::base::payload::Payload;
use crate::base::time::Moment;
use crate::recovery::saga::event::SagaEvent;
use crate::recovery::saga::machine::{Decision, Machine, Plan};
use crate::recovery::saga::policy::{OnResume, StepPolicy};
use crate::recovery::saga::run::Way;
use crate::recovery::saga::story::{Phase, Story};
use crate::recovery::{Jitter, RetryPolicy};
use crate::{Class, Code, Error};

/// What the world does the next time it is asked.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Succeed,
    /// Fails before its effect, or after it.
    Fail {
        class: Class,
        after: bool,
    },
    Panic {
        after: bool,
    },
    /// The process dies: before the effect, or after it and before anybody heard.
    Die {
        after: bool,
    },
}

fn fates() -> impl Strategy<Value = Fate> {
    let class = prop_oneof![3 => Just(Class::Transient), 1 => Just(Class::Persistent)];
    prop_oneof![
        6 => Just(Fate::Succeed),
        3 => (class, any::<bool>()).prop_map(|(class, after)| Fate::Fail { class, after }),
        1 => any::<bool>().prop_map(|after| Fate::Panic { after }),
        2 => any::<bool>().prop_map(|after| Fate::Die { after }),
    ]
}

/// What happens around it.
#[derive(Clone, Copy, Debug)]
enum Around {
    Nothing,
    Cancel,
    /// Time passes.
    Pass(u64),
    /// The process dies before an event is written, or after.
    Die,
    /// The store refuses to write.
    Refuse,
}

fn arounds() -> impl Strategy<Value = Around> {
    prop_oneof![
        20 => Just(Around::Nothing),
        1 => Just(Around::Cancel),
        2 => (1_u64..2_000).prop_map(Around::Pass),
        3 => Just(Around::Die),
        2 => Just(Around::Refuse),
    ]
}

#[derive(Clone, Debug)]
struct Given {
    steps: Vec<StepPolicy>,
    on_resume: OnResume,
    deadline_ms: Option<u64>,
    fates: Vec<Fate>,
    arounds: Vec<Around>,
}

fn retry(attempts: u32) -> RetryPolicy {
    RetryPolicy { attempts, base_ms: 10, max_ms: 100, jitter: Jitter::Full, hinted: 0 }
}

fn given() -> impl Strategy<Value = Given> {
    let step = (any::<bool>(), any::<bool>(), 0_u32..4).prop_map(|(idempotent, atomic, tries)| {
        let retry = (tries > 0).then(|| retry(tries));
        StepPolicy { idempotent, atomic, retry, undo_retry: None }
    });
    (
        proptest::collection::vec(step, 1..6),
        prop_oneof![Just(OnResume::Forward), Just(OnResume::Compensate)],
        proptest::option::weighted(0.3, 0_u64..1_000),
        proptest::collection::vec(fates(), 0..40),
        proptest::collection::vec(arounds(), 0..80),
    )
        .prop_map(|(steps, on_resume, deadline_ms, fates, arounds)| Given {
            steps,
            on_resume,
            deadline_ms,
            fates,
            arounds,
        })
}

/// An effect that took place, told apart by its key as an outside service does.
type Effect = (usize, Way);

struct World {
    given: Given,
    plan: Arc<Plan>,
    now: Moment,
    until: Moment,
    journal: Vec<SagaEvent>,
    /// Effects in the order they took place, each key once.
    effects: Vec<(usize, Way)>,
    /// Every call.
    calls: Vec<Effect>,
    crashes: usize,
    fate: usize,
    around: usize,
    hands: usize,
}

impl World {
    fn new(given: Given) -> Self {
        let plan = Arc::new(Plan {
            on_resume: given.on_resume,
            undo_retry: retry(3),
            steps: given.steps.clone(),
        });
        let until = given.deadline_ms.map_or(Moment::FAR, |ms| Moment::ZERO + ms_of(ms));
        Self {
            given,
            plan,
            now: Moment::ZERO,
            until,
            journal: Vec::new(),
            effects: Vec::new(),
            calls: Vec::new(),
            crashes: 0,
            fate: 0,
            around: 0,
            hands: 0,
        }
    }

    /// Whether everything goes well from here on: fates and the world around have run out.
    fn next_fate(&mut self) -> Fate {
        self.fate += 1;
        self.given.fates.get(self.fate - 1).copied().unwrap_or(Fate::Succeed)
    }

    fn next_around(&mut self) -> Around {
        self.around += 1;
        self.given.arounds.get(self.around - 1).copied().unwrap_or(Around::Nothing)
    }

    fn begun(&self) -> SagaEvent {
        let steps = (0..self.given.steps.len()).map(|n| format!("s{n}").into()).collect();
        let (name, input) = ("s".into(), Payload::NULL);
        SagaEvent::Begun { name, steps, input, deadline: None }
    }

    /// What a restarted process makes of the journal.
    fn restart(&mut self) -> Machine {
        self.crashes += 1;
        let story = Story::of(&self.journal).expect("a journal that this code wrote");
        Machine::resumed(story, Arc::clone(&self.plan), self.until, self.crashes as u64)
    }

    fn effect(&mut self, effect: Effect) {
        if !self.effects.contains(&effect) {
            self.effects.push(effect);
        }
    }

    /// Runs a saga to its end; a stuck one is tried again by hand.
    fn run(&mut self) -> Result<Story, TestCaseError> {
        let mut machine =
            Machine::begin(self.begun(), Arc::clone(&self.plan), self.until, 0).unwrap();
        self.journal.push(self.begun());
        machine.recorded(self.now).unwrap();
        for _ in 0..10_000 {
            let around = self.next_around();
            match around {
                Around::Cancel => drop(machine.cancel()),
                Around::Pass(ms) => self.now = self.now + ms_of(ms),
                Around::Nothing | Around::Die | Around::Refuse => {}
            }
            match machine.decide(self.now) {
                Decision::Record(event) => {
                    prop_assert_eq!(machine.decide(self.now), Decision::Busy);
                    match around {
                        Around::Die => {
                            // Before the event is written, or after: the next crash decides.
                            if self.crashes.is_multiple_of(2) {
                                self.journal.push(event);
                            }
                            machine = self.restart();
                        }
                        Around::Refuse => machine.unrecorded(),
                        _ => {
                            self.journal.push(event);
                            machine.recorded(self.now).unwrap();
                        }
                    }
                }
                Decision::Act(step) => self.call(&mut machine, step, Way::Act)?,
                Decision::Undo(step) => self.call(&mut machine, step, Way::Undo)?,
                Decision::Wait(until) => {
                    prop_assert!(until > self.now);
                    self.now = until;
                }
                Decision::Busy => prop_assert!(false, "nothing is under way"),
                Decision::Over if matches!(machine.story().phase, Phase::Stuck(_)) => {
                    self.hands += 1;
                    let story = machine.story().clone();
                    let plan = Arc::clone(&self.plan);
                    machine = Machine::retry(story, plan, Moment::FAR, 9);
                    self.journal.push(SagaEvent::Retried);
                    machine.recorded(self.now).unwrap();
                }
                Decision::Over => {
                    let story = machine.story().clone();
                    prop_assert_eq!(&Story::of(&self.journal).unwrap(), &story);
                    return Ok(story);
                }
            }
        }
        Err(TestCaseError::fail("it comes to no end"))
    }

    fn call(&mut self, machine: &mut Machine, step: usize, way: Way) -> Result<(), TestCaseError> {
        // What is done rests on what is written.
        let started = match way {
            Way::Act => Phase::Acting(step),
            Way::Undo => Phase::Undoing(step),
        };
        prop_assert_eq!(Story::of(&self.journal).unwrap().phase, started);
        prop_assert_eq!(
            machine.decide(self.now),
            Decision::Busy,
            "a step is called once at a time"
        );
        self.calls.push((step, way));
        match self.next_fate() {
            Fate::Succeed => {
                self.effect((step, way));
                machine.ended(Ok((step as u64).into()));
            }
            Fate::Fail { class, after } => {
                // A step that says it is atomic is.
                if after && !(way == Way::Act && self.given.steps[step].atomic) {
                    self.effect((step, way));
                }
                machine.ended(Err(Error::new(Code::AGENT_FAILED, "on purpose").classed(class)));
            }
            Fate::Panic { after } => {
                if after {
                    self.effect((step, way));
                }
                machine.ended(Err(Error::new(Code::PANIC, "on purpose")));
            }
            Fate::Die { after } => {
                if after {
                    self.effect((step, way));
                }
                *machine = self.restart();
            }
        }
        Ok(())
    }

    fn check(&self, end: &Story) -> Result<(), TestCaseError> {
        let of = |way| {
            let steps = self.effects.iter().filter(move |effect| effect.1 == way);
            steps.map(|effect| effect.0).collect::<Vec<_>>()
        };
        let (acted, undone) = (of(Way::Act), of(Way::Undo));
        prop_assert!(acted.is_sorted(), "actions in order: {acted:?}");
        prop_assert!(undone.is_sorted_by(|a, b| a > b), "compensations in reverse: {undone:?}");
        let turned = self.calls.iter().position(|call| call.1 == Way::Undo);
        let turned = turned.unwrap_or(self.calls.len());
        prop_assert!(self.calls.iter().skip(turned).all(|call| call.1 == Way::Undo));
        match end.phase {
            Phase::Done => {
                prop_assert_eq!(acted, (0..self.given.steps.len()).collect::<Vec<_>>());
                prop_assert!(undone.is_empty());
            }
            Phase::Undone => {
                let acted: BTreeSet<_> = acted.into_iter().collect();
                let undone: BTreeSet<_> = undone.into_iter().collect();
                prop_assert!(undone.is_superset(&acted), "left: {acted:?} but for {undone:?}");
            }
            other => prop_assert!(false, "no end: {other:?}"),
        }
        // No more calls than the policies, the crashes and the hands account for.
        for (step, policy) in self.given.steps.iter().enumerate() {
            let calls = |way| self.calls.iter().filter(|call| **call == (step, way)).count();
            let tries = policy.retry.as_ref().map_or(1, |retry| retry.attempts as usize);
            prop_assert!(calls(Way::Act) <= tries + self.crashes);
            if !policy.idempotent && policy.retry.is_none() {
                prop_assert!(calls(Way::Act) <= 1, "not to be called twice");
            }
            prop_assert!(calls(Way::Undo) <= 3 * (1 + self.hands) + self.crashes);
        }
        Ok(())
    }
}

fn ms_of(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 200_000 } else { 3_000 }))]

    #[test]
    fn whatever_happens_it_ends_done_or_undone(given in given()) {
        let mut world = World::new(given);
        let end = world.run()?;
        world.check(&end)?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 10_000 } else { 200 }))]

    /// Every prefix of a journal is one that a crash may leave, and no event fits twice.
    #[test]
    fn a_journal_with_an_event_too_much_is_refused(given in given()) {
        let mut world = World::new(given);
        world.run()?;
        for at in 1..=world.journal.len() {
            let story = Story::of(&world.journal[..at]).unwrap();
            prop_assert_eq!(story.events, at as u64);
            let again = world.journal[..at].iter().chain(&world.journal[at - 1..at]);
            // Only a failed try can be followed by the same.
            let retry = matches!(
                world.journal[at - 1],
                SagaEvent::StepRetrying { .. } | SagaEvent::UndoRetrying { .. }
            );
            prop_assert_eq!(Story::of(again).is_ok(), retry);
        }
    }
}

fn long() -> bool {
    std::env::var_os("SUTAZAI_LONG").is_some()
}

#[test]
fn a_finished_saga_is_neither_cancelled_nor_late() {
    let mut world = World::new(Given {
        steps: vec![StepPolicy::default()],
        on_resume: OnResume::Forward,
        deadline_ms: Some(50),
        fates: Vec::new(),
        arounds: Vec::new(),
    });
    let plan = Arc::clone(&world.plan);
    let mut machine = Machine::begin(world.begun(), plan, world.until, 0).unwrap();
    machine.recorded(Moment::ZERO).unwrap();
    let started = SagaEvent::StepStarted { step: 0 };
    assert_eq!(machine.decide(Moment::ZERO), Decision::Record(started));
    machine.recorded(Moment::ZERO).unwrap();
    assert_eq!(machine.decide(Moment::ZERO), Decision::Act(0));
    machine.ended(Ok(1_u64.into()));
    let done = SagaEvent::StepDone { step: 0, gave: 1_u64.into() };
    assert_eq!(machine.decide(Moment::ZERO), Decision::Record(done));
    machine.recorded(Moment::ZERO).unwrap();
    machine.cancel();
    world.now = Moment::ZERO + ms_of(1_000);
    assert_eq!(machine.decide(world.now), Decision::Record(SagaEvent::Done));
    machine.recorded(world.now).unwrap();
    assert!(!machine.cancel());
}

#[test]
fn what_cannot_be_kept_is_undone_even_of_an_atomic_step() {
    let mut world = World::new(Given {
        steps: vec![StepPolicy { atomic: true, ..StepPolicy::default() }],
        on_resume: OnResume::Forward,
        deadline_ms: None,
        fates: Vec::new(),
        arounds: Vec::new(),
    });
    let plan = Arc::clone(&world.plan);
    let mut machine = Machine::begin(world.begun(), plan, world.until, 0).unwrap();
    machine.recorded(world.now).unwrap();
    machine.decide(world.now);
    machine.recorded(world.now).unwrap();
    assert_eq!(machine.decide(world.now), Decision::Act(0));
    machine.ended(Ok(Payload::NULL));
    machine.decide(world.now);
    machine.unkept(Error::new(Code::INVALID, "too long"));
    world.now = world.now + ms_of(1);
    let Decision::Record(SagaEvent::Failing { undo, .. }) = machine.decide(world.now) else {
        panic!("it fails")
    };
    assert_eq!(undo, 1);
}
