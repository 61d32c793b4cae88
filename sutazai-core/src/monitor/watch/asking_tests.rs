//! Monitors that hang, are slow, or ask for samples themselves.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;
use crate::monitor::watch::{MONITORS_MAX, Sampled, Watch, WatchPolicy};

struct Fixed(&'static str, f64);
impl Monitor for Fixed {
    fn name(&self) -> &str {
        self.0
    }
    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        out.add(self.0, self.1);
        Ok(())
    }
}

fn at(s: u64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(s)
}

fn policy() -> WatchPolicy {
    WatchPolicy { watched: Vec::new(), ..WatchPolicy::default() }
}

/// Says that it was asked, and waits for a word before it returns.
struct Stuck(&'static str, SyncSender<&'static str>, Mutex<Receiver<()>>);

impl Monitor for Stuck {
    fn name(&self) -> &str {
        self.0
    }
    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        self.1.send(self.0).unwrap();
        let _ = self.2.lock().recv();
        out.add(self.0, 1.0);
        Ok(())
    }
}

fn moment(s: u64) -> Moment {
    Moment::ZERO + Duration::from_secs(s)
}

#[test]
fn those_that_hang_are_left_and_asked_again_once_they_have_returned() {
    // As long as nothing here takes, but short for whoever waits for those that hang.
    let patience = WatchPolicy { patience_ms: Some(4_000), ..policy() };
    let watch = Watch::new(patience, None).unwrap();
    let (asked, was_asked) = sync_channel(9);
    let mut words = Vec::new();
    for name in ["first", "second"] {
        let (word, waits) = sync_channel(9);
        words.push(word);
        watch.add(Arc::new(Stuck(name, asked.clone(), Mutex::new(waits)))).unwrap();
        watch.add(Arc::new(Fixed(if name == "first" { "a" } else { "b" }, 3.0))).unwrap();
    }
    let values = |sampled: &Sampled| -> Vec<String> {
        sampled.values.iter().map(|one| one.series.to_string()).collect()
    };
    let every = Some(Duration::from_secs(1));
    let sampled = watch.sample_at(at(1), moment(1), every).unwrap();
    assert_eq!(sampled.away, ["first", "second"]);
    assert_eq!(values(&sampled), ["a", "b"], "those behind them are asked nevertheless");
    assert!(sampled.failures.is_empty());
    for (now, fails) in [(2, 0), (10, 0), (11, 2), (12, 2)] {
        let sampled = watch.sample_at(at(now), moment(now), every).unwrap();
        assert_eq!(
            (values(&sampled), sampled.failures.len()),
            (vec!["a".into(), "b".into()], fails)
        );
        let status = watch.status_at(moment(now), every);
        let away: Vec<_> = status.away.iter().map(|one| (one.seconds, one.hangs)).collect();
        assert_eq!(away, [((now - 1) as f64, fails > 0); 2]);
        assert_eq!(status.failures, fails as u64, "each counts once");
    }
    assert_eq!(was_asked.try_iter().collect::<Vec<_>>(), ["first", "second"]);
    // The second one is taken away, and its name is free.
    assert!(watch.status_at(moment(13), every).removed.is_empty());
    assert!(watch.remove("second"));
    watch.add(Arc::new(Fixed("second", 7.0))).unwrap();
    // Its thread is still there, and is told of.
    let status = watch.status_at(moment(13), every);
    let removed: Vec<_> =
        status.removed.iter().map(|one| (&*one.monitor, one.seconds, one.hangs)).collect();
    assert_eq!(removed, [("second", 12.0, true)]);
    assert_eq!(status.away.iter().map(|one| &*one.monitor).collect::<Vec<_>>(), ["first"]);
    let sampled = watch.sample_at(at(13), moment(13), every).unwrap();
    assert_eq!((sampled.away, sampled.failures.len()), (vec!["first".to_owned()], 1));
    // The first one returns: what it says is of the time when it was asked.
    words[0].send(()).unwrap();
    while watch.members.lock().present.iter().any(|one| one.out().is_some()) {
        std::thread::yield_now();
    }
    words[0].send(()).unwrap();
    let sampled = watch.sample_at(at(14), moment(14), every).unwrap();
    assert!(sampled.away.is_empty() && sampled.failures.is_empty(), "{sampled:?}");
    assert!(values(&sampled).contains(&"first".to_owned()));
    let points = watch.history().points("first", 9);
    assert_eq!(points.iter().map(|one| one.at).collect::<Vec<_>>(), [at(1), at(14)]);
    assert_eq!(was_asked.try_iter().collect::<Vec<_>>(), ["first"]);
    // Until it returns.
    words[1].send(()).unwrap();
    while !watch.status_at(moment(15), every).removed.is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn threads_that_hang_have_a_bound() {
    let short = WatchPolicy { patience_ms: Some(1), ..policy() };
    let watch = Watch::new(short, None).unwrap();
    let (asked, was_asked) = sync_channel(MONITORS_MAX);
    let mut words = Vec::new();
    let mut stuck = || {
        let (word, waits) = sync_channel(1);
        words.push(word);
        Arc::new(Stuck("stuck", asked.clone(), Mutex::new(waits)))
    };
    for i in 0..MONITORS_MAX as u64 {
        watch.add(stuck()).unwrap();
        // Where nobody has come to it yet, it is asked again.
        while was_asked.try_recv().is_err() {
            watch.sample_at(at(i), moment(i), None).unwrap();
        }
        assert!(watch.remove("stuck"));
    }
    let error = watch.add(stuck()).unwrap_err();
    assert_eq!(error.code(), Code::OVERLOADED);
    assert!(error.to_string().contains("removed_but_hanging=256"), "{error}");
    words.clear();
    while watch.add(Arc::new(Fixed("fine", 1.0))).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn whoever_lets_go_of_the_monitors_waits_for_none() {
    let long = WatchPolicy { patience_ms: Some(60_000), ..policy() };
    let watch = Watch::new(long, None).unwrap();
    let (asked, was_asked) = sync_channel(9);
    let (word, waits) = sync_channel(1);
    watch.add(Arc::new(Stuck("stuck", asked, Mutex::new(waits)))).unwrap();
    let sampled = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| watch.sample_at(at(1), moment(1), None).unwrap());
        was_asked.recv().unwrap();
        let began = Instant::now();
        watch.release();
        let sampled = sampler.join().unwrap();
        // Its patience is a minute.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        sampled
    });
    assert!(sampled.away == ["stuck"] && sampled.failures.is_empty(), "{sampled:?}");
    assert!(watch.sample(at(2)).unwrap().away.is_empty());
    word.send(()).unwrap();
}

/// Takes some time.
struct Slow(String);

impl Monitor for Slow {
    fn name(&self) -> &str {
        &self.0
    }
    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        std::thread::sleep(Duration::from_millis(30));
        out.add(self.0.as_str(), 1.0);
        Ok(())
    }
}

#[test]
fn all_are_asked_in_turn_where_slow_ones_use_the_patience_up() {
    let watch = Watch::new(WatchPolicy { patience_ms: Some(100), ..policy() }, None).unwrap();
    for i in 0..10 {
        watch.add(Arc::new(Slow(format!("slow{i}")))).unwrap();
    }
    watch.add_own(Arc::new(Fixed("own", 1.0))).unwrap();
    let mut samples = 0;
    while watch.history().status().series < 11 {
        samples += 1;
        assert!(samples < 40, "{:?}", watch.history().series("", 99));
        watch.sample_at(at(samples), moment(samples), None).unwrap();
    }
}

#[test]
fn who_is_not_asked_fails_with_the_third_sample_and_is_asked_first() {
    let member = |name, own| Arc::new(Member::new(0, Arc::new(Fixed(name, 1.0)), own));
    let (first, second, own) =
        (member("first", false), member("second", false), member("own", true));
    let mut asker = Asker::default();
    let all = vec![Arc::clone(&first), Arc::clone(&second), Arc::clone(&own)];
    let round = |number, monitors| Round::new(number, at(number), moment(number), monitors);
    asker.ask(&round(1, vec![Arc::clone(&first)]), Duration::from_secs(60)).unwrap();
    assert!(matches!(first.end_turn(), Turn::Said(_)));
    for times in 1..4 {
        assert!(matches!(second.end_turn(), Turn::Unasked(Some(n)) if n == times));
    }
    let mut places = all.clone();
    places.sort_by_key(|one| one.place());
    let names: Vec<&str> = places.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["own", "second", "first"]);
    asker.ask(&round(2, all), Duration::from_secs(60)).unwrap();
    assert!(matches!(second.end_turn(), Turn::Said(_)));
    assert!(matches!(second.end_turn(), Turn::Unasked(Some(1))), "it begins anew");
}

#[test]
fn who_is_taken_away_while_it_waits_is_not_asked() {
    let long = WatchPolicy { patience_ms: Some(60_000), ..policy() };
    let watch = Watch::new(long, None).unwrap();
    let (asked, was_asked) = sync_channel(9);
    let mut words = Vec::new();
    for name in ["first", "second"] {
        let (word, waits) = sync_channel(1);
        words.push(word);
        watch.add(Arc::new(Stuck(name, asked.clone(), Mutex::new(waits)))).unwrap();
    }
    let sampled = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| watch.sample_at(at(1), moment(1), None).unwrap());
        assert_eq!(was_asked.recv(), Ok("first"));
        assert!(watch.remove("second"));
        words[0].send(()).unwrap();
        sampler.join().unwrap()
    });
    assert_eq!((sampled.values.len(), sampled.away.len(), sampled.unasked.len()), (1, 0, 0));
    assert!(sampled.failures.is_empty(), "{sampled:?}");
    assert!(was_asked.try_recv().is_err(), "the second one was not asked");
}

#[test]
fn what_comes_too_late_to_be_kept_is_told() {
    let short = WatchPolicy { patience_ms: Some(100), ..policy() };
    let watch = Watch::new(short, None).unwrap();
    let (asked, was_asked) = sync_channel(9);
    let (word, waits) = sync_channel(9);
    watch.add(Arc::new(Stuck("stuck", asked, Mutex::new(waits)))).unwrap();
    while was_asked.try_recv().is_err() {
        watch.sample_at(at(1), moment(1), None).unwrap();
    }
    // Somebody else has told of the same in the meantime.
    watch.record("stuck", at(5), 1.0).unwrap();
    word.send(()).unwrap();
    word.send(()).unwrap();
    while watch.members.lock().present.iter().any(|one| one.out().is_some()) {
        std::thread::yield_now();
    }
    let sampled = watch.sample_at(at(6), moment(6), None).unwrap();
    let [(name, error)] = &sampled.failures[..] else { panic!("{sampled:?}") };
    assert_eq!((&**name, error.code()), ("stuck", Code::INVALID));
    assert!(error.to_string().contains("series=stuck"), "{error}");
}

#[test]
fn a_sample_within_a_monitor_is_refused_and_named() {
    struct Nested(Arc<Watch>);
    impl Monitor for Nested {
        fn name(&self) -> &str {
            "nested"
        }
        fn sample(&self, now: Timestamp, _: &mut Samples) -> Result<()> {
            self.0.sample(now).map(drop)
        }
    }
    let (watch, other) =
        (Arc::new(Watch::new(policy(), None).unwrap()), Watch::new(policy(), None).unwrap());
    for own in [false, true] {
        let nested = Arc::new(Nested(Arc::clone(&watch)));
        watch.add_member(nested, own).unwrap();
        let sampled = watch.sample(at(1)).unwrap();
        let [(name, error)] = &sampled.failures[..] else { panic!("{sampled:?}") };
        assert_eq!((&**name, error.code()), ("nested", Code::WOULD_DEADLOCK));
        assert!(error.to_string().contains("monitor=nested"), "{error}");
        // It is another one's matter to be sampled there.
        other.add(Arc::new(Nested(Arc::clone(&watch)))).unwrap();
        watch.remove("nested");
        assert!(other.sample(at(1)).unwrap().failures.is_empty());
        other.remove("nested");
    }
    watch.release();
}
