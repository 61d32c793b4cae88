use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::Code;
use crate::base::time::Moment;

mod again;

fn at(seconds: f64) -> Moment {
    Moment::ZERO + Duration::from_secs_f64(seconds)
}

fn detector() -> BottleneckDetector {
    BottleneckDetector::new(BottleneckPolicy {
        spans: 50_000,
        window_s: 86_400.0,
        ..Default::default()
    })
    .unwrap()
}

fn span(id: u64, parent: Option<u64>, who: &str, times: [f64; 3]) -> WorkSpan {
    let mut span = WorkSpan::new(id, format!("do {who}"), at(times[0]));
    (span.parent, span.agent) = (parent, Some(who.into()));
    (span.started, span.ended) = (at(times[1]), at(times[2]));
    if times[1] > times[0] {
        let what = Arc::from(who);
        span.waits.push(Wait { on: WaitFor::Place, what, from: span.arrived, to: span.started });
    }
    span
}

fn room(agents: &[(&str, f64)]) -> Surroundings {
    let capacity = agents.iter().map(|(name, most)| (Arc::from(*name), *most)).collect();
    Surroundings { capacity, cores: 2.0, ..Surroundings::default() }
}

/// Uniform, from 0 to 1 (SplitMix64).
struct Random(u64);
impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.next()).ln()
    }
}

/// Poisson arrivals at one server; the spans, and the mean time.
fn queue(n: u64, rate: f64, service: f64, seed: u64) -> (BottleneckDetector, f64) {
    let (mut random, mut detector) = (Random(seed), detector());
    let (mut now, mut free, mut sum) = (0.0, 0.0_f64, 0.0);
    for id in 0..n {
        now += random.exponential(1.0 / rate);
        let begun = now.max(free);
        free = begun + random.exponential(service);
        sum += free - now;
        // Each from a client of its own.
        let mut one = span(id, None, "a", [now, begun, free]);
        one.client = id;
        detector.record(one);
    }
    (detector, sum / n as f64)
}

/// Clients that go round through stations one after the other, each with one server.
fn closed(clients: usize, rounds: usize, stations: &[(&str, f64)]) -> BottleneckDetector {
    let mut detector = detector();
    let mut free = vec![0.0_f64; stations.len()];
    // (when the client goes on, client, station, its task's number and begin)
    let mut open: Vec<(f64, usize, usize, u64, f64)> =
        (0..clients).map(|client| (0.0, client, 0, client as u64 * 1_000_000, 0.0)).collect();
    let mut left = clients * rounds;
    while left > 0 {
        let next = (0..open.len()).min_by(|a, b| open[*a].0.total_cmp(&open[*b].0)).unwrap();
        let (now, client, station, id, begun) = open[next];
        let begins = now.max(free[station]);
        free[station] = begins + stations[station].1;
        let ends = free[station];
        let part = id + station as u64 + 1;
        detector.record(span(part, Some(id), stations[station].0, [now, begins, ends]));
        open[next] = if station + 1 < stations.len() {
            (ends, client, station + 1, id, begun)
        } else {
            let mut task = WorkSpan::new(id, "task", at(begun));
            (task.client, task.ended) = (client as u64, at(ends));
            detector.record(task);
            left -= 1;
            (ends, client, 0, id + 100, ends)
        };
    }
    detector
}

#[test]
fn a_queue_is_what_theory_says() {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for seed in 0..5 {
        let (detector, mean) = queue(10_000, 70.0, 0.01, seed);
        let around = room(&[("a", 1.0)]);
        let found = detector.look(at(1e4), &around);
        let station = &found.stations[0];
        assert!((station.utilisation.unwrap() - 0.7).abs() < 0.03, "{station:?}");
        assert!((station.arrival_scv - 1.0).abs() < 0.1 && (station.service_scv - 1.0).abs() < 0.1);
        assert!((station.little - station.observed).abs() < 0.02 * station.observed);
        // M/M/1: ρ/(1−ρ) × the service time.
        let expected = station.estimated_wait_s.unwrap();
        assert!((expected - 0.0233).abs() < 0.005, "{expected}");
        assert!((found.replayed.unwrap() - 1.0).abs() < 0.01, "{:?}", found.replayed);
        assert!((found.latency_s - mean).abs() < 1e-6);
        // 20 % faster: 1/(125−70) instead of 1/(100−70).
        let faster = found.ranked[0].what_if[0].latency;
        (least, most) = (least.min(faster), most.max(faster));
        // The same arrivals: no more tasks a second than come.
        assert!((found.ranked[0].what_if[0].throughput - 1.0).abs() < 0.01);
        assert_eq!(found.ranked[0].kind, BottleneckKind::Queue);
    }
    let theory = (1.0 / 55.0) / (1.0 / 30.0);
    assert!(least > 0.85 * theory && most < 1.15 * theory, "{least} to {most}, theory {theory}");
}

#[test]
fn several_servers_wait_less() {
    // M/M/2 at ρ = 0.8: C = 0.711, wait = C × S ÷ (2 (1 − ρ)).
    let wait = station::allen_cunneen(160.0, 0.01, 2.0, 1.0, 1.0).unwrap();
    assert!((wait - 0.01778).abs() < 1e-4, "{wait}");
    assert_eq!(station::allen_cunneen(200.0, 0.01, 2.0, 1.0, 1.0), None, "no room left");
    assert!(station::allen_cunneen(1.0, 0.01, f64::NAN, 1.0, 1.0).is_none());
}

#[test]
fn the_bottleneck_moves_on_when_one_is_gone() {
    let detector = closed(6, 100, &[("a", 0.002), ("b", 0.010), ("c", 0.009)]);
    let around = room(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]);
    let found = detector.look(at(1e3), &around);
    assert_eq!((&*found.ranked[0].component, found.ranked[0].kind), ("b", BottleneckKind::Queue));
    assert_eq!(found.verdict, BottleneckVerdict::Found);
    assert!((found.replayed.unwrap() - 1.0).abs() < 0.05, "{:?}", found.replayed);
    let half = Improvement::Faster(0.5);
    let faster = detector.what_if(at(1e3), &around, "b", None, half).unwrap().unwrap();
    assert!((faster.throughput - 10.0 / 9.0).abs() < 0.05, "the next one holds: {faster:?}");
    let rerun = closed(6, 100, &[("a", 0.002), ("b", 0.005), ("c", 0.009)]);
    let rerun = rerun.look(at(1e3), &around);
    assert_eq!(rerun.ranked[0].component, "c");
    assert!((faster.latency_s / rerun.latency_s - 1.0).abs() < 0.05);
    assert!((faster.tasks_per_s / rerun.tasks_per_s - 1.0).abs() < 0.05);
    let other = detector.what_if(at(1e3), &around, "a", None, half).unwrap().unwrap();
    assert!((other.throughput - 1.0).abs() < 0.02, "{other:?}");
    // Another one of it.
    let more = Improvement::MoreCapacity(1);
    let more = detector.what_if(at(1e3), &around, "b", None, more).unwrap().unwrap();
    assert!((more.throughput - 10.0 / 9.0).abs() < 0.05, "{more:?}");
}

#[test]
fn clients_of_one_thread_are_told_by_when_they_come() {
    // As four clients of an event loop: one thread, and whoever has an answer asks again.
    let run = |took: f64| {
        let mut detector = detector();
        for i in 0..400_u64 {
            let t = (i / 4) as f64 * 4.0 * took + (i % 4) as f64 * took;
            // One at a time; asked for when the one four before was done.
            let asked = if i < 4 { 0.0 } else { t - 3.0 * took };
            detector.record(span(i, None, "a", [asked, t, t + took]));
        }
        detector
    };
    let around = room(&[("a", 1.0)]);
    let half = Improvement::Faster(0.5);
    let estimate = run(0.01).what_if(at(100.0), &around, "a", None, half).unwrap().unwrap();
    let rerun = run(0.005).look(at(100.0), &around);
    assert!((estimate.tasks_per_s / rerun.tasks_per_s - 1.0).abs() < 0.05, "{estimate:?}");
    assert!((estimate.latency_s / rerun.latency_s - 1.0).abs() < 0.05, "{estimate:?}");
}

#[test]
fn of_branches_the_longest_counts() {
    let mut detector = detector();
    for i in 0..50_u64 {
        let (id, t) = (i * 10, i as f64 * 0.1);
        let mut task = span(id, None, "planner", [t, t, t + 0.065]);
        task.client = 1;
        detector.record(task);
        detector.record(span(id + 1, Some(id), "quick", [t + 0.001, t + 0.001, t + 0.030]));
        detector.record(span(id + 2, Some(id), "slow", [t + 0.001, t + 0.001, t + 0.040]));
        detector.record(span(id + 3, Some(id), "join", [t + 0.040, t + 0.040, t + 0.060]));
    }
    let found = detector.look(at(10.0), &Surroundings::default());
    assert_eq!(found.ranked[0].component, "slow");
    assert!((found.ranked[0].share - 0.6).abs() < 0.01);
    assert!(found.ranked.iter().all(|one| one.component != "quick"));
    let what_if = |who: &str, share: f64| {
        let change = Improvement::Faster(share);
        detector.what_if(at(10.0), &Surroundings::default(), who, None, change).unwrap().unwrap()
    };
    assert!((what_if("quick", 0.5).latency - 1.0).abs() < 1e-6);
    // Half of the slow branch would be 20 ms less; the other one takes 29 of its 39.
    assert!((what_if("slow", 0.5).latency - 0.055 / 0.065).abs() < 0.01);
    assert!((what_if("join", 0.5).latency - 0.055 / 0.065).abs() < 0.01);
    let refused = |who: &str, step: Option<&str>, share: f64| {
        let (change, around) = (Improvement::Faster(share), Surroundings::default());
        let error = detector.what_if(at(10.0), &around, who, step, change).unwrap_err();
        (error.code(), error.to_string())
    };
    let (code, said) = refused("nobody", None, 0.5);
    assert_eq!(code, Code::NOT_FOUND);
    assert!(said.contains("nobody"), "{said}");
    let (code, said) = refused("slwo", None, 0.5);
    assert_eq!(code, Code::NOT_FOUND);
    assert!(said.contains("slow"), "{said}");
    assert_eq!(refused("slow", Some("other"), 0.5).0, Code::NOT_FOUND);
    let (code, said) = refused("slow", None, 1.0);
    assert_eq!(code, Code::INVALID);
    assert!(said.contains("below 1"), "{said}");
}

#[test]
fn who_waits_for_a_place_waits_for_who_works_there() {
    // One at a time through a, which itself does nothing but ask b.
    let mut detector = detector();
    for i in 0..20_u64 {
        let t = i as f64 * 0.01;
        detector.record(span(i * 10, None, "a", [0.0, t, t + 0.010]));
        detector.record(span(i * 10 + 1, Some(i * 10), "b", [t, t, t + 0.0095]));
    }
    let found = detector.look(at(10.0), &room(&[("a", 1.0)]));
    assert_eq!(found.ranked[0].component, "b");
    assert!(found.ranked[0].share > 0.9, "{:?}", found.ranked[0]);
}

#[test]
fn a_lock_is_seen_by_who_waits_for_it() {
    let mut detector = detector();
    for i in 0..40_u64 {
        let t = (i / 4) as f64 * 0.02;
        let mut one = span(i, None, "a", [t, t, t + 0.02]);
        one.client = i % 4;
        one.activity = Activity { locked: 3, asleep: 1, ..Activity::default() };
        detector.record(one);
        // Threads of the pool are all taken by those who wait for the lock.
        let mut late = span(100 + i, None, "a", [t, t + 0.02, t + 0.04]);
        late.waits[0].on = WaitFor::Pool;
        late.waits[0].what = "pool".into();
        late.activity = Activity { locked: 3, asleep: 1, ..Activity::default() };
        detector.record(late);
    }
    let found = detector.look(at(10.0), &Surroundings::default());
    assert_eq!((&*found.ranked[0].component, found.ranked[0].kind), ("a", BottleneckKind::Lock));
    assert!(found.ranked[0].share > 0.6, "{:?}", found.ranked);
}

#[test]
fn failures_and_limits_are_time_lost() {
    for (why, on, kind) in [
        (Failure::Failed, WaitFor::Retry, BottleneckKind::Retry),
        (Failure::RateLimit, WaitFor::RateLimit, BottleneckKind::RateLimit),
    ] {
        let mut detector = detector();
        for i in 0..30_u64 {
            let (id, t) = (i * 10, i as f64);
            let mut task = WorkSpan::new(id, "task", at(t));
            task.ended = at(t + 0.9);
            let pause = Wait { on, what: "b".into(), from: at(t + 0.1), to: at(t + 0.6) };
            task.waits.push(pause);
            detector.record(task);
            let mut failed = span(id + 1, Some(id), "b", [t, t, t + 0.1]);
            failed.failure = Some(why);
            detector.record(failed);
            detector.record(span(id + 2, Some(id), "b", [t + 0.6, t + 0.6, t + 0.9]));
        }
        let found = detector.look(at(100.0), &Surroundings::default());
        assert_eq!((&*found.ranked[0].component, found.ranked[0].kind), ("b", kind));
        assert!((found.ranked[0].parts[0].share - 0.6 / 0.9).abs() < 0.01, "{:?}", found.ranked[0]);
    }
    // Tasks that are turned away at once would have taken as long as the others.
    let mut detector = detector();
    for i in 0..40_u64 {
        let t = i as f64 * 0.01;
        let mut one = span(i, None, "a", [t, t, t + if i % 4 == 0 { 0.02 } else { 0.0 }]);
        one.client = i;
        one.failure = (i % 4 != 0).then_some(Failure::RateLimit);
        detector.record(one);
    }
    let found = detector.look(at(10.0), &Surroundings::default());
    assert_eq!(found.ranked[0].kind, BottleneckKind::RateLimit);
    assert!((found.ranked[0].parts[0].share - 0.75).abs() < 0.01);
}

#[test]
fn one_of_several_that_has_all_the_work_is_out_of_balance() {
    let mut detector = detector();
    for i in 0..100_u64 {
        let t = i as f64 * 0.01;
        let mut one = span(i, None, "a", [0.0, t, t + 0.01]);
        one.step = "work".into();
        detector.record(one);
    }
    let mut other = span(200, None, "b", [0.0, 0.0, 0.01]);
    other.step = "work".into();
    detector.record(other);
    let found = detector.look(at(10.0), &room(&[("a", 1.0), ("b", 1.0)]));
    assert_eq!(
        (&*found.ranked[0].component, found.ranked[0].kind),
        ("a", BottleneckKind::Imbalance)
    );
}

#[test]
fn stated_figures_count_unless_they_are_everybodys() {
    let mut detector = detector();
    for i in 0..40_u64 {
        let t = i as f64 * 0.05;
        detector.record(span(i, None, "a", [t, t, t + 0.05]));
    }
    let mut limit = ResourceFigures::new("processor quota");
    limit.saturation = Some(0.7);
    detector.resource(limit.clone(), at(2.0)).unwrap();
    let mut machine = ResourceFigures::new("machine");
    (machine.saturation, machine.shared) = (Some(1.0), true);
    detector.resource(machine, at(2.0)).unwrap();
    let found = detector.look(at(3.0), &Surroundings::default());
    assert_eq!(found.ranked[0].component, "processor quota");
    assert!((found.ranked[0].share - 0.7).abs() < 1e-6);
    assert_eq!(found.resources.len(), 2);
    for bad in [f64::NAN, -0.1, 1.1] {
        limit.saturation = Some(bad);
        let error = detector.resource(limit.clone(), at(2.0)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID);
    }
}

#[test]
fn at_light_load_nothing_is_a_bottleneck() {
    let mut detector = detector();
    for i in 0..40_u64 {
        let t = i as f64 * 0.1;
        detector.record(span(i, None, "a", [t, t, t + 0.01]));
    }
    let found = detector.look(at(5.0), &Surroundings::default());
    assert_eq!(found.verdict, BottleneckVerdict::LightLoad);
    assert!(found.says.starts_with("nothing is a bottleneck"), "{}", found.says);
    let none = BottleneckDetector::new(BottleneckPolicy::default()).unwrap();
    let none = none.look(at(5.0), &Surroundings::default());
    assert_eq!((none.verdict, none.ranked.len()), (BottleneckVerdict::NoTasks, 0));
}

#[test]
fn nonsense_is_borne() {
    let mut detector = detector();
    // Part of itself, in a circle, of nobody, twice, back in time, without time, and beyond all.
    detector.record(span(1, Some(1), "a", [1.0, 2.0, 3.0]));
    detector.record(span(2, Some(3), "a", [1.0, 2.0, 3.0]));
    detector.record(span(3, Some(2), "a", [1.0, 2.0, 3.0]));
    detector.record(span(4, Some(99), "a", [1.0, 2.0, 3.0]));
    detector.record(span(5, None, "a", [3.0, 2.0, 1.0]));
    detector.record(span(5, None, "b", [1.0, 2.0, 3.0]));
    detector.record(span(6, None, "a", [1.0, 1.0, 1.0]));
    let mut odd = span(7, None, "a", [1.0, 2.0, 1e9]);
    odd.activity = Activity {
        measured_s: f64::NAN,
        cpu_s: f64::INFINITY,
        runnable_s: -1.0,
        ..Activity::default()
    };
    odd.waits.push(Wait { on: WaitFor::Lock, what: "x".into(), from: Moment::FAR, to: at(0.0) });
    odd.waits.push(Wait { on: WaitFor::Lock, what: "x".into(), from: at(0.0), to: Moment::FAR });
    detector.record(odd);
    let mut around = room(&[("a", f64::NAN), ("b", 0.0)]);
    around.cores = f64::INFINITY;
    around
        .resources
        .push(ResourceFigures { saturation: Some(f64::NAN), ..ResourceFigures::new("r") });
    let found = detector.look(Moment::ZERO, &around);
    let text = serde_json::to_string(&found).unwrap();
    assert!(!text.contains("null,\"latency") && found.latency_s.is_finite());
    for one in &found.ranked {
        assert!(one.share.is_finite() && one.share >= 0.0, "{one:?}");
        assert!(one.what_if.iter().all(|it| it.latency.is_finite() && it.throughput.is_finite()));
    }
    assert!(detector.what_if(at(1.0), &around, "a", None, Improvement::Faster(f64::NAN)).is_err());
}

#[test]
fn the_window_has_bounds() {
    let policy = BottleneckPolicy { spans: 10, window_s: 1.0, ..BottleneckPolicy::default() };
    let mut detector = BottleneckDetector::new(policy).unwrap();
    for i in 0..100_u64 {
        detector.record(span(i, None, "a", [0.0, 0.0, 0.001 * i as f64]));
    }
    assert_eq!(detector.len(), 10);
    let found = detector.look(at(0.1), &Surroundings::default());
    assert_eq!((found.tasks, found.forgotten), (10, 90));
    assert_eq!(detector.look(at(9.0), &Surroundings::default()).tasks, 0, "too long ago");
    let bad = [r#"{"window_s": 0}"#, r#"{"spans": 1}"#, r#"{"faster": 1}"#, r#"{"ranked": 0}"#];
    for bad in bad {
        let policy: BottleneckPolicy = serde_json::from_str(bad).unwrap();
        assert_eq!(BottleneckDetector::new(policy).unwrap_err().code(), Code::INVALID, "{bad}");
    }
}

#[test]
fn who_shares_the_processors_waits_for_them() {
    // Four clients that compute 10 ms, on two processors.
    let mut detector = detector();
    for i in 0..200_u64 {
        let t = (i / 4) as f64 * 0.02;
        let mut one = span(i, None, "a", [t, t, t + 0.02]);
        one.client = i % 4;
        one.activity =
            Activity { measured_s: 0.02, cpu_s: 0.01, runnable_s: 0.01, ..Activity::default() };
        detector.record(one);
    }
    let found = detector.look(at(10.0), &room(&[]));
    assert_eq!(found.ranked[0].component, "a");
    assert!(matches!(found.ranked[0].kind, BottleneckKind::Cpu | BottleneckKind::Compute));
    let faster = &found.ranked[0].what_if[0];
    assert!((faster.throughput - 1.25).abs() < 0.03 && (faster.latency - 0.8).abs() < 0.03);
    assert!((found.replayed.unwrap() - 1.0).abs() < 0.03);
}
