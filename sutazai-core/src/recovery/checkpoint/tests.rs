//! Saving and restoring through random failures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::Class;
use crate::base::runtime::Threads;
use crate::recovery::MIGRATIONS;

/// What one of its calls does: of the calls of `restore` so far, by number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Fails, having changed nothing.
    Clean,
    /// Fails, having changed something.
    Half,
    /// Says that it succeeded, having done something else.
    Lie,
    Panic,
}

struct Fake {
    name: String,
    needs: Vec<String>,
    state: Mutex<i64>,
    faults: BTreeMap<usize, Fault>,
    restores: AtomicUsize,
    save_fails: AtomicBool,
    /// The names of those that were restored, in their order, of all fakes.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Checkpointed for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Vec<String> {
        self.needs.clone()
    }

    fn save(&self) -> Result<Payload> {
        if self.save_fails.load(Ordering::Relaxed) {
            return Err(Error::new(Code::IO, "cannot save"));
        }
        Ok((*self.state.lock()).into())
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        self.seen.lock().push(self.name.clone());
        let call = self.restores.fetch_add(1, Ordering::Relaxed);
        match self.faults.get(&call) {
            None => {
                *self.state.lock() = state.to()?;
                Ok(())
            }
            Some(Fault::Clean) => Err(Error::new(Code::IO, "cannot restore")),
            Some(Fault::Half) => {
                *self.state.lock() = -1;
                Err(Error::new(Code::IO, "cannot restore"))
            }
            Some(Fault::Lie) => {
                *self.state.lock() = -2;
                Ok(())
            }
            Some(Fault::Panic) => panic!("on purpose"),
        }
    }
}

struct Bench {
    checkpoints: Checkpoints,
    fakes: Vec<Arc<Fake>>,
    seen: Arc<Mutex<Vec<String>>>,
    news: Arc<Mutex<Vec<&'static str>>>,
}

fn bench(keep: usize, faults: &[(Vec<usize>, BTreeMap<usize, Fault>)]) -> Bench {
    let store = Store::memory(&[MIGRATIONS]).unwrap();
    let news = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&news);
    let checkpoints = Checkpoints::new(
        Arc::new(Threads::default()),
        store,
        CheckpointConfig { keep },
        Arc::new(move |news| heard.lock().push(news.name())),
    )
    .unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut fakes = Vec::new();
    for (index, (needs, faults)) in faults.iter().enumerate() {
        let fake = Arc::new(Fake {
            name: format!("t{index}"),
            needs: needs.iter().map(|n| format!("t{n}")).collect(),
            state: Mutex::new(index as i64),
            faults: faults.clone(),
            restores: AtomicUsize::new(0),
            save_fails: AtomicBool::new(false),
            seen: Arc::clone(&seen),
        });
        checkpoints.register(Arc::clone(&fake) as Arc<dyn Checkpointed>).unwrap();
        fakes.push(fake);
    }
    Bench { checkpoints, fakes, seen, news }
}

impl Bench {
    fn states(&self) -> Vec<i64> {
        self.fakes.iter().map(|fake| *fake.state.lock()).collect()
    }

    fn change(&self) {
        for fake in &self.fakes {
            *fake.state.lock() += 100;
        }
    }
}

fn context(error: &Error, key: &str) -> String {
    let found = error.context().find(|(k, _)| *k == key);
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn things() -> impl Strategy<Value = Vec<(Vec<usize>, BTreeMap<usize, Fault>)>> {
    let fault =
        prop_oneof![Just(Fault::Clean), Just(Fault::Half), Just(Fault::Lie), Just(Fault::Panic)];
    // The first call restores, the second one puts back.
    let faults = proptest::collection::btree_map(0_usize..2, fault, 0..2);
    let faults = prop_oneof![3 => Just(BTreeMap::new()), 1 => faults];
    // Needs point at later ones, so that the order is not that of registration, and there is no circle.
    proptest::collection::vec((proptest::collection::vec(1_usize..4, 0..2), faults), 1..7).prop_map(
        |mut all| {
            let count = all.len();
            for (index, (needs, _)) in all.iter_mut().enumerate() {
                for need in needs.iter_mut() {
                    *need += index;
                }
                needs.retain(|need| *need < count);
            }
            all
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_restore_is_whole_or_undone_or_says_what_is_left(given in things()) {
        let bench = bench(8, &given);
        let order = bench.checkpoints.registered().unwrap();
        let saved = bench.states();
        let taken = bench.checkpoints.create("good", None).unwrap();
        bench.change();
        let before = bench.states();
        let result = bench.checkpoints.restore(taken.id, None);
        let seen = bench.seen.lock().clone();
        match result {
            Ok(restored) => {
                prop_assert_eq!(&bench.states(), &saved);
                prop_assert_eq!(&seen, &order);
                prop_assert_eq!(&restored.restored, &order);
                prop_assert_eq!(bench.news.lock().clone(), ["created", "restored"]);
            }
            Err(error) => {
                prop_assert_eq!(error.code(), Code::RESTORE_FAILED);
                prop_assert_eq!(bench.news.lock().clone(), ["created", "restore_failed"]);
                let failed = context(&error, "failed");
                let gone = order.iter().position(|name| *name == failed).unwrap() + 1;
                prop_assert_eq!(context(&error, "path"), order[..gone].join(" → "));
                let back = order[..gone].iter().rev().cloned();
                prop_assert_eq!(&seen, &order[..gone].iter().cloned().chain(back).collect::<Vec<_>>());
                let left = context(&error, "not_put_back");
                let critical = error.class() == Class::Critical;
                prop_assert_eq!(critical, !left.is_empty());
                let back = context(&error, "put_back");
                for (fake, before) in bench.fakes.iter().zip(before) {
                    let name = &fake.name;
                    let is_left = left.split("; ").any(|l| l.starts_with(&format!("{name}: ")));
                    prop_assert!(is_left || *fake.state.lock() == before, "{} is another", name);
                    let is_back = back.split(", ").any(|b| b == name);
                    prop_assert_eq!(is_left != is_back, order[..gone].contains(name));
                }
                if !critical {
                    prop_assert!(bench.states().iter().all(|state| *state >= 100));
                }
            }
        }
        if given.iter().all(|(_, faults)| faults.is_empty()) {
            prop_assert_eq!(bench.states(), saved, "without faults it succeeds");
        }
    }

    #[test]
    fn a_diff_names_what_changed(changed in proptest::collection::vec(any::<bool>(), 1..8)) {
        let none = vec![(Vec::new(), BTreeMap::new()); changed.len()];
        let bench = bench(8, &none);
        let first = bench.checkpoints.create("first", None).unwrap();
        for (fake, changed) in bench.fakes.iter().zip(&changed) {
            *fake.state.lock() += i64::from(*changed);
        }
        let second = bench.checkpoints.create("second", None).unwrap();
        let names: Vec<_> = bench
            .fakes
            .iter()
            .zip(&changed)
            .filter(|(_, changed)| **changed)
            .map(|(fake, _)| fake.name.clone())
            .collect();
        let diff = bench.checkpoints.diff(first.id, Some(second.id)).unwrap();
        prop_assert_eq!((&diff.changed, diff.added.len(), diff.removed.len()), (&names, 0, 0));
        prop_assert_eq!(bench.checkpoints.diff(first.id, None).unwrap(), diff);
        prop_assert_eq!(first.digest == second.digest, names.is_empty());
    }
}

#[test]
fn the_oldest_goes_and_numbers_are_not_used_again() {
    let bench = bench(3, &[(Vec::new(), BTreeMap::new())]);
    let ids: Vec<_> =
        (0..5).map(|n| bench.checkpoints.create(&n.to_string(), None).unwrap().id.0).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    let kept: Vec<_> = bench.checkpoints.list().unwrap().iter().map(|view| view.id.0).collect();
    assert_eq!(kept, [5, 4, 3]);
    assert!(bench.checkpoints.delete(CheckpointId(5)).unwrap());
    assert!(!bench.checkpoints.delete(CheckpointId(5)).unwrap());
    assert_eq!(bench.checkpoints.create("next", None).unwrap().id.0, 6);
    assert_eq!(bench.checkpoints.get(CheckpointId(1)).unwrap_err().code(), Code::NOT_FOUND);
    let error = bench.checkpoints.restore(CheckpointId(u64::MAX), None).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
}

#[test]
fn what_is_chosen_is_saved_and_restored_alone() {
    let none = vec![(Vec::new(), BTreeMap::new()); 3];
    let bench = bench(3, &none);
    let two = ["t0".to_owned(), "t2".to_owned()];
    let taken = bench.checkpoints.create("two", Some(&two)).unwrap();
    assert_eq!(bench.checkpoints.get(taken.id).unwrap().states.len(), 2);
    bench.change();
    bench.checkpoints.restore(taken.id, Some(&two[1..])).unwrap();
    assert_eq!(bench.states(), [100, 101, 2]);
    let other = ["t1".to_owned()];
    let error = bench.checkpoints.restore(taken.id, Some(&other)).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
    let error = bench.checkpoints.create("x", Some(&["t9".to_owned()])).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
    let diff = bench.checkpoints.diff(taken.id, None).unwrap();
    assert_eq!((diff.changed, diff.added), (vec!["t0".to_owned()], vec!["t1".to_owned()]));
}

#[test]
fn a_save_that_fails_leaves_no_checkpoint_and_touches_nothing() {
    let none = vec![(Vec::new(), BTreeMap::new()); 2];
    let bench = bench(3, &none);
    let taken = bench.checkpoints.create("good", None).unwrap();
    bench.change();
    bench.fakes[1].save_fails.store(true, Ordering::Relaxed);
    let error = bench.checkpoints.create("bad", None).unwrap_err();
    assert_eq!((error.code(), context(&error, "name")), (Code::IO, "t1".to_owned()));
    assert_eq!(bench.checkpoints.list().unwrap().len(), 1);
    let error = bench.checkpoints.restore(taken.id, None).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::RESTORE_FAILED, Class::Persistent));
    assert_eq!(bench.states(), [100, 101]);
    assert!(bench.seen.lock().is_empty());
}

#[cfg(feature = "store")]
#[test]
fn a_damaged_checkpoint_is_not_restored() {
    for sql in [
        "UPDATE recovery_checkpoint_part SET state = '7' WHERE position = 1",
        "UPDATE recovery_checkpoint_part SET name = 't9' WHERE position = 1",
        "DELETE FROM recovery_checkpoint_part WHERE position = 1",
    ] {
        let none = vec![(Vec::new(), BTreeMap::new()); 2];
        let bench = bench(3, &none);
        let taken = bench.checkpoints.create("good", None).unwrap();
        bench.change();
        let store = bench.checkpoints.0.records.0.clone();
        let damage = move |tx: &crate::store::Tx<'_>| Ok(tx.execute(sql, [])?);
        store.write("test", crate::store::Durability::Process, damage).wait().unwrap();
        let error = bench.checkpoints.restore(taken.id, None).unwrap_err();
        assert_eq!(error.code(), Code::STORE_CORRUPT, "{sql}");
        assert_eq!(bench.states(), [100, 101]);
    }
}

#[test]
fn one_at_a_time() {
    struct Nested(Mutex<Option<Checkpoints>>, Mutex<Option<Code>>);
    impl Checkpointed for Nested {
        fn name(&self) -> &str {
            "nested"
        }
        fn save(&self) -> Result<Payload> {
            let inner = self.0.lock().clone();
            let code = inner.map(|c| c.create("inner", None).unwrap_err().code());
            *self.1.lock() = code;
            Ok(Payload::NULL)
        }
        fn restore(&self, _: &Payload) -> Result<()> {
            Ok(())
        }
    }
    let bench = bench(3, &[]);
    let nested = Arc::new(Nested(Mutex::new(Some(bench.checkpoints.clone())), Mutex::new(None)));
    bench.checkpoints.register(nested.clone()).unwrap();
    bench.checkpoints.create("outer", None).unwrap();
    assert_eq!(*nested.1.lock(), Some(Code::OVERLOADED));
    *nested.0.lock() = None;
    let again = bench.checkpoints.register(nested).unwrap_err();
    assert_eq!(again.code(), Code::ALREADY_EXISTS);
}
