use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, OnceLock, mpsc};
use std::thread;

use parking_lot::Mutex;

use super::*;
use crate::{Class, Code, Error};

struct A;
struct B;
struct C;
struct Named(u32);

trait Shape: Send + Sync {
    fn sides(&self) -> u32;
}
impl Shape for Named {
    fn sides(&self) -> u32 {
        self.0
    }
}

fn path(error: &Error) -> &str {
    error.context().find(|(key, _)| *key == "path").map_or("", |(_, value)| value)
}

#[test]
fn singletons_are_built_once_and_lazily() {
    let built = Arc::new(AtomicUsize::new(0));
    let mut c = Container::new();
    let count = Arc::clone(&built);
    c.provide::<Named>().singleton(move |_| {
        Ok(Arc::new(Named(u32::try_from(count.fetch_add(1, SeqCst)).unwrap())))
    });
    c.provide::<dyn Shape>().needs::<Named>().transient(|r| Ok(r.get::<Named>()?));
    let injector = c.seal().unwrap();
    assert_eq!(built.load(SeqCst), 0);
    assert!(Arc::ptr_eq(&injector.get::<Named>().unwrap(), &injector.get::<Named>().unwrap()));
    assert_eq!(injector.get::<dyn Shape>().unwrap().sides(), 0);
    assert_eq!(built.load(SeqCst), 1);
}

#[test]
fn many_threads_build_one_singleton() {
    let built = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(8));
    let mut c = Container::new();
    let count = Arc::clone(&built);
    c.provide::<A>().singleton(move |_| {
        count.fetch_add(1, SeqCst);
        thread::yield_now();
        Ok(Arc::new(A))
    });
    let injector = c.seal().unwrap();
    let values: Vec<_> = thread::scope(|s| {
        let asks: Vec<_> = (0..8)
            .map(|_| {
                s.spawn(|| {
                    start.wait();
                    injector.get::<A>().unwrap()
                })
            })
            .collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert!(values.iter().all(|value| Arc::ptr_eq(value, &values[0])));
    assert_eq!(built.load(SeqCst), 1);
}

#[test]
fn names_tell_values_of_one_type_apart() {
    let mut c = Container::new();
    c.provide::<Named>().named("one").value(Arc::new(Named(1)));
    c.provide::<Named>().named("two").value(Arc::new(Named(2)));
    let injector = c.seal().unwrap();
    assert_eq!(injector.get_key(&Key::<Named>::named("two")).unwrap().0, 2);
    let error = injector.get_key(&Key::<Named>::named("tow")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "inject.get: nothing provides Named \"tow\" (path=Named \"tow\", nearest=two); did you mean \"two\"?"
    );
    let error = injector.get::<Named>().err().unwrap();
    assert_eq!(error.remedy(), Some("Named \"one\" is provided; ask for that one?"));
}

#[test]
fn a_type_of_the_same_short_name_is_pointed_out() {
    mod elsewhere {
        pub(super) struct Named;
    }
    let mut c = Container::new();
    c.provide::<elsewhere::Named>().value(Arc::new(elsewhere::Named));
    let error = c.seal().unwrap().get::<Named>().err().unwrap();
    assert!(error.remedy().unwrap().contains("elsewhere::Named is provided"), "{error}");
}

#[test]
fn the_check_finds_every_mistake_and_builds_nothing() {
    fn never<T>(_: &Resolver<'_>) -> crate::Result<Arc<T>> {
        panic!("built")
    }
    let mut c = Container::new();
    c.provide::<A>().needs::<B>().singleton(never);
    c.provide::<B>().needs::<C>().singleton(never);
    c.provide::<C>().needs::<A>().needs::<String>().singleton(never);
    c.provide::<C>().singleton(never);
    c.provide::<u8>().scoped(never);
    c.provide::<u16>().needs::<u8>().transient(never);
    c.provide::<u32>().needs::<u16>().singleton(never);
    let found: Vec<_> = c.check().iter().map(|e| (e.code(), path(e).to_owned())).collect();
    assert_eq!(
        found,
        [
            (Code::ALREADY_EXISTS, String::new()),
            (Code::INJECT_CYCLE, "A → B → C → A".to_owned()),
            (Code::INJECT_MISSING, "A → B → C → String".to_owned()),
            (Code::INJECT_SCOPE, "u32 → u16 → u8".to_owned()),
        ]
    );
    let error = c.seal().unwrap_err();
    assert_eq!(error.problems().len(), 4);
    assert_eq!(error.code(), Code::ALREADY_EXISTS);
}

#[test]
fn what_is_not_declared_is_caught_when_it_is_resolved() {
    let mut c = Container::new();
    c.provide::<A>().singleton(|r| r.get::<B>().map(|_| Arc::new(A)));
    c.provide::<B>().transient(|r| r.get::<C>().map(|_| Arc::new(B)));
    c.provide::<C>().singleton(|r| r.get::<A>().map(|_| Arc::new(C)));
    c.provide::<u8>().transient(|r| r.get::<u16>().map(|_| Arc::new(0)));
    c.provide::<u16>().transient(|r| r.get::<u8>().map(|_| Arc::new(0)));
    c.provide::<u32>().scoped(|r| r.get::<String>().map(|_| Arc::new(0)));
    c.provide::<u64>().singleton(|r| r.get::<u32>().map(|_| Arc::new(0)));
    let injector = c.seal().unwrap();
    let error = injector.get::<A>().err().unwrap();
    assert_eq!((error.code(), path(&error)), (Code::INJECT_CYCLE, "A → B → C → A"));
    let error = injector.get::<B>().err().unwrap();
    assert_eq!((error.code(), path(&error)), (Code::INJECT_CYCLE, "B → C → A → B"));
    let error = injector.get::<u8>().err().unwrap();
    assert_eq!((error.code(), path(&error)), (Code::INJECT_CYCLE, "u8 → u16 → u8"));
    let scope = injector.scope();
    let error = scope.get::<u32>().err().unwrap();
    assert_eq!((error.code(), path(&error)), (Code::INJECT_MISSING, "u32 → String"));
    let error = scope.get::<u64>().err().unwrap();
    assert_eq!((error.code(), path(&error)), (Code::INJECT_SCOPE, "u64 → u32"));
}

#[test]
fn a_failing_factory_names_the_path_and_may_be_tried_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let mut c = Container::new();
    let count = Arc::clone(&tries);
    c.provide::<A>().singleton(|r| r.get::<B>().map(|_| Arc::new(A)));
    c.provide::<B>().singleton(move |_| match count.fetch_add(1, SeqCst) {
        0 => Err(Error::new(Code::IO, "no disk")),
        1 => panic!("on fire"),
        _ => Ok(Arc::new(B)),
    });
    let injector = c.seal().unwrap();
    let error = injector.get::<A>().err().unwrap();
    assert_eq!(format!("{error:#}"), "the factory of B failed (path=A → B): no disk");
    assert_eq!((error.code(), error.class()), (Code::INJECT_FAILED, Class::Transient));
    let error = injector.get::<A>().err().unwrap();
    assert_eq!(error.class(), Class::Critical);
    assert!(format!("{error:#}").ends_with("the factory panicked (panic=on fire)"), "{error:#}");
    assert!(injector.get::<A>().is_ok());
}

#[test]
fn scopes_build_once_and_drop_in_reverse() {
    struct Noisy(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Noisy {
        fn drop(&mut self) {
            self.1.lock().push(self.0);
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut c = Container::new();
    for (name, need) in [("a", None), ("b", Some("a")), ("c", Some("b"))] {
        let log = Arc::clone(&log);
        c.provide::<Noisy>().named(name).scoped(move |r| {
            if let Some(need) = need {
                r.get_key(&Key::<Noisy>::named(need))?;
            }
            Ok(Arc::new(Noisy(name, Arc::clone(&log))))
        });
    }
    c.provide::<str>().from_scope();
    let injector = c.seal().unwrap();
    let (one, two) = (injector.scope(), injector.scope());
    let key = Key::<Noisy>::named("c");
    let first = one.get_key(&key).unwrap();
    assert!(Arc::ptr_eq(&first, &one.get_key(&key).unwrap()));
    assert!(!Arc::ptr_eq(&first, &two.get_key(&key).unwrap()));
    drop((first, one));
    assert_eq!(*log.lock(), ["c", "b", "a"]);
    assert_eq!(injector.get_key(&key).err().unwrap().code(), Code::INJECT_SCOPE);

    assert_eq!(two.get::<str>().err().unwrap().code(), Code::INJECT_MISSING);
    two.put::<str>(Arc::from("given")).unwrap();
    assert_eq!(&*two.get::<str>().unwrap(), "given");
    assert_eq!(two.put::<str>(Arc::from("again")).unwrap_err().code(), Code::ALREADY_EXISTS);
}

#[test]
fn hosts_provide_by_name() {
    let mut c = Container::new();
    c.provide_named("base", &[], Lifetime::Singleton, |_| Ok(Arc::new(20_u32)));
    c.provide_named("sum", &["base"], Lifetime::Transient, |r| {
        let base = r.get_named("base")?.downcast::<u32>().unwrap();
        Ok(Arc::new(*base + 1))
    });
    c.provide_named("lost", &["bas"], Lifetime::Singleton, |_| Ok(Arc::new(())));
    let errors = c.check();
    assert_eq!(errors.len(), 1);
    assert_eq!(path(&errors[0]), "\"lost\" → \"bas\"");
    assert_eq!(errors[0].remedy(), Some("did you mean \"base\"?"));
    c.provide_key(Key::<Any>::named("lost")).replacing().value(Arc::new(()));
    let injector = c.seal().unwrap();
    assert_eq!(*injector.get_named("sum").unwrap().downcast::<u32>().unwrap(), 21);
}

/// Two threads hold one half of a cycle each; whoever asks second gets the error instead of
/// waiting for ever, and the other one's wait ends with it.
#[test]
fn a_cycle_over_two_threads_is_an_error_in_both() {
    let meet = Arc::new(Barrier::new(2));
    let mut c = Container::new();
    let (at_a, at_b) = (Arc::clone(&meet), meet);
    c.provide::<A>().singleton(move |r| {
        at_a.wait();
        r.get::<B>().map(|_| Arc::new(A))
    });
    c.provide::<B>().singleton(move |r| {
        at_b.wait();
        r.get::<C>().map(|_| Arc::new(B))
    });
    c.provide::<C>().transient(|r| r.get::<A>().map(|_| Arc::new(C)));
    let injector = c.seal().unwrap();
    let (one, two) = thread::scope(|s| {
        let one = s.spawn(|| injector.get::<A>().err().unwrap());
        let two = s.spawn(|| injector.get::<B>().err().unwrap());
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!((one.code(), two.code()), (Code::INJECT_CYCLE, Code::INJECT_CYCLE));
    for error in [one, two] {
        let text = format!("{error:#}");
        assert!(text.contains("A → B → C → A") || text.contains("B → C → A → B"), "{text}");
    }
}

#[test]
fn a_factory_that_asks_its_own_injector_for_itself_is_a_cycle() {
    let own: Arc<OnceLock<Injector>> = Arc::default();
    let mut c = Container::new();
    let (a, b) = (Arc::clone(&own), Arc::clone(&own));
    c.provide::<A>().singleton(move |_| a.get().unwrap().get::<A>());
    c.provide::<B>().transient(move |_| b.get().unwrap().get::<B>());
    let injector = c.seal().unwrap();
    own.set(injector.clone()).unwrap();
    assert_eq!(injector.get::<A>().err().unwrap().code(), Code::INJECT_CYCLE);
    // A transient has no cell to be found filling: the depth limit ends it before the stack does.
    let error = thread::spawn(move || injector.get::<B>().err().unwrap()).join().unwrap();
    assert_eq!(error.code(), Code::INJECT_FAILED);
    assert!(format!("{error:#}").contains("factories deep"), "{error:#}");
}

#[test]
fn threads_that_wait_share_the_failure_of_the_attempt() {
    let (entered, is_entered) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let tries = Arc::new(AtomicUsize::new(0));
    let mut c = Container::new();
    let count = Arc::clone(&tries);
    c.provide::<A>().singleton(move |_| {
        count.fetch_add(1, SeqCst);
        entered.send(()).unwrap();
        gone.lock().recv().unwrap();
        Err(Error::new(Code::IO, "no disk"))
    });
    c.provide::<B>().singleton(|r| r.get::<A>().map(|_| Arc::new(B)));
    let injector = c.seal().unwrap();
    thread::scope(|s| {
        let first = s.spawn(|| injector.get::<A>().err().unwrap());
        is_entered.recv().unwrap();
        let second = s.spawn(|| injector.get::<B>().err().unwrap());
        while !injector.awaited() {
            thread::yield_now();
        }
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap().code(), Code::INJECT_FAILED);
        let second = second.join().unwrap();
        assert_eq!((second.code(), path(&second)), (Code::INJECT_FAILED, "B → A"));
    });
    assert_eq!(tries.load(SeqCst), 1);
}

/// Random graphs, cyclic ones among them, resolved by several threads at once: every thread ends,
/// acyclic parts are built exactly once, and whatever reaches a cycle is an error.
#[test]
fn random_graphs_never_deadlock() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(200), |(
        edges in proptest::collection::vec((0_usize..12, 0_usize..12), 0..24),
    )| {
        let key = |n: usize| Key::<Named>::named(format!("n{n}"));
        let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..12).map(|_| AtomicUsize::new(0)).collect());
        let mut c = Container::new();
        for node in 0..12 {
            let needs: Vec<_> = edges.iter().filter(|e| e.0 == node).map(|e| key(e.1)).collect();
            let counts = Arc::clone(&counts);
            c.provide_key(key(node)).singleton(move |r| {
                thread::yield_now();
                for need in &needs {
                    r.get_key(need)?;
                }
                counts[node].fetch_add(1, SeqCst);
                Ok(Arc::new(Named(0)))
            });
        }
        let cyclic = reach_a_cycle(&edges);
        let injector = c.seal().unwrap();
        let results: Vec<Vec<_>> = thread::scope(|s| {
            let asks: Vec<_> = (0..4).map(|t| {
                let injector = &injector;
                s.spawn(move || (0..12).map(|n| {
                    let n = (n + t * 3) % 12;
                    (n, injector.get_key(&key(n)).map(|_| ()).map_err(|e| e.code()))
                }).collect())
            }).collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        for (n, result) in results.into_iter().flatten() {
            let expected = if cyclic[n] { Err(Code::INJECT_CYCLE) } else { Ok(()) };
            prop_assert_eq!(result, expected, "node {}", n);
            prop_assert_eq!(counts[n].load(SeqCst), usize::from(!cyclic[n]));
        }
    });
}

/// For each of twelve nodes, whether following the edges can go on for ever.
fn reach_a_cycle(edges: &[(usize, usize)]) -> Vec<bool> {
    let mut ends = vec![false; 12];
    for _ in 0..12 {
        for n in 0..12 {
            ends[n] |= edges.iter().filter(|e| e.0 == n).all(|e| ends[e.1]);
        }
    }
    ends.into_iter().map(|ends| !ends).collect()
}

fn chain(length: u32, declared: bool) -> Injector {
    let mut c = Container::new();
    for n in 0..length {
        let mut provide = c.provide_key(link(n));
        if declared && n > 0 {
            provide = provide.needs_key(&link(n - 1));
        }
        provide.singleton(move |r| {
            if n > 0 {
                r.get_key(&link(n - 1))?;
            }
            Ok(Arc::new(Named(n)))
        });
    }
    c.seal().unwrap()
}

fn link(n: u32) -> Key<Named> {
    Key::named(n.to_string())
}

#[test]
fn undeclared_chains_are_bounded_and_declared_ones_are_not() {
    let small = || thread::Builder::new().stack_size(1 << 20);
    let undeclared = move || {
        let injector = chain(DEPTH_LIMIT + 1, false);
        let error = injector.get_key(&link(DEPTH_LIMIT)).err().unwrap();
        assert_eq!(error.code(), Code::INJECT_FAILED);
        assert!(error.message().contains("factories deep"), "{error}");
        injector.get_key(&link(DEPTH_LIMIT - 1)).unwrap();
        assert_eq!(injector.get_key(&link(DEPTH_LIMIT)).unwrap().0, DEPTH_LIMIT);
    };
    small().spawn(undeclared).unwrap().join().unwrap();
    let declared = || assert_eq!(chain(20_000, true).get_key(&link(19_999)).unwrap().0, 19_999);
    small().spawn(declared).unwrap().join().unwrap();
}

#[test]
fn declared_needs_lead_the_path_too() {
    let mut c = Container::new();
    c.provide::<A>().needs::<B>().singleton(|r| r.get::<B>().map(|_| Arc::new(A)));
    c.provide::<B>().needs::<C>().singleton(|r| r.get::<C>().map(|_| Arc::new(B)));
    c.provide::<C>().singleton(|r| r.get::<String>().map(|_| Arc::new(C)));
    let error = c.seal().unwrap().get::<A>().err().unwrap();
    assert_eq!((error.code(), path(&error)), (Code::INJECT_MISSING, "A → B → C → String"));
}
