//! What a watch keeps, and what it finds.

use super::*;
use crate::monitor::series::Forget;
use crate::port::Samples;

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

struct Broken(bool);
impl Monitor for Broken {
    fn name(&self) -> &str {
        "broken"
    }
    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        out.add("before", 1.0);
        out.add("not_a_number", f64::NAN);
        match self.0 {
            true => panic!("on purpose"),
            false => Err(Error::new(Code::IO, "nothing there")),
        }
    }
}

fn at(s: u64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(s)
}

fn policy(watched: &[&str]) -> WatchPolicy {
    let watched = watched.iter().map(|one| (*one).to_owned()).collect();
    WatchPolicy { watched, ..WatchPolicy::default() }
}

#[test]
fn a_monitor_that_fails_takes_its_own_figures_away() {
    for panics in [false, true] {
        let watch = Watch::new(policy(&[]), None).unwrap();
        watch.add(Arc::new(Broken(panics))).unwrap();
        watch.add(Arc::new(Fixed("good", 3.0))).unwrap();
        let sampled = watch.sample(at(1)).unwrap();
        let names: Vec<&str> = sampled.values.iter().map(|one| &*one.series).collect();
        assert_eq!(names, ["before", "good"]);
        assert_eq!(sampled.failures.len(), 1);
        assert_eq!(sampled.failures[0].0, "broken");
        assert_eq!(watch.history().points("good", 9).len(), 1);
        let status = watch.status();
        assert_eq!((status.samples, status.failures, status.last), (1, 1, Some(at(1))));
    }
}

#[test]
fn what_cannot_be_kept_is_a_failure_of_its_monitor() {
    let watch = Watch::new(policy(&[]), None).unwrap();
    watch.add(Arc::new(Fixed("two\nlines", 1.0))).unwrap_err();
    struct Odd;
    impl Monitor for Odd {
        fn name(&self) -> &str {
            "odd"
        }
        fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
            out.add("", 1.0);
            out.add("fine", 2.0);
            Ok(())
        }
    }
    watch.add(Arc::new(Odd)).unwrap();
    let sampled = watch.sample(at(1)).unwrap();
    assert_eq!(sampled.values.len(), 1);
    assert_eq!((&*sampled.failures[0].0, sampled.failures[0].1.code()), ("odd", Code::INVALID));
    watch.release();
    assert!(watch.status().monitors.is_empty() && watch.sample(at(2)).unwrap().values.is_empty());
}

#[test]
fn names_of_monitors_are_one_monitors() {
    let watch = Watch::new(policy(&[]), None).unwrap();
    watch.add(Arc::new(Fixed("x", 1.0))).unwrap();
    let error = watch.add(Arc::new(Fixed("x", 2.0))).unwrap_err();
    assert_eq!(error.code(), Code::ALREADY_EXISTS);
    assert!(watch.remove("x") && !watch.remove("x"));
    assert!(watch.sample(at(1)).unwrap().values.is_empty());
}

#[test]
fn what_is_odd_is_found_where_it_is_looked_for() {
    let watch = Watch::new(policy(&["queue*"]), None).unwrap();
    let noise = |i: u64| (i * 37 % 101) as f64;
    for i in 1..600 {
        for series in ["queue_length", "other"] {
            assert_eq!(watch.record(series, at(i), noise(i)).unwrap(), None);
        }
    }
    let found = watch.record("queue_length", at(600), 5_000.0).unwrap().unwrap();
    assert_eq!((found.number, found.value), (1, 5_000.0));
    assert!(found.usual > 20.0 && found.usual < 80.0, "{found:?}");
    assert_eq!(watch.record("other", at(600), 5_000.0).unwrap(), None);
    assert_eq!(watch.anomalies(0, 10), [found]);
    assert!(watch.anomalies(1, 10).is_empty());
    // What is not watched any more is forgotten, and begins anew.
    assert!(watch.unwatch("queue*") && !watch.unwatch("queue*"));
    assert_eq!(watch.status().watching, 0);
    assert!(watch.watch("queue*").unwrap() && !watch.watch("queue*").unwrap());
    assert_eq!(watch.record("queue_length", at(601), 9_000.0).unwrap(), None);
    assert_eq!(watch.status().watching, 1);
}

#[test]
fn a_series_that_ends_is_told_while_it_is_missing_and_once() {
    let watch = Watch::new(policy(&["queue*"]), None).unwrap();
    watch.add(Arc::new(Fixed("other", 1.0))).unwrap();
    let noise = |i: u64| (i * 37 % 101) as f64;
    let mut found = Vec::new();
    for i in 1..600 {
        if !(300..400).contains(&i) {
            found.extend(watch.record("queue_length", at(i), noise(i)).unwrap());
        }
        found.extend(watch.sample(at(i)).unwrap().anomalies);
    }
    // That its pattern does not go on where it was is told as well.
    let missing_data = Some(crate::monitor::AnomalyKind::MissingData);
    let missing: Vec<_> = found.iter().filter(|one| one.kind == missing_data).collect();
    let [missing] = missing[..] else { panic!("{found:?}") };
    // Twenty intervals after the last value, which is shown.
    assert_eq!(
        (&*missing.series, missing.at, missing.value),
        ("queue_length", at(319), noise(299))
    );
    assert_eq!(watch.anomalies(0, 10), found);
}

#[test]
fn what_is_remembered_gets_a_clearer_name() {
    let watch = Watch::new(policy(&["*"]), None).unwrap();
    let mut rng = crate::monitor::anomaly::noise::Rng::new(4);
    let mut first = None;
    for i in 1..420 {
        let level = if i < 400 { 50.0 } else { 58.0 };
        first = first.or(watch.record("queue_length", at(i), level + rng.normal()).unwrap());
    }
    let first = first.unwrap();
    assert_eq!((first.at, first.kind), (at(400), Some(crate::monitor::AnomalyKind::Spike)));
    let [now] = &watch.anomalies(0, 10)[..] else { panic!("{:?}", watch.anomalies(0, 10)) };
    assert_eq!(now.kind, Some(crate::monitor::AnomalyKind::LevelShift), "it has stayed");
    assert_eq!((now.number, now.at, now.score), (first.number, first.at, first.score));
}

#[test]
fn a_level_that_changes_for_good_is_told_once() {
    let watch = Watch::new(policy(&["*"]), None).unwrap();
    for i in 1..800 {
        let level = if i < 500 { 20.0 } else { 60.0 };
        watch.record("queue_length", at(i), level + (i * 37 % 11) as f64).unwrap();
    }
    let [found] = &watch.changes(0, 10)[..] else { panic!("{:?}", watch.changes(0, 10)) };
    assert_eq!((found.number, &*found.series, found.change.at), (1, "queue_length", at(500)));
    assert!(found.found > at(500) && found.found < at(520), "{found:?}");
    assert!((found.change.after - found.change.before - 40.0).abs() < 4.0, "{found:?}");
    assert!(watch.changes(1, 10).is_empty() && watch.status().changes == 1);
}

#[test]
fn what_cannot_be_kept_is_refused_with_a_reason() {
    let watch = Watch::new(policy(&["*"]), None).unwrap();
    watch.record("x", at(5), 1.0).unwrap();
    for (series, when, value) in
        [("x", at(5), 2.0), ("x", at(6), f64::NAN), ("", at(6), 1.0), ("a\nb", at(6), 1.0)]
    {
        let error = watch.record(series, when, value).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{series}");
    }
}

#[test]
fn detectors_and_memories_have_bounds() {
    let bounded = WatchPolicy { watched_most: 2, remembered: 1, ..policy(&["*"]) };
    let watch = Watch::new(bounded, None).unwrap();
    for series in ["a", "b", "c", "c"] {
        watch.record(series, at(watch.history().status().points + 1), 1.0).unwrap();
    }
    let status = watch.status();
    assert_eq!((status.watching, status.left_out), (2, 1));
}

#[test]
fn a_series_that_has_gone_makes_room_for_another() {
    let watch = Watch::new(WatchPolicy { watched_most: 2, ..policy(&["*"]) }, None).unwrap();
    let noise = |i: u64| (i * 37 % 101) as f64;
    let watched = |series: &str| watch.judges.lock().watched.contains_key(series);
    for i in 1..400 {
        for series in ["a", "b", "c"] {
            // `a` ends: it is told as missing, some time later.
            if series != "a" || i < 300 {
                watch.record(series, at(i), noise(i)).unwrap();
            }
        }
        let missing = !watch.sample(at(i)).unwrap().anomalies.is_empty();
        assert_eq!(missing, i == 319);
        assert!(watched("b") && watched("a") == (i < 320) && watched("c") == (i >= 320), "{i}");
    }
    assert_eq!((watch.status().watching, watch.status().left_out), (2, 0));
    // Those that are there keep their detectors, though it is for long that another one wants to come.
    for i in 400..5_000 {
        for series in ["b", "c", "d"] {
            watch.record(series, at(i), noise(i)).unwrap();
        }
    }
    watch.flush(at(5_000)).unwrap();
    watch.record("d", at(5_000), 1.0).unwrap();
    assert!(watched("b") && watched("c") && watch.status().left_out == 1);
    // No sample told that they are missing: an hour is long enough.
    watch.flush(at(9_000)).unwrap();
    watch.record("c", at(9_000), 1.0).unwrap();
    watch.record("d", at(9_000), 1.0).unwrap();
    assert!(watched("c") && watched("d") && !watched("b"));
}

#[test]
fn backdated_measurements_are_refused_and_take_nothing_away() {
    let watch = Watch::new(policy(&[]), None).unwrap();
    for i in 0..2_000 {
        watch.record("queue_length", at(i), 1.0).unwrap();
    }
    for i in 500..600 {
        let error = watch.record("queue_length", at(i), 2.0).unwrap_err();
        assert_eq!(error.code(), Code::INVALID);
    }
    assert_eq!(watch.history().points("queue_length", 9_999).len(), 2_000);
    // A clock that was set back is believed, of what is measured now.
    let taken: Vec<bool> =
        (500..520).map(|i| watch.record_now("queue_length", at(i), 2.0).is_ok()).collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 11, "{taken:?}");
    assert_eq!(watch.history().status().set_back, 1);
}

#[test]
fn the_newest_anomalies_are_seen_and_those_of_a_time() {
    let watch = Watch::new(policy(&["*"]), None).unwrap();
    let noise = |i: u64| (i * 37 % 101) as f64;
    for i in 1..600 {
        watch.record("x", at(i), noise(i)).unwrap();
    }
    let found = watch.record("x", at(600), 5_000.0).unwrap().unwrap();
    assert_eq!(watch.anomalies_between(at(540), at(600)), std::slice::from_ref(&found));
    assert_eq!(watch.anomalies_between(at(600), at(660)), [found]);
    assert!(watch.anomalies_between(at(500), at(599)).is_empty());
    assert!(watch.anomalies_between(at(601), at(700)).is_empty());
}

#[test]
fn room_is_left_for_the_kernels_own_series() {
    let mut few = policy(&[]);
    (few.history.series, few.own_series) = (5, 2);
    let watch = Watch::new(few, None).unwrap();
    for series in ["a", "b", "c"] {
        watch.record(series, at(1), 1.0).unwrap();
    }
    let refused = watch.record("d", at(1), 1.0).unwrap_err();
    assert_eq!(
        (refused.code(), refused.failed_operation()),
        (Code::OVERLOADED, Some("monitor.record"))
    );
    assert!(refused.to_string().contains("most=3"), "{refused}");
    watch.add(Arc::new(Fixed("others", 1.0))).unwrap();
    watch.add_own(Arc::new(Fixed("own", 1.0))).unwrap();
    let sampled = watch.sample(at(2)).unwrap();
    assert_eq!((sampled.values.len(), &*sampled.failures[0].0), (1, "others"));
    let status = watch.status();
    assert_eq!((status.history.most, status.history.others_most), (5, 3));
    assert_eq!(status.history.refused, ["d", "others"]);
    // What they had before goes on.
    watch.record("a", at(2), 1.0).unwrap();
    let labels = std::collections::BTreeMap::new();
    assert_eq!(watch.forget(&Forget { series: "b", labels: &labels }).unwrap().len(), 1);
    watch.forget(&Forget { series: "own", labels: &labels }).unwrap();
    watch.record("d", at(3), 1.0).unwrap();
}
