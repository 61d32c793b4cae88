use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;
use parking_lot::Mutex;
use proptest::prelude::*;

fn life(generation: u64) -> ChildLife {
    ChildLife::new("w", "main>w", Generation(generation))
}

fn asleep() -> Wake {
    Arc::new(|| ())
}

fn crash() -> Error {
    Error::new(Code::PANIC, "on purpose")
}

fn now() -> Timestamp {
    Timestamp::from_nanos(7)
}

fn mailbox(policy: MailboxPolicy) -> Mailbox<u32> {
    Mailbox::new(policy)
}

#[test]
fn what_was_in_hand_goes_back_to_its_place() {
    let mailbox = mailbox(MailboxPolicy::default());
    for n in 1..=4 {
        mailbox.push(n).unwrap();
    }
    assert!(mailbox.attach(&life(1), asleep()));
    let (one, two) = (mailbox.take(Generation(1)).unwrap(), mailbox.take(Generation(1)).unwrap());
    assert_eq!((one.id, *one.body, two.id, *two.body), (1, 1, 2, 2));
    assert!(two.put_back());
    assert!(!two.put_back());
    assert_eq!(mailbox.detach(Generation(1), Ending::Crashed(&crash()), now()), 1);
    assert!(!one.done(), "the life was over");
    assert!(mailbox.take(Generation(1)).is_none());
    assert!(mailbox.take(Generation(2)).is_none());
    // A life that was not told of is replaced all the same, and is not to blame.
    assert!(mailbox.attach(&life(2), asleep()));
    let again = mailbox.take(Generation(2)).unwrap();
    assert_eq!((again.id, again.kills), (1, 1));
    assert!(mailbox.attach(&life(3), asleep()));
    assert_eq!(mailbox.detach(Generation(2), Ending::Crashed(&crash()), now()), 0);
    let order: Vec<u32> =
        std::iter::from_fn(|| mailbox.take(Generation(3))).map(|m| *m.body).collect();
    assert_eq!(order, [1, 2, 3, 4]);
    assert!(!again.done());
}

#[test]
fn poison_is_set_aside_with_its_evidence() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let hear = Arc::clone(&told);
    let hook = move |fate: Fate<'_, u32>| {
        hear.lock().push(match fate {
            Fate::SetAside(poison, body) => format!("aside {} {body}", poison.id),
            Fate::Forgotten(poison, body) => format!("forgotten {} {body}", poison.id),
        });
    };
    let policy = MailboxPolicy::default().poison_capacity(2);
    let mailbox = Mailbox::with(policy, Arc::new(hook));
    for n in [10, 20, 30, 40] {
        mailbox.push(n).unwrap();
    }
    for generation in 1..=6 {
        assert!(mailbox.attach(&life(generation), asleep()));
        mailbox.take(Generation(generation)).unwrap();
        mailbox.detach(Generation(generation), Ending::Crashed(&crash()), now());
    }
    assert_eq!(*told.lock(), ["aside 1 10", "aside 2 20", "forgotten 1 10", "aside 3 30"]);
    let poison = mailbox.poison();
    assert_eq!(poison.iter().map(|p| p.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(
        serde_json::to_value(&poison[0].kills[1]).unwrap(),
        serde_json::json!({
            "child": "main>w", "generation": 4, "in_hand": 1, "at": now().to_string(),
            "error": crash()
        })
    );
    // One is retried, behind what waits and without a past; one is discarded.
    mailbox.retry(2).unwrap();
    assert_eq!(mailbox.retry(2).unwrap_err().code(), Code::NOT_FOUND);
    assert_eq!(*mailbox.discard(3).unwrap(), 30);
    assert_eq!(mailbox.discard(3).unwrap_err().code(), Code::NOT_FOUND);
    assert!(mailbox.attach(&life(7), asleep()));
    let left: Vec<_> = std::iter::from_fn(|| mailbox.take(Generation(7)))
        .map(|m| (m.id, m.kills, *m.body, m.done()))
        .collect();
    assert_eq!(left, [(4, 0, 40, true), (2, 0, 20, true)]);
    let s = mailbox.status();
    assert_eq!(
        (s.accepted, s.done, s.poisoned, s.retried, s.discarded, s.forgotten),
        (4, 2, 3, 1, 1, 1)
    );
}

#[test]
fn bounds_hold() {
    let full = mailbox(MailboxPolicy::default().capacity(2));
    full.push(1).unwrap();
    full.push(2).unwrap();
    let rejected = full.push(3).unwrap_err();
    assert_eq!((rejected.body, rejected.error.code()), (3, Code::OVERLOADED));
    // What is in hand counts, so that it can always go back.
    assert!(full.attach(&life(1), asleep()));
    let one = full.take(Generation(1)).unwrap();
    assert!(full.push(3).is_err());
    assert!(one.done());
    full.push(3).unwrap();
    assert_eq!(full.status().refused, 2);

    let policy = MailboxPolicy::default().capacity(2).overflow(Overflow::DropOldest).kills(1);
    let drops = mailbox(policy);
    drops.push(1).unwrap();
    drops.push(2).unwrap();
    let accepted = drops.push(3).unwrap();
    assert_eq!((accepted.id, accepted.displaced.as_deref()), (3, Some(&1)));
    assert!(drops.attach(&life(1), asleep()));
    let (_two, _three) = (drops.take(Generation(1)), drops.take(Generation(1)));
    assert!(drops.push(4).is_err(), "all are in hand");
    drops.detach(Generation(1), Ending::Crashed(&crash()), now());
    drops.push(5).unwrap();
    drops.push(6).unwrap();
    let error = drops.retry(2).unwrap_err();
    assert_eq!((error.code(), drops.poison().len()), (Code::OVERLOADED, 2));
    // A policy can be changed; what is there beyond it stays.
    drops.set_policy(MailboxPolicy::default().capacity(1));
    assert!(drops.push(7).is_err());
    assert_eq!((drops.status().waiting, drops.poison().len()), (2, 2));
    // The least that a policy can say.
    let least = mailbox(MailboxPolicy::default().capacity(0).kills(0).poison_capacity(0));
    least.push(1).unwrap();
    assert!(least.push(2).is_err());
}

#[test]
fn whoever_waits_is_woken() {
    let woken: Arc<Mutex<u32>> = Arc::default();
    let count = Arc::clone(&woken);
    let wake: Wake = Arc::new(move || *count.lock() += 1);
    let mailbox = mailbox(MailboxPolicy::default());
    assert!(mailbox.attach(&life(1), Arc::clone(&wake)));
    assert_eq!(*woken.lock(), 0);
    mailbox.push(1).unwrap();
    assert_eq!(*woken.lock(), 1);
    let one = mailbox.take(Generation(1)).unwrap();
    assert!(one.put_back());
    assert_eq!(*woken.lock(), 2);
    assert!(mailbox.attach(&life(2), wake));
    assert_eq!(*woken.lock(), 3);
}

/// What a mailbox should be, in the simplest form.
#[derive(Default)]
struct Model {
    waiting: VecDeque<(u64, u32)>,
    in_hand: BTreeMap<u64, u32>,
    aside: Vec<u64>,
    done: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    /// Where each stands: its number, or a later one after a retry.
    places: BTreeMap<u64, u64>,
    last: u64,
}

impl Model {
    fn back(&mut self, id: u64, kills: u32) {
        let place = self.places[&id];
        let at = self.waiting.iter().take_while(|(other, _)| self.places[other] < place).count();
        self.waiting.insert(at, (id, kills));
    }

    fn full(&self, capacity: usize) -> bool {
        self.waiting.len() + self.in_hand.len() >= capacity
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push,
    Attach,
    Take,
    Done(prop::sample::Index),
    PutBack(prop::sample::Index),
    Late(prop::sample::Index),
    Crash,
    Detach,
    Retry(prop::sample::Index),
    Discard(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Push),
        3 => Just(Step::Attach),
        8 => Just(Step::Take),
        4 => any::<prop::sample::Index>().prop_map(Step::Done),
        1 => any::<prop::sample::Index>().prop_map(Step::PutBack),
        1 => any::<prop::sample::Index>().prop_map(Step::Late),
        4 => Just(Step::Crash),
        1 => Just(Step::Detach),
        1 => any::<prop::sample::Index>().prop_map(Step::Retry),
        1 => any::<prop::sample::Index>().prop_map(Step::Discard),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Each message is in exactly one place, the order is kept, and the counters add up.
    #[test]
    fn a_mailbox_is_what_its_model_says(
        capacity in 1_usize..6,
        kills in 1_u32..4,
        poison_capacity in 1_usize..4,
        drops: bool,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let overflow = if drops { Overflow::DropOldest } else { Overflow::Refuse };
        let policy = MailboxPolicy { capacity, overflow, kills, poison_capacity };
        let mailbox: Mailbox<u64> = Mailbox::new(policy);
        let mut model = Model::default();
        let mut generation = 0;
        let mut attached = false;
        let mut hand: BTreeMap<u64, Message<u64>> = BTreeMap::new();
        let mut late: Vec<Message<u64>> = Vec::new();
        let mut pushed = 0;
        for step in steps {
            match step {
                Step::Push => {
                    let result = mailbox.push(pushed + 1);
                    let fits = !model.full(capacity);
                    let displaces = !fits && drops && !model.waiting.is_empty();
                    prop_assert_eq!(result.is_ok(), fits || displaces);
                    if let Ok(accepted) = result {
                        pushed += 1;
                        model.last += 1;
                        let displaced = if displaces { model.waiting.pop_front() } else { None };
                        let oldest = displaced.map(|(id, _)| id);
                        // Numbers and places are the same until something is retried.
                        prop_assert_eq!(accepted.displaced.is_some(), oldest.is_some());
                        model.gone.extend(oldest);
                        model.places.insert(accepted.id, model.last);
                        model.waiting.push_back((accepted.id, 0));
                    }
                }
                Step::Attach => {
                    generation += 1;
                    assert!(mailbox.attach(&life(generation), asleep()));
                    attached = true;
                    for (id, kills) in std::mem::take(&mut model.in_hand) {
                        model.back(id, kills);
                    }
                    late.extend(std::mem::take(&mut hand).into_values());
                }
                Step::Take => {
                    let taken = mailbox.take(Generation(generation));
                    let expected = if attached { model.waiting.pop_front() } else { None };
                    prop_assert_eq!(taken.as_ref().map(|m| (m.id, m.kills)), expected);
                    if let Some(message) = taken {
                        model.in_hand.insert(message.id, message.kills);
                        hand.insert(message.id, message);
                    }
                }
                Step::Done(at) | Step::PutBack(at) if !hand.is_empty() => {
                    let id = *at.get(&hand.keys().copied().collect::<Vec<_>>());
                    let message = hand.remove(&id).unwrap();
                    let kills = model.in_hand.remove(&id).unwrap();
                    if matches!(step, Step::Done(_)) {
                        prop_assert!(message.done());
                        prop_assert!(model.done.insert(id), "done twice");
                    } else {
                        prop_assert!(message.put_back());
                        model.back(id, kills);
                    }
                    late.push(message);
                }
                Step::Late(at) if !late.is_empty() => {
                    let message = at.get(&late);
                    // The same life may have it in hand again after it put it back.
                    if !hand.contains_key(&message.id) {
                        prop_assert!(!message.done());
                        prop_assert!(!message.put_back());
                    }
                }
                Step::Crash | Step::Detach => {
                    let error = crash();
                    let crashes = matches!(step, Step::Crash);
                    let ending = if crashes { Ending::Crashed(&error) } else { Ending::InOrder };
                    let touched = mailbox.detach(Generation(generation), ending, now());
                    prop_assert_eq!(touched, model.in_hand.len());
                    let mut poisoned = Vec::new();
                    for (id, had) in std::mem::take(&mut model.in_hand) {
                        let has = had + u32::from(crashes);
                        if has >= kills {
                            poisoned.push(id);
                        } else {
                            model.back(id, has);
                        }
                    }
                    poisoned.sort_by_key(|id| model.places[id]);
                    for id in poisoned {
                        if model.aside.len() == poison_capacity {
                            model.gone.insert(model.aside.remove(0));
                        }
                        model.aside.push(id);
                    }
                    late.extend(std::mem::take(&mut hand).into_values());
                    attached = false;
                }
                Step::Retry(at) if !model.aside.is_empty() => {
                    let id = *at.get(&model.aside);
                    let result = mailbox.retry(id);
                    prop_assert_eq!(result.is_ok(), !model.full(capacity));
                    if result.is_ok() {
                        model.aside.retain(|other| *other != id);
                        model.last += 1;
                        model.places.insert(id, model.last);
                        model.waiting.push_back((id, 0));
                    }
                }
                Step::Discard(at) if !model.aside.is_empty() => {
                    let id = *at.get(&model.aside);
                    prop_assert!(mailbox.discard(id).is_ok());
                    model.aside.retain(|other| *other != id);
                    model.gone.insert(id);
                }
                _ => {}
            }
            let s = mailbox.status();
            prop_assert_eq!(
                (s.waiting, s.in_hand, s.set_aside, s.done),
                (model.waiting.len(), model.in_hand.len(), model.aside.len(), model.done.len() as u64)
            );
            let aside: Vec<u64> = mailbox.poison().iter().map(|p| p.id).collect();
            prop_assert_eq!(&aside, &model.aside);
            prop_assert!(mailbox.poison().iter().all(|p| p.kills.len() == kills as usize));
            let here = (s.waiting + s.in_hand) as u64;
            prop_assert_eq!(s.accepted + s.retried, here + s.done + s.dropped + s.poisoned);
            let ends = s.set_aside as u64 + s.retried + s.discarded + s.forgotten;
            prop_assert_eq!(s.poisoned, ends);
            prop_assert!(here <= capacity as u64 && s.set_aside <= poison_capacity);
            prop_assert_eq!(s.accepted, here + (model.aside.len() + model.done.len() + model.gone.len()) as u64);
        }
    }
}
