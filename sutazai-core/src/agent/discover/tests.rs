//! The inventory under virtual time: cases, and random schedules held against a model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{DiscoveryPolicy, Inventory, ItemState, Seen, Step};
use crate::base::time::Moment;
use crate::{Class, Code, Error};

const INTERVAL: Duration = Duration::from_secs(30);

fn at(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

fn down() -> Error {
    Error::new(Code::IO, "nothing accepts connections there")
}

fn seen(items: &[(&str, Seen)]) -> Vec<(Arc<str>, String, Seen)> {
    items.iter().map(|(name, seen)| (Arc::from(*name), format!("/{name}"), seen.clone())).collect()
}

fn here(fingerprint: &str) -> Seen {
    Seen::Here(fingerprint.to_owned())
}

/// The steps as short words: what, and which item or agent.
fn words(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::Drop { agent, .. } => format!("drop {agent}"),
        Step::Away { agent, .. } => format!("away {agent}"),
        Step::Back { agent, .. } => format!("back {agent}"),
        Step::Make { item, replaces: None, .. } => format!("make {item}"),
        Step::Make { item, replaces: Some(agent), .. } => format!("make {item} for {agent}"),
        Step::Trouble { item, .. } => format!("trouble {item}"),
    };
    steps.iter().map(word).collect()
}

/// An inventory whose makes all succeed with an agent of the item's name in capitals.
struct Bench(Inventory);

impl Bench {
    fn new() -> Self {
        Self(Inventory::new(&DiscoveryPolicy::default(), INTERVAL))
    }

    fn look(&mut self, ms: u64, items: &[(&str, Seen)]) -> Vec<String> {
        let steps = self.0.looked(at(ms), seen(items), false);
        for step in &steps {
            if let Step::Make { item, fingerprint, .. } = step {
                let agent = Arc::from(item.to_uppercase());
                self.0.made(at(ms), item, fingerprint.clone(), Ok(agent));
            }
        }
        words(&steps)
    }

    fn state(&self, item: &str) -> Option<ItemState> {
        self.0.views().into_iter().find(|view| &*view.item == item).map(|view| view.state)
    }
}

#[test]
fn what_comes_is_made_once_and_what_goes_is_confirmed() {
    let mut bench = Bench::new();
    assert_eq!(bench.look(0, &[("a", here("1")), ("b", here("2"))]), ["make a", "make b"]);
    assert_eq!(bench.look(1_000, &[("a", here("1")), ("b", here("2"))]), Vec::<String>::new());
    assert_eq!(bench.0.next_look(at(1_000)), None);
    assert_eq!(bench.look(2_000, &[("a", here("1"))]), Vec::<String>::new());
    assert_eq!(bench.0.next_look(at(2_000)), Some(at(2_250)));
    assert_eq!(bench.0.unsettled(), [Arc::from("b")]);
    // An editor has put another file in its place.
    assert!(bench.look(2_100, &[("a", here("1")), ("b", here("2"))]).is_empty());
    assert!(bench.look(2_300, &[("a", here("1"))]).is_empty(), "it is missing since now");
    assert_eq!(bench.look(2_550, &[("a", here("1"))]), ["drop B"]);
    assert_eq!((bench.state("a"), bench.state("b")), (Some(ItemState::Registered), None));
}

#[test]
fn what_changes_is_made_for_the_one_before() {
    let mut bench = Bench::new();
    bench.look(0, &[("a", here("1"))]);
    assert_eq!(bench.look(1, &[("a", Seen::Unsettled)]), Vec::<String>::new());
    assert_eq!(bench.0.next_look(at(1)), Some(at(251)));
    assert_eq!(bench.look(300, &[("a", here("2"))]), ["make a for A"]);
    let wrong = || Seen::Refused(Error::new(Code::INVALID, "not well-formed"));
    assert_eq!(bench.look(400, &[("a", wrong())]), ["trouble a"]);
    assert_eq!(bench.look(500, &[("a", wrong())]), Vec::<String>::new(), "told once");
    assert_eq!(bench.state("a"), Some(ItemState::Registered), "the one before stays");
    let other = || Seen::Refused(Error::new(Code::INVALID, "unknown key"));
    assert_eq!(bench.look(600, &[("a", other())]), ["trouble a"]);
    assert_eq!(bench.look(700, &[("a", here("2"))]), Vec::<String>::new());
    assert!(bench.0.views()[0].error.is_none());
}

#[test]
fn what_goes_by_another_name_keeps_its_agent() {
    let mut bench = Bench::new();
    bench.look(0, &[("a", here("1"))]);
    assert!(bench.look(1_000, &[("z", here("1"))]).is_empty());
    assert!(bench.look(5_000, &[("z", here("1"))]).is_empty());
    assert_eq!(bench.0.agents(), [(Arc::from("z"), Arc::from("A"))]);
    // A copy is another one: whether its name is free is found out by making it.
    assert_eq!(bench.look(6_000, &[("z", here("1")), ("y", here("1"))]), ["make y"]);
}

#[test]
fn what_cannot_be_reached_comes_back_or_is_removed_after_a_while() {
    let mut bench = Bench::new();
    bench.look(0, &[("a", here("1"))]);
    assert_eq!(bench.look(1_000, &[("a", Seen::Away(down()))]), ["away A"]);
    assert_eq!(bench.state("a"), Some(ItemState::Unreachable));
    assert_eq!(bench.0.next_look(at(1_000)), Some(at(2_000)));
    assert!(bench.look(2_000, &[("a", Seen::Away(down()))]).is_empty());
    assert_eq!(bench.0.next_look(at(2_000)), Some(at(4_000)), "the pauses double");
    assert_eq!(bench.look(4_000, &[("a", here("1"))]), ["back A"]);
    assert_eq!(bench.look(5_000, &[("a", Seen::Away(down()))]), ["away A"]);
    assert_eq!(bench.look(6_000, &[("a", here("2"))]), ["back A", "make a for A"]);
    bench.look(10_000, &[("a", Seen::Away(down()))]);
    assert!(bench.look(609_999, &[("a", Seen::Away(down()))]).is_empty());
    assert_eq!(bench.look(610_000, &[("a", Seen::Away(down()))]), ["drop A"]);
    assert_eq!(bench.state("a"), Some(ItemState::Failed));
    assert_eq!(bench.look(620_000, &[("a", here("2"))]), ["make a"]);
}

#[test]
fn looks_count_where_the_host_says_so() {
    let policy = DiscoveryPolicy::default().away_looks(2);
    let mut bench = Bench(Inventory::new(&policy, INTERVAL));
    bench.look(0, &[("a", here("1"))]);
    assert_eq!(bench.look(1_000, &[("a", Seen::Away(down()))]), ["away A"]);
    assert!(bench.look(2_000, &[("a", Seen::Away(down()))]).is_empty());
    assert_eq!(bench.look(3_000, &[("a", Seen::Away(down()))]), ["drop A"]);
}

#[test]
fn what_is_listed_and_no_more_goes_and_is_not_made_again() {
    let mut bench = Bench::new();
    let gone = || Seen::Gone(Error::new(Code::NOT_FOUND, "no card is there"));
    bench.look(0, &[("a", here("1"))]);
    assert!(bench.look(1_000, &[("a", gone())]).is_empty());
    assert_eq!(bench.look(1_250, &[("a", gone())]), ["drop A", "trouble a"]);
    assert!(bench.look(2_000, &[("a", gone())]).is_empty());
    assert_eq!(bench.0.next_look(at(2_000)), None);
    assert_eq!(bench.look(3_000, &[("a", here("1"))]), ["make a"]);
}

#[test]
fn what_could_not_be_made_is_tried_again_where_that_may_help() {
    let mut inventory = Inventory::new(&DiscoveryPolicy::default(), INTERVAL);
    let look = |inventory: &mut Inventory, ms, insist| {
        words(&inventory.looked(at(ms), seen(&[("a", here("1"))]), insist))
    };
    let fail = |inventory: &mut Inventory, ms, code| {
        inventory.made(at(ms), "a", "1".to_owned(), Err(Error::new(code, "no")))
    };
    assert_eq!(look(&mut inventory, 0, false), ["make a"]);
    assert!(fail(&mut inventory, 0, Code::AGENT_PROTOCOL), "it is told");
    assert!(look(&mut inventory, 1_000_000, false).is_empty(), "it says the same for ever");
    assert_eq!(look(&mut inventory, 1_000_001, true), ["make a"], "but for who insists");
    assert!(!fail(&mut inventory, 1_000_001, Code::AGENT_PROTOCOL), "it was told");
    for code in [Code::IO, Code::ALREADY_EXISTS] {
        let mut inventory = Inventory::new(&DiscoveryPolicy::default(), INTERVAL);
        look(&mut inventory, 0, false);
        fail(&mut inventory, 0, code);
        assert!(look(&mut inventory, 999, false).is_empty());
        assert_eq!(look(&mut inventory, 1_000, false), ["make a"]);
        fail(&mut inventory, 1_000, code);
        assert_eq!(inventory.next_look(at(1_000)), Some(at(3_000)));
    }
}

#[test]
fn the_hosts_word_counts() {
    let mut bench = Bench::new();
    bench.look(0, &[("a", here("1"))]);
    bench.0.released("a");
    assert!(bench.look(1_000, &[("a", here("1"))]).is_empty());
    assert_eq!(bench.state("a"), Some(ItemState::Released));
    assert_eq!(bench.look(2_000, &[("a", here("2"))]), ["make a"]);
}

#[test]
fn there_is_a_bound() {
    let policy = DiscoveryPolicy { items: 2, ..DiscoveryPolicy::default() };
    let mut inventory = Inventory::new(&policy, INTERVAL);
    let all = [("a", here("1")), ("b", here("2")), ("c", here("3")), ("b", here("4"))];
    let steps = inventory.looked(at(0), seen(&all), false);
    assert_eq!(words(&steps), ["make a", "make b"], "one twice counts as it came first");
    assert_eq!(inventory.beyond(), 1);
}

/// What happens to the world between two looks.
#[derive(Clone, Debug)]
enum Turn {
    Set(usize, Face),
    Pause(u64),
    /// A look, in which makes fail by this mask.
    Look(u8),
    Release(usize),
}

#[derive(Clone, Debug)]
enum Face {
    Absent,
    Here(u8),
    Away,
    Refused,
    Gone,
    Unsettled,
}

const ITEMS: [&str; 4] = ["a", "b", "c", "d"];

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let face = prop_oneof![
        Just(Face::Absent),
        (0_u8..3).prop_map(Face::Here),
        (0_u8..3).prop_map(Face::Here),
        Just(Face::Away),
        Just(Face::Refused),
        Just(Face::Gone),
        Just(Face::Unsettled),
    ];
    let turn = prop_oneof![
        3 => (0..ITEMS.len(), face).prop_map(|(item, face)| Turn::Set(item, face)),
        2 => prop_oneof![1_u64..300, 300_u64..40_000, 500_000_u64..700_000].prop_map(Turn::Pause),
        4 => prop_oneof![Just(0_u8), any::<u8>()].prop_map(Turn::Look),
        1 => (0..ITEMS.len()).prop_map(Turn::Release),
    ];
    prop::collection::vec(turn, 1..80)
}

/// What a kernel would have done: the agents that are registered, and those that are away.
#[derive(Default)]
struct Model {
    registered: BTreeMap<Arc<str>, String>,
    away: BTreeSet<Arc<str>>,
    made: u32,
}

impl Model {
    fn look(
        &mut self,
        inventory: &mut Inventory,
        now: Moment,
        world: &BTreeMap<usize, Face>,
        fails: u8,
    ) -> usize {
        let seen_now = world.iter().filter_map(|(item, face)| {
            let seen = match face {
                Face::Absent => return None,
                Face::Here(n) => Seen::Here(format!("{item}-{n}")),
                Face::Away => Seen::Away(down()),
                Face::Refused => Seen::Refused(Error::new(Code::INVALID, "wrong")),
                Face::Gone => Seen::Gone(Error::new(Code::NOT_FOUND, "gone")),
                Face::Unsettled => Seen::Unsettled,
            };
            Some((Arc::from(ITEMS[*item]), String::new(), seen))
        });
        let steps = inventory.looked(now, seen_now.collect(), false);
        for (number, step) in steps.iter().enumerate() {
            self.step(inventory, now, step, fails >> (number % 8) & 1 == 1);
        }
        steps.len()
    }

    fn step(&mut self, inventory: &mut Inventory, now: Moment, step: &Step, fails: bool) {
        match step {
            Step::Drop { agent, .. } => {
                assert!(self.registered.remove(agent).is_some(), "{agent} was not there");
                self.away.remove(agent);
            }
            Step::Away { agent, .. } => {
                assert!(self.registered.contains_key(agent));
                assert!(self.away.insert(Arc::clone(agent)), "{agent} is away already");
            }
            Step::Back { agent, .. } => {
                assert!(self.away.remove(agent), "{agent} was not away");
            }
            Step::Make { item, fingerprint, replaces } => {
                if let Some(before) = replaces {
                    assert!(self.registered.contains_key(before), "{before} was not there");
                    assert!(!self.away.contains(before), "{before} is away");
                }
                if fails {
                    let error = Error::new(Code::IO, "no").classed(Class::Transient);
                    inventory.made(now, item, fingerprint.clone(), Err(error));
                    return;
                }
                self.made += 1;
                let agent: Arc<str> = Arc::from(format!("{item}{}", self.made));
                if let Some(before) = replaces {
                    self.registered.remove(before);
                }
                let others = self.registered.values().filter(|other| *other == fingerprint);
                assert_eq!(others.count(), 0, "{fingerprint} is made twice");
                self.registered.insert(Arc::clone(&agent), fingerprint.clone());
                inventory.made(now, item, fingerprint.clone(), Ok(agent));
            }
            Step::Trouble { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens: what is registered is what the inventory says, nothing is added twice or removed
    /// twice; and once the world stays as it is, it comes to rest with exactly the agents that are there.
    #[test]
    fn nothing_is_lost_nothing_is_twice_and_it_comes_to_rest(turns in turns()) {
        let mut inventory = Inventory::new(&DiscoveryPolicy::default(), INTERVAL);
        let mut model = Model::default();
        let mut world = BTreeMap::new();
        let mut released = BTreeMap::new();
        let mut now = Moment::ZERO;
        for turn in turns {
            match turn {
                Turn::Set(item, face) => drop(world.insert(item, face)),
                Turn::Pause(ms) => now = now + Duration::from_millis(ms),
                Turn::Look(fails) => drop(model.look(&mut inventory, now, &world, fails)),
                Turn::Release(item) => {
                    let agents = inventory.agents();
                    let its = agents.iter().find(|(name, _)| **name == *ITEMS[item]);
                    if let Some((name, agent)) = its {
                        let fingerprint = model.registered.remove(agent);
                        model.away.remove(agent);
                        inventory.released(name);
                        released.insert(item, fingerprint.unwrap());
                    }
                }
            }
            let agents: BTreeSet<Arc<str>> =
                inventory.agents().into_iter().map(|(_, agent)| agent).collect();
            prop_assert_eq!(&agents, &model.registered.keys().cloned().collect::<BTreeSet<_>>());
        }
        // The world stays as it is, but that what is being written is written.
        for face in world.values_mut() {
            if matches!(face, Face::Unsettled) {
                *face = Face::Here(0);
            }
        }
        let mut steps = 1;
        for _ in 0..60 {
            now = inventory.next_look(now).unwrap_or(now + INTERVAL).max(now + Duration::from_millis(1));
            steps = model.look(&mut inventory, now, &world, 0);
        }
        prop_assert_eq!(steps, 0, "it does not come to rest");
        let wanted = world.iter().filter_map(|(item, face)| match face {
            Face::Here(n) => Some((*item, format!("{item}-{n}"))),
            _ => None,
        });
        let wanted: BTreeMap<usize, String> =
            wanted.filter(|(item, it)| released.get(item) != Some(it)).collect();
        for (item, fingerprint) in &wanted {
            let there = model.registered.values().filter(|it| *it == fingerprint).count();
            prop_assert_eq!(there, 1, "{} of {}", fingerprint, ITEMS[*item]);
        }
        for (name, agent) in inventory.agents() {
            let item = ITEMS.iter().position(|item| **item == *name).unwrap();
            let face = world.get(&item);
            let kept = matches!(face, Some(Face::Refused));
            prop_assert!(
                kept || wanted.contains_key(&item) || matches!(face, Some(Face::Here(_))),
                "{} of {} is there and should not be: {:?}", agent, name, face
            );
        }
    }

    /// An agent that is there at each look is never touched, whatever happens to the others.
    #[test]
    fn what_stays_is_left_alone(turns in turns()) {
        let mut inventory = Inventory::new(&DiscoveryPolicy::default(), INTERVAL);
        let mut model = Model::default();
        let mut world = BTreeMap::from([(0, Face::Here(0))]);
        let mut now = Moment::ZERO;
        model.look(&mut inventory, now, &world, 0);
        let agent = inventory.agents()[0].1.clone();
        for turn in turns {
            match turn {
                Turn::Set(item, face) if item > 0 => drop(world.insert(item, face)),
                Turn::Pause(ms) => now = now + Duration::from_millis(ms),
                Turn::Look(fails) => drop(model.look(&mut inventory, now, &world, fails)),
                _ => {}
            }
            prop_assert!(model.registered.contains_key(&agent));
            prop_assert!(!model.away.contains(&agent));
        }
    }
}
