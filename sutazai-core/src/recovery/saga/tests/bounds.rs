//! Sagas on a store and a runtime: bounds, refusals, effects in the store, many at once.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Calls, bench, cause, fine, on, quick, refused, step};
use crate::base::payload::Payload;
use crate::base::runtime::{Runtime, Threads};
use crate::port::SagaContext;
use crate::recovery::{
    MIGRATIONS, Saga, SagaConfig, SagaFilter, SagaId, SagaPolicy, SagaState, step_fn,
};
use crate::store::Store;
use crate::{Class, Code};

#[test]
fn bounds_hold() {
    let calls = Calls::default();
    let config = SagaConfig { most: 2, keep: 3, ..SagaConfig::default() };
    let bench = bench(config);
    let stuck =
        step(&calls, |_| Err(refused(Class::Persistent)), |_| Err(refused(Class::Persistent)));
    bench.sagas.define(Saga::new("stuck").step("a", stuck)).unwrap();
    bench.sagas.define(Saga::new("fine").step("a", fine(&calls))).unwrap();
    let echo = step(&calls, |ctx| Ok(ctx.input.clone()), |_| Ok(()));
    bench.sagas.define(Saga::new("echo").step("a", echo)).unwrap();
    let mut ids = Vec::new();
    for _ in 0..6 {
        let (id, mut ticket) = bench.sagas.run("fine", Payload::NULL).unwrap();
        ticket.wait().unwrap();
        ids.push(id);
    }
    let listed: Vec<_> = bench.sagas.list(&SagaFilter::default()).unwrap();
    let listed: Vec<_> = listed.iter().map(|view| view.id).collect();
    assert_eq!(listed, [ids[5], ids[4], ids[3]], "the newest are kept");
    assert_eq!(bench.sagas.inspect(ids[0]).unwrap_err().code(), Code::NOT_FOUND);
    let page = SagaFilter { limit: Some(1), before: Some(ids[5]), ..SagaFilter::default() };
    assert_eq!(bench.sagas.list(&page).unwrap()[0].id, ids[4]);

    let big = "x".repeat(300 * 1024);
    assert_eq!(bench.sagas.run("echo", big).unwrap_err().code(), Code::INVALID);
    // The journal takes the input, and not quite the same again in other words.
    let quotes = "\u{1}".repeat(43_000);
    let (id, mut ticket) = bench.sagas.run("echo", quotes).unwrap();
    ticket.wait().unwrap();
    assert_eq!(bench.sagas.inspect(id).unwrap().view.state, SagaState::Done);

    for _ in 0..2 {
        let (_, mut ticket) = bench.sagas.run("stuck", Payload::NULL).unwrap();
        assert_eq!(ticket.wait().unwrap_err().code(), Code::SAGA_STUCK);
    }
    assert_eq!(bench.sagas.run("fine", Payload::NULL).unwrap_err().code(), Code::OVERLOADED);
    // Another runner on the same store counts them, too.
    let again = on(
        Arc::clone(&bench.runtime),
        bench.store.clone(),
        SagaConfig { most: 2, ..SagaConfig::default() },
    );
    assert_eq!(again.sagas.unfinished(), 2);
    std::mem::forget(again);
}

#[test]
fn an_output_too_long_to_keep_is_undone() {
    let (bench, calls) = (bench(SagaConfig::default()), Calls::default());
    let long = step(&calls, |_| Ok("x".repeat(300 * 1024).into()), |_| Ok(()));
    bench.sagas.define(Saga::new("long").step("a", long)).unwrap();
    let (_, mut ticket) = bench.sagas.run("long", Payload::NULL).unwrap();
    assert!(cause(&ticket.wait().unwrap_err()).contains("too long"));
    assert_eq!(*calls.lock(), ["do a", "undo a nothing"]);
}

#[test]
fn definitions_are_checked_and_names_suggested() {
    let (bench, calls) = (bench(SagaConfig::default()), Calls::default());
    let one = || Saga::new("order").step("a", fine(&calls));
    bench.sagas.define(one()).unwrap();
    assert_eq!(bench.sagas.define(one()).unwrap_err().code(), Code::ALREADY_EXISTS);
    let error = bench.sagas.run("oder", Payload::NULL).unwrap_err();
    assert_eq!((error.code(), error.remedy()), (Code::NOT_FOUND, Some("did you mean 'order'?")));
    let bad = [
        Saga::new("no steps"),
        Saga::new("empty"),
        Saga::new("").step("a", fine(&calls)),
        Saga::new("twice").step("a", fine(&calls)).step("a", fine(&calls)),
        Saga::new("slash").step("a/b", fine(&calls)),
        one().policy(SagaPolicy { undo_retry: quick(0), ..SagaPolicy::default() }),
    ];
    for saga in bad {
        assert_eq!(saga.check().unwrap_err().code(), Code::INVALID, "{saga:?}");
    }
    let nobody: SagaId = "0".repeat(32).parse().unwrap();
    for error in [
        bench.sagas.inspect(nobody).unwrap_err(),
        bench.sagas.retry(nobody).unwrap_err(),
        bench.sagas.resolve(nobody, "").unwrap_err(),
        bench.sagas.cancel(nobody).unwrap_err(),
        bench.sagas.watch(nobody).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::NOT_FOUND);
    }
}

#[test]
fn a_store_that_closes_leaves_it_for_another_time() {
    let (bench, calls) = (bench(SagaConfig::default()), Calls::default());
    let store = bench.store.clone();
    let closing = step(
        &calls,
        move |_| {
            store.close(Duration::from_secs(60)).unwrap();
            Ok(Payload::NULL)
        },
        |_| Ok(()),
    );
    bench.sagas.define(Saga::new("s").step("a", closing)).unwrap();
    let (_, mut ticket) = bench.sagas.run("s", Payload::NULL).unwrap();
    assert_eq!(ticket.wait().unwrap_err().code(), Code::NOT_RUNNING);
    assert_eq!(bench.news.lock().last().unwrap(), "set_aside");
    let error = bench.sagas.run("s", Payload::NULL).unwrap().1.wait().unwrap_err();
    assert_eq!(error.code(), Code::NOT_RUNNING);
    assert_eq!(bench.sagas.unfinished(), 1, "what never began does not count");
}

#[cfg(feature = "store")]
#[test]
fn effects_in_the_store_are_made_once() {
    use crate::recovery::{effect_of, once};
    const BANK: crate::store::Migrations = crate::store::Migrations {
        room: "bank",
        steps: &[crate::store::Step {
            version: 1,
            oldest_reader: 1,
            sql: "CREATE TABLE bank_account (balance INTEGER NOT NULL) STRICT;
                  INSERT INTO bank_account VALUES (100);",
        }],
    };
    let runtime = Arc::new(Threads::default());
    runtime.start().unwrap();
    let store = Store::memory(&[MIGRATIONS, BANK]).unwrap();
    let bench = on(runtime, store.clone(), SagaConfig::default());
    let withdraw = step_fn(
        |ctx: &SagaContext<'_>| {
            let take = || {
                once(ctx, "take", |tx| {
                    tx.execute("UPDATE bank_account SET balance = balance - 30", [])?;
                    Ok(30.into())
                })
            };
            // A change that fails is as if it had not been tried.
            let bad = once(ctx, "bad", |tx| {
                tx.execute("UPDATE bank_account SET balance = 0", [])?;
                Err(refused(Class::Persistent))
            });
            assert_eq!(bad.unwrap_err().code(), Code::AGENT_FAILED);
            assert_eq!(take()?, Payload::from(30));
            take()
        },
        |ctx: &SagaContext<'_>, gave: Option<&Payload>| {
            assert_eq!(effect_of(ctx, "take")?.as_ref(), gave);
            assert_eq!(effect_of(ctx, "bad")?, None);
            for _ in 0..2 {
                once(ctx, "return", |tx| {
                    tx.execute("UPDATE bank_account SET balance = balance + 30", [])?;
                    Ok(Payload::NULL)
                })?;
            }
            Ok(())
        },
    );
    let balance = |store: &Store| {
        let query = |conn: &rusqlite::Connection| {
            Ok(conn.query_row("SELECT balance FROM bank_account", [], |row| row.get::<_, i64>(0))?)
        };
        store.read(query).unwrap()
    };
    let looks = store.clone();
    let calls = Calls::default();
    let fails = step(
        &calls,
        move |_| {
            assert_eq!(balance(&looks), 70);
            Err(refused(Class::Persistent))
        },
        |_| Ok(()),
    );
    bench.sagas.define(Saga::new("s").step("a", withdraw).step("b", fails)).unwrap();
    let (_, mut ticket) = bench.sagas.run("s", Payload::NULL).unwrap();
    assert_eq!(cause(&ticket.wait().unwrap_err()), "on purpose");
    assert_eq!(balance(&store), 100);
}

#[test]
fn many_at_once() {
    let (bench, calls) = (bench(SagaConfig::default()), Calls::default());
    let odd = step(
        &calls,
        |ctx| match ctx.input.to::<u64>()? % 2 {
            0 => Ok(ctx.input.clone()),
            _ => Err(refused(Class::Persistent)),
        },
        |_| Ok(()),
    );
    bench.sagas.define(Saga::new("s").step("a", fine(&calls)).step("b", odd)).unwrap();
    let tickets: Vec<_> = (0..200_u64).map(|n| (n, bench.sagas.run("s", n).unwrap().1)).collect();
    for (n, mut ticket) in tickets {
        assert_eq!(ticket.wait().is_ok(), n % 2 == 0);
    }
    let undone = calls.lock().iter().filter(|call| *call == "undo a \"a\"").count();
    assert_eq!((undone, bench.sagas.unfinished()), (100, 0));
}
