//! The kernel takes samples by itself, keeps them over restarts, and tells of what is odd.
#![cfg(all(feature = "monitor", feature = "agent"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sutazai_core::agent::from_fn;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::monitor::series::{Aggregate, Query};
use sutazai_core::monitor::{Aspect, HealthPolicy, WatchPolicy};
use sutazai_core::port::{AgentCard, Monitor, Samples, Task};
use sutazai_core::{Code, Error, Result};

const GRACE: Duration = Duration::from_secs(5);

/// Counts how often it was asked.
struct Counting(Arc<AtomicU64>);

impl Monitor for Counting {
    fn name(&self) -> &str {
        "counting"
    }
    fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        out.add("asked_total", n as f64);
        match n % 2 {
            0 => Ok(()),
            _ => Err(Error::new(Code::IO, "every second time")),
        }
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kernel(dir: Option<&Path>, asked: &Arc<AtomicU64>) -> Kernel {
    let agent = from_fn(AgentCard::new("echo", ["echo"]), |task: &Task| Ok(task.input().clone()));
    let mut builder = Kernel::builder()
        .agent(agent)
        .sample_every(Duration::from_millis(10))
        .monitor(Counting(Arc::clone(asked)));
    if let Some(dir) = dir {
        builder = builder.data_dir(dir);
    }
    let kernel = builder.build().unwrap();
    assert_eq!(kernel.watch().map(drop).unwrap_err().code(), Code::NOT_RUNNING);
    kernel.start().unwrap();
    kernel
}

#[test]
fn samples_are_taken_until_it_is_told_otherwise() {
    let asked = Arc::default();
    let kernel = kernel(None, &asked);
    kernel.call(Task::new("echo", 1)).wait().unwrap();
    until("samples are taken", || asked.load(Ordering::SeqCst) > 5);
    let status = kernel.watch().unwrap().status();
    assert!(status.samples > 3 && status.failures > 0, "{status:?}");
    assert!(status.monitors.iter().any(|one| one == "counting"));
    // The kernel's own figures have a history too.
    let calls = kernel.watch().unwrap().history().series("sutazai_", 1_000);
    assert!(calls.iter().any(|one| one.name.contains("agent=\"echo\"")), "{calls:#?}");

    kernel.sample_every(None).unwrap();
    assert_eq!(kernel.sampled_every(), None);
    // One may be under way.
    std::thread::sleep(Duration::from_millis(100));
    let before = asked.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(asked.load(Ordering::SeqCst), before);
    assert_eq!(kernel.sample_every(Some(Duration::ZERO)).unwrap_err().code(), Code::INVALID);
    kernel.sample_every(Some(Duration::from_millis(20))).unwrap();
    until("they are taken again", || asked.load(Ordering::SeqCst) > before + 2);
    kernel.stop(GRACE).unwrap();
    let at_the_end = asked.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(asked.load(Ordering::SeqCst), at_the_end);
}

#[test]
fn what_was_measured_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Arc::default();
    let first = kernel(Some(dir.path()), &asked);
    until("samples are taken", || asked.load(Ordering::SeqCst) > 5);
    let begun = Timestamp::now();
    first.measured("queue_length", 17.0, Some(begun)).unwrap();
    first.stop(GRACE).unwrap();
    let series = "process_resident_memory_bytes";
    let before = first.watch().unwrap().history().points(series, 9_999);
    drop(first);

    // It takes no samples itself: what there is, the first one has measured.
    let second = Kernel::builder().data_dir(dir.path()).build().unwrap();
    second.start().unwrap();
    assert_eq!(second.watch().unwrap().status().samples, 0);
    let history = second.watch().unwrap().history();
    assert_eq!(history.points("queue_length", 9).len(), 1);
    let until = begun + Duration::from_secs(1);
    let answer = history.query(&Query::new("queue_length", begun, until, Aggregate::Last)).unwrap();
    assert_eq!(answer.windows[0].value, 17.0);
    assert!(before.len() > 3);
    assert_eq!(history.points(series, 9_999), before);
    second.stop(GRACE).unwrap();
}

#[test]
fn without_a_data_directory_what_is_old_goes_as_well() {
    let time = Arc::new(Manual::new());
    let mut policy = WatchPolicy::default();
    policy.watched.clear();
    (policy.history.raw_keep_s, policy.history.raw_block_s) = (60, 60);
    policy.history.levels.clear();
    let kernel = Kernel::builder().runtime(time.clone()).watch(policy).build().unwrap();
    kernel.start().unwrap();
    for second in 0..600 {
        kernel.measured("queue_length", f64::from(second), None).unwrap();
        time.advance(Duration::from_secs(1));
        time.run();
    }
    let history = kernel.watch().unwrap().history();
    let status = history.status();
    assert!(status.expired_blocks > 3, "{status:?}");
    assert!(history.points("queue_length", 600).len() < 300);
    time.advance(Duration::from_secs(3_600));
    time.run();
    kernel.stop(Duration::ZERO).unwrap();
}

#[test]
fn what_is_odd_is_an_event_and_a_line_of_the_log() {
    let mut policy = WatchPolicy::default();
    policy.watched = vec!["queue_length".to_owned()];
    let kernel = Kernel::builder().watch(policy).build().unwrap();
    kernel.start().unwrap();
    let mut events = kernel.bus().subscribe("monitor.>").pull().unwrap();
    let at = |i: u64| Some(Timestamp::EPOCH + Duration::from_secs(i));
    for i in 1..600 {
        kernel.measured("queue_length", (i * i * 37 % 101) as f64, at(i)).unwrap();
    }
    let found = kernel.measured("queue_length", 5_000.0, at(600)).unwrap().unwrap();
    let event = events.wait(GRACE).unwrap().unwrap().event;
    assert_eq!(event.subject.as_str(), "monitor.anomaly");
    assert_eq!(event.payload.value().unwrap()["number"], found.number);
    assert!(events.try_next().unwrap().is_none());
    kernel.stop(GRACE).unwrap();
}

#[test]
fn what_was_found_is_remembered_over_a_restart_and_not_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let mut policy = WatchPolicy::default();
        policy.watched = vec!["queue_*".to_owned()];
        let kernel = Kernel::builder().watch(policy).data_dir(dir.path()).build().unwrap();
        kernel.start().unwrap();
        kernel
    };
    let now = Timestamp::now();
    let at = |i: i64| Some(Timestamp::from_nanos(now.as_nanos() + (i - 1_000) * 1_000_000_000));
    let first = start();
    for i in 1..600 {
        first.measured("queue_length", (i * 37 % 101) as f64, at(i)).unwrap();
        let level = if i < 400 { 20.0 } else { 60.0 };
        first.measured("queue_level", level + (i * 37 % 11) as f64, at(i)).unwrap();
    }
    first.measured("queue_length", 5_000.0, at(600)).unwrap().unwrap();
    let watch = first.watch().unwrap();
    let (anomalies, changes) = (watch.anomalies(0, 99), watch.changes(0, 99));
    assert!(!anomalies.is_empty() && !changes.is_empty());
    let held = watch.status().history.held;
    assert_eq!(held, watch.status().history.points);
    first.stop(GRACE).unwrap();
    drop(first);

    let second = start();
    let mut events = second.bus().subscribe("monitor.>").pull().unwrap();
    let watch = second.watch().unwrap();
    assert_eq!(
        (watch.anomalies(0, 99), watch.changes(0, 99)),
        (anomalies.clone(), changes.clone())
    );
    let status = second.watch_status().unwrap();
    assert_eq!((status.history.points, status.history.held), (0, held));
    assert_eq!(status.anomalies, anomalies.last().unwrap().number);
    second.measured("queue_length", 50.0, at(601)).unwrap();
    second.sample().unwrap();
    assert!(events.try_next().unwrap().is_none());
    second.stop(GRACE).unwrap();
}

#[test]
fn what_is_forgotten_makes_room_and_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let mut policy = WatchPolicy::default();
        policy.history.series = 2_000;
        let kernel = Kernel::builder().watch(policy).data_dir(dir.path()).build().unwrap();
        kernel.start().unwrap();
        kernel
    };
    let first = start();
    let record = |kernel: &Kernel, i: u32| {
        kernel.measured(&format!("job_seconds{{job=\"{i}\"}}"), 1.0, None).map(drop)
    };
    let refused = (0..2_000).find_map(|i| record(&first, i).err()).unwrap();
    assert_eq!(refused.code(), Code::OVERLOADED);
    let said = refused.to_string();
    assert!(said.contains("most=1000") && said.contains("job_seconds (1000)"), "{said}");
    let status = first.watch_status().unwrap().history;
    assert_eq!((status.most, status.others_most), (2_000, 1_000));
    assert!(status.refused[0].starts_with("job_seconds{"), "{status:?}");
    // The kernel's own have room nevertheless.
    let sampled = first.sample().unwrap();
    assert!(sampled.failures.is_empty(), "{:?}", sampled.failures);
    let of = first.watch().unwrap().history().points("memory_total_bytes", 1).len();
    assert_eq!(of, usize::from(cfg!(target_os = "linux")));

    let labels = std::collections::BTreeMap::from([("job".to_owned(), "7".to_owned())]);
    assert_eq!(first.forget_series("job_*", &labels).unwrap().len(), 1);
    let none = std::collections::BTreeMap::new();
    assert_eq!(first.forget_series("a*b", &none).unwrap_err().code(), Code::INVALID);
    assert_eq!(first.forget_series("job_*", &none).unwrap().len(), 999);
    record(&first, 1).unwrap();
    first.stop(GRACE).unwrap();
    drop(first);
    let second = start();
    let there = second.watch().unwrap().history().series("job_", 9);
    assert_eq!(there.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["job_seconds{job=\"1\"}"]);
    second.stop(GRACE).unwrap();
}

#[test]
fn health_has_causes() {
    let fails = from_fn(AgentCard::new("bad", ["fail"]), |_: &Task| -> Result<serde_json::Value> {
        Err(Error::new(Code::AGENT_FAILED, "on purpose"))
    });
    let kernel = Kernel::builder().agent(fails).build().unwrap();
    kernel.start().unwrap();
    let policy = HealthPolicy::default();
    let before = kernel.health(&policy).unwrap();
    assert_eq!((before.score, before.causes.len()), (1.0, 0), "{before:?}");
    for _ in 0..10 {
        kernel.call(Task::new("fail", 1)).wait().unwrap_err();
    }
    let now = Timestamp::now();
    kernel.measured("cpu_used_ratio", 1.0, Some(now)).unwrap();
    let health = kernel.health(&policy).unwrap();
    let [first, second] = &health.causes[..] else { panic!("{health:?}") };
    assert_eq!((&*first.component, first.aspect), ("cpu", Aspect::Utilisation));
    assert_eq!((&*second.component, second.aspect), ("agent bad", Aspect::Errors));
    assert_eq!(health.score, 0.5);
    kernel.stop(GRACE).unwrap();
}

#[test]
fn health_goes_by_anomalies_of_the_last_minute() {
    let mut policy = WatchPolicy::default();
    policy.watched = vec!["network_*".to_owned()];
    policy.remembered = 100_000;
    let kernel = Kernel::builder().watch(policy).build().unwrap();
    kernel.start().unwrap();
    let odd = |series: &str, last: Timestamp| {
        for i in (1..600).rev() {
            let at = Timestamp::from_nanos(last.as_nanos() - i * 50_000_000);
            kernel.measured(series, (i * 37 % 101) as f64, Some(at)).unwrap();
        }
        kernel.measured(series, 5_000.0, Some(last)).unwrap().unwrap();
    };
    let network = || {
        let health = kernel.health(&HealthPolicy::default()).unwrap();
        health.causes.iter().any(|cause| cause.component == "network")
    };
    // What is said to come is not of the present.
    odd("network_later", Timestamp::now() + Duration::from_secs(3_600));
    assert!(!network());
    odd("network_now", Timestamp::now());
    assert!(network());
    kernel.stop(GRACE).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn where_there_is_a_data_directory_its_file_system_is_looked_at() {
    // Another file system than that of `/`, where there is one.
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let kernel = Kernel::builder().data_dir(dir.path()).build().unwrap();
    kernel.start().unwrap();
    let sampled = kernel.sample().unwrap();
    let size = sampled.values.iter().find(|one| &*one.series == "disk_size_bytes").unwrap().value;
    let there = rustix::fs::statvfs(dir.path()).unwrap();
    assert_eq!(size, there.f_blocks as f64 * there.f_frsize as f64);
    kernel.stop(GRACE).unwrap();
}

#[test]
fn what_a_stopped_kernel_is_asked_says_that_it_has_stopped() {
    let kernel = Kernel::builder().build().unwrap();
    let surface = sutazai_core::surface::Surface::new(&kernel);
    let ask =
        |operation, request| surface.invoke(operation, request).wait().unwrap_err().to_string();
    let before = ask("monitor.status", "");
    assert!(before.contains("has not started") && before.contains("start it first"), "{before}");
    kernel.start().unwrap();
    kernel.measured("jobs", 1.0, None).unwrap();
    kernel.stop(GRACE).unwrap();
    let none = std::collections::BTreeMap::new();
    let refused = kernel.forget_series("jobs", &none).unwrap_err();
    assert_eq!(refused.code(), Code::NOT_RUNNING);
    assert_eq!(kernel.watch().unwrap().history().points("jobs", 9).len(), 1, "nothing was changed");
    let stopped = ask("monitor.health", "");
    assert!(
        stopped.contains("has been stopped") && !stopped.contains("start it first"),
        "{stopped}"
    );
    let recorded = ask("monitor.record", r#"{"series": "x", "value": 1}"#);
    assert!(recorded.contains("has stopped"), "{recorded}");
    // A pair that is there is not said twice.
    struct Odd;
    impl Monitor for Odd {
        fn name(&self) -> &str {
            "a\ns"
        }
        fn sample(&self, _: Timestamp, _: &mut Samples) -> Result<()> {
            Ok(())
        }
    }
    let kernel = Kernel::builder().build().unwrap();
    let refused = kernel.add_monitor(Odd).unwrap_err().to_string();
    assert_eq!(refused.matches("monitor=").count(), 1, "{refused}");
}

#[test]
fn a_kernel_that_is_told_nonsense_is_not_built() {
    let every = Kernel::builder().sample_every(Duration::from_millis(1)).build();
    assert_eq!(every.map(drop).unwrap_err().code(), Code::INVALID);
    let mut policy = WatchPolicy::default();
    policy.watched = vec!["a*b".to_owned()];
    let built = Kernel::builder().watch(policy).build();
    assert_eq!(built.map(drop).unwrap_err().code(), Code::INVALID);
}

/// Does tasks until its input ends; `exit` ends it.
#[cfg(target_os = "linux")]
const PROCESS: &str = r#"
import json, os, sys
def say(**m): print(json.dumps({"v": 1, **m}), flush=True)
ballast = bytearray(os.urandom(1)) * (64 << 20)
say(type="ready")
for line in sys.stdin:
    t = json.loads(line)
    if t["type"] == "stop": break
    if t["type"] == "task":
        if t["skill"] == "exit": os._exit(3)
        say(type="result", id=t["id"], output=os.getpid())
"#;

#[cfg(target_os = "linux")]
#[test]
fn the_process_of_an_agent_is_measured_and_found_again() {
    use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
    let long = Duration::from_secs(60);
    let card = AgentCard::new("worker", ["pid", "exit"]);
    let spec = ProcessSpec::new("python3").args(["-c", PROCESS]).start_timeout(long);
    let inside =
        from_fn(AgentCard::new("inside", ["echo"]), |task: &Task| Ok(task.input().clone()));
    let kernel =
        Kernel::builder().agent(ProcessAgent::new(card, spec)).agent(inside).build().unwrap();
    kernel.start().unwrap();
    let pid = || -> u32 {
        kernel.call(Task::new("pid", 0).timeout(long)).wait().unwrap().output.to().unwrap()
    };
    let told = || {
        let sampled = kernel.sample().unwrap();
        assert!(sampled.failures.is_empty(), "{:?}", sampled.failures);
        let of = |one: &&sutazai_core::monitor::Measured| one.series.starts_with("agent.");
        let values =
            sampled.values.iter().filter(of).map(|one| (one.series.to_string(), one.value));
        values.collect::<std::collections::BTreeMap<String, f64>>()
    };
    let (first, values) = (pid(), told());
    let value = |values: &std::collections::BTreeMap<String, f64>, what: &str| {
        values.get(&format!("agent.worker.process.{what}")).copied()
    };
    assert!(values.keys().all(|name| name.starts_with("agent.worker.process.")), "{values:?}");
    let statm = std::fs::read_to_string(format!("/proc/{first}/statm")).unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let resident = value(&values, "resident_memory_bytes").unwrap();
    let page = rustix::param::page_size() as f64;
    assert!(resident > 64e6 && (resident / (pages * page) - 1.0).abs() < 0.1, "{resident} {pages}");
    assert!(value(&values, "open_fds").unwrap() >= 3.0);
    assert!(
        value(&values, "cpu_seconds_total").is_some() && value(&values, "threads") == Some(1.0)
    );
    // It ends, and is started again: another process.
    kernel.call(Task::new("exit", 0).timeout(long)).wait().unwrap_err();
    let mut second = first;
    until("it is started again", || {
        let answer = kernel.call(Task::new("pid", 0).timeout(long)).wait();
        second = answer.map_or(first, |outcome| outcome.output.to().unwrap());
        second != first
    });
    assert!(value(&told(), "resident_memory_bytes").unwrap() > 64e6);
    kernel.remove_agent("worker", GRACE).unwrap();
    assert!(told().is_empty());
    let series = kernel.watch().unwrap().history().series("agent.worker.process.", 10);
    assert_eq!(series.len(), 6, "{series:?}");
    kernel.stop(GRACE).unwrap();
}
