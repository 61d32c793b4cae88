//! Messages through workers that panic under a supervisor: none is lost, none is done twice, and what
//! takes its worker down twice is set aside, exactly that.
//!
//! Under `SUTAZAI_LONG` with a million messages over ten thousand workers on a pool of threads, too.
#![cfg(feature = "recovery")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sutazai_core::base::runtime::{Manual, Runtime, Threads};
use sutazai_core::base::time::Moment;
use sutazai_core::port::{Child, ChildLife};
use sutazai_core::recovery::supervise::mailbox::{
    Fate, Mailbox, MailboxPolicy, MailboxWorker, Message, Work,
};
use sutazai_core::recovery::supervise::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
use sutazai_core::{Code, Error, Result};

/// What a message does to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing bad.
    Good,
    /// A panic, or an error, with its first delivery.
    Once,
    /// A panic with each.
    Always,
}

struct Item {
    kind: Kind,
    done: AtomicU8,
    deliveries: AtomicU8,
}

struct Load {
    mailboxes: Vec<Mailbox<usize>>,
    items: Vec<Item>,
    each: usize,
    /// The last message of each worker that was done.
    order: Vec<AtomicUsize>,
    left: AtomicU64,
    aside: AtomicU64,
}

/// SplitMix64, as a hash of the seed and the message.
fn chance(seed: u64, n: usize) -> u64 {
    let mut z = seed.wrapping_add((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Load {
    fn new(seed: u64, workers: usize, each: usize) -> Arc<Self> {
        let items = (0..workers * each).map(|n| {
            // Every worker panics at least once, with a message of its own choice.
            let own = chance(seed, usize::MAX - n / each) as usize % each == n % each;
            let kind = match chance(seed, n) % 1000 {
                0..5 => Kind::Always,
                5..15 => Kind::Once,
                _ if own => Kind::Once,
                _ => Kind::Good,
            };
            Item { kind, done: AtomicU8::new(0), deliveries: AtomicU8::new(0) }
        });
        Arc::new_cyclic(|load: &std::sync::Weak<Self>| {
            let hear = |fate: Fate<'_, usize>, load: &Self| match fate {
                Fate::SetAside(poison, body) => {
                    assert_eq!((poison.kills.len(), load.items[**body].kind), (2, Kind::Always));
                    load.aside.fetch_add(1, Ordering::Relaxed);
                    load.left.fetch_sub(1, Ordering::Release);
                }
                Fate::Forgotten(..) => panic!("there is room for all of it"),
            };
            let mailbox = |_| {
                let load = load.clone();
                let policy = MailboxPolicy::default().capacity(each).poison_capacity(each);
                Mailbox::with(policy, Arc::new(move |fate| hear(fate, &load.upgrade().unwrap())))
            };
            Self {
                mailboxes: (0..workers).map(mailbox).collect(),
                items: items.collect(),
                each,
                order: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
                left: AtomicU64::new((workers * each) as u64),
                aside: AtomicU64::new(0),
            }
        })
    }

    fn work(&self, message: &Message<usize>) -> Result<()> {
        let n = *message.body;
        let item = &self.items[n];
        item.deliveries.fetch_add(1, Ordering::Relaxed);
        match (item.kind, message.kills) {
            // Quiet: no hook runs, which would print a million lines.
            (Kind::Always, _) => std::panic::resume_unwind(Box::new("poison")),
            (Kind::Once, 0) if n.is_multiple_of(2) => std::panic::resume_unwind(Box::new("once")),
            (Kind::Once, 0) => return Err(Error::new(Code::IO, "once")),
            _ => {}
        }
        item.done.fetch_add(1, Ordering::Relaxed);
        let before = self.order[n / self.each].swap(n + 1, Ordering::Relaxed);
        assert!(before <= n, "out of order");
        self.left.fetch_sub(1, Ordering::Release);
        Ok(())
    }

    /// Puts half of the messages into the mailboxes before the workers start, and half while they work.
    fn push(&self, half: usize) {
        for at in (0..self.each).filter(|at| at % 2 == half) {
            // The order of acceptance has to be that of the numbers.
            let at = half * self.each / 2 + at / 2;
            for (worker, mailbox) in self.mailboxes.iter().enumerate() {
                mailbox.push(worker * self.each + at).unwrap();
            }
        }
    }

    fn check(&self) {
        let of = |kind| self.items.iter().filter(|item| item.kind == kind).count() as u64;
        assert_eq!(self.aside.load(Ordering::Relaxed), of(Kind::Always));
        let mut poisoned = 0;
        for (worker, mailbox) in self.mailboxes.iter().enumerate() {
            let s = mailbox.status();
            assert_eq!((s.waiting, s.in_hand, s.dropped, s.refused), (0, 0, 0, 0));
            assert_eq!(s.accepted, s.done + s.set_aside as u64);
            for poison in mailbox.poison() {
                let path = format!("main>{worker}");
                assert!(poison.kills.iter().all(|kill| *kill.child == *path));
                assert!(poison.kills[0].generation < poison.kills[1].generation);
                poisoned += 1;
            }
        }
        assert_eq!(poisoned, of(Kind::Always));
        for (n, item) in self.items.iter().enumerate() {
            let expected = match item.kind {
                Kind::Good => (1, 1),
                Kind::Once => (1, 2),
                Kind::Always => (0, 2),
            };
            let found =
                (item.done.load(Ordering::Relaxed), item.deliveries.load(Ordering::Relaxed));
            assert_eq!(found, expected, "message {n}, {:?}", item.kind);
        }
    }

    /// How often workers have to be restarted.
    fn crashes(&self) -> u64 {
        let of = |kind| self.items.iter().filter(|item| item.kind == kind).count() as u64;
        of(Kind::Once) + 2 * of(Kind::Always)
    }
}

fn supervised(runtime: &Arc<dyn Runtime>, load: &Arc<Load>) -> Supervisor {
    let ids = (0..load.mailboxes.len()).map(|worker| ChildSpec::worker(worker.to_string()));
    let spec =
        SupervisorSpec::new(Strategy::OneForOne).intensity(u32::MAX, Duration::from_secs(3600));
    let spec = ids.fold(spec, SupervisorSpec::child);
    let (load, clock) = (Arc::clone(load), Arc::clone(runtime));
    let children = move |life: &ChildLife| -> Result<Arc<dyn Child>> {
        let mailbox = load.mailboxes[life.id.parse::<usize>().unwrap()].clone();
        let load = Arc::clone(&load);
        let work: Work<usize> = Arc::new(move |message| load.work(message));
        Ok(Arc::new(MailboxWorker::new(mailbox, Arc::clone(&clock), life, work)))
    };
    let observer = Arc::new(|_: &_| ());
    Supervisor::new(Arc::clone(runtime), "main", spec, Arc::new(children), observer, 0).unwrap()
}

fn restarts(main: &Supervisor) -> u64 {
    main.status().unwrap().children.iter().map(|child| child.restarts).sum()
}

fn on_threads(seed: u64, workers: usize, each: usize) {
    let threads = Threads::default();
    threads.start().unwrap();
    let runtime: Arc<dyn Runtime> = Arc::new(threads.clone());
    let load = Load::new(seed, workers, each);
    load.push(0);
    let main = supervised(&runtime, &load);
    main.start().unwrap();
    load.push(1);
    // The last one to come down is restarted after its message was counted.
    while load.left.load(Ordering::Acquire) > 0 || restarts(&main) < load.crashes() {
        std::thread::yield_now();
    }
    assert_eq!(restarts(&main), load.crashes());
    main.stop(Moment::FAR).unwrap();
    load.check();
    threads.stop(Duration::from_secs(5));
}

#[test]
fn a_million_messages_over_ten_thousand_panicking_workers() {
    let (workers, each) = (10_000, 100);
    let time = Manual::new();
    let runtime: Arc<dyn Runtime> = Arc::new(time.clone());
    let load = Load::new(1, workers, each);
    assert!(load.crashes() > 20_000);
    load.push(0);
    let main = supervised(&runtime, &load);
    main.start().unwrap();
    load.push(1);
    while time.run() > 0 {}
    assert_eq!(load.left.load(Ordering::Acquire), 0);
    assert_eq!(restarts(&main), load.crashes());
    main.stop(Moment::FAR).unwrap();
    load.check();
}

#[test]
fn the_same_on_threads() {
    if std::env::var_os("SUTAZAI_LONG").is_some() {
        on_threads(2, 10_000, 100);
    } else {
        on_threads(3, 500, 100);
    }
}
