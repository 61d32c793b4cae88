//! Monitoring: what a sample, a kept point and a judged point cost.
//!
//! `cargo bench --bench monitor` measures everything that needs no file and no time; `-- sample` the sampler alone, beside
//! sysinfo; `-- append` and `-- detect` what it costs to keep and to judge a point; `-- bytes [SAMPLES EVERY_MS]` what sealed points take,
//! of the series in the corpora's `nab/` (`SUTAZAI_CORPUS`) and of so many samples of this machine (default: 600, one
//! every 100 ms). `monitor.py` sets psutil's, river's and rrcf's figures beside these.
//!
//! `monitor.detect` is fed the corpora's series where they are, and the same made ones otherwise.

#![allow(clippy::expect_used, reason = "a bench may panic")]

mod bar;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sutazai_core::base::time::Timestamp;
use sutazai_core::monitor::sample::{Part, System, SystemOptions};
use sutazai_core::monitor::series::{History, HistoryPolicy};
use sutazai_core::monitor::{
    AnomalyDetector, AnomalyPolicy, ChangeDetector, ChangePolicy, Detector as _,
};
use sutazai_core::port::{Monitor as _, Samples};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    match arguments.first().map(String::as_str) {
        Some("sample") => sample(),
        Some("append") => append(),
        Some("detect") => detect(),
        Some("bytes") => bytes(number(1).unwrap_or(600), number(2).unwrap_or(100)),
        _ => {
            sample();
            append();
            detect();
        }
    }
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Processors, memory, network, and processor time and memory of this process. sysinfo looks at processors five times a second at
/// most: everybody waits that long before each sample, and finds cold caches. Then the same without pauses, in which
/// sysinfo leaves processors out and ours does not.
fn sample() {
    const PARTS: [Part; 4] = [Part::Processors, Part::Memory, Part::Network, Part::Process];
    const SAMPLES: u32 = 5;
    let pause = sysinfo::MINIMUM_CPU_UPDATE_INTERVAL + Duration::from_millis(5);
    let round = |pause: Duration, take: &mut dyn FnMut()| {
        let mut took = Duration::ZERO;
        for _ in 0..SAMPLES {
            std::thread::sleep(pause);
            let start = cpu();
            take();
            took += cpu().saturating_sub(start);
        }
        (took, u64::from(SAMPLES))
    };
    let mut options = SystemOptions::default();
    options.parts = PARTS.to_vec();
    let (some, all) = (System::new(options), System::new(SystemOptions::default()));
    let mut samples = Samples::default();
    let mut take = |system: &System| {
        samples.clear();
        system.sample(Timestamp::EPOCH, &mut samples).expect("a sample");
        black_box(samples.iter().count());
    };
    let mut system = sysinfo::System::new().expect("a system that sysinfo knows");
    let mut networks = sysinfo::Networks::new_with_refreshed_list().expect("networks");
    let pid = sysinfo::get_current_pid().expect("a number of this process");
    let what = sysinfo::ProcessRefreshKind::nothing().with_cpu().with_memory();
    let mut peer = || {
        system.refresh_cpu_usage();
        system.refresh_memory();
        networks.refresh(false);
        let own = sysinfo::ProcessesToUpdate::Some(&[pid]);
        system.refresh_processes_specifics(own, false, what);
        black_box((system.global_cpu_usage(), system.available_memory()));
    };
    for (name, pause) in [("monitor.sample", pause), ("monitor.sample_warm", Duration::ZERO)] {
        let mut ours = || round(pause, &mut || take(&some));
        bar::compare(
            name,
            "us",
            0.1,
            &mut ours,
            &mut [("sysinfo", &mut || round(pause, &mut peer))],
        );
    }
    let mut times: Vec<Duration> =
        (0..20).map(|_| round(pause, &mut || take(&all)).0 / SAMPLES).collect();
    times.sort();
    println!("    monitor.sample: with every part {:.1}us", times[10].as_secs_f64() * 1e6);
}

/// Points of a hundred series that are measured together, each second.
fn append() {
    const SERIES: u64 = 100;
    const SECONDS: u64 = 10_000;
    let names: Vec<String> = (0..SERIES).map(|i| format!("series_{i}")).collect();
    let value = |i: u64, second: u64| (second * (37 + i) % 101) as f64;
    let begin = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let mut by_name = || {
        let history = History::new(HistoryPolicy::default()).expect("a policy that makes sense");
        bar::timed(SERIES * SECONDS, || {
            for second in 0..SECONDS {
                let now = begin + Duration::from_secs(second);
                for (i, name) in (0..).zip(&names) {
                    black_box(history.append(name, now, value(i, second)));
                }
            }
        })
    };
    // Sealing of blocks, and the coarser levels, are part of it.
    bar::alone("monitor.append", "ns", 1_000.0, &mut by_name);
}

/// What is judged: the corpora's series, or made ones of about as many points.
fn points() -> Vec<Vec<(Timestamp, f64)>> {
    if let Some(folder) = corpus() {
        return nab(&folder);
    }
    let made = |seed: u64| {
        let value = move |i: u64| {
            let noise = ((i * 2 + seed) * 2_654_435_761 % 1_000) as f64 / 1_000.0;
            (i as f64 * std::f64::consts::TAU / 288.0).sin() * 5.0 + noise
        };
        (0..6_000).map(move |i| (Timestamp::EPOCH + Duration::from_secs(300 * i), value(i)))
    };
    (0..60).map(|seed| made(seed).collect()).collect()
}

fn detect() {
    let series = points();
    let count = series.iter().map(Vec::len).sum::<usize>() as u64;
    let mut ensemble = || {
        bar::timed(count, || {
            for points in &series {
                let mut detector = AnomalyDetector::new(AnomalyPolicy::default()).expect("one");
                for (at, value) in points {
                    black_box(detector.look(*at, *value));
                }
            }
        })
    };
    let mut changes = || {
        bar::timed(count, || {
            for points in &series {
                let mut detector = ChangeDetector::new(ChangePolicy::default()).expect("one");
                for (at, value) in points {
                    black_box(detector.look(*at, *value));
                }
            }
        })
    };
    bar::alone("monitor.detect", "us", 10.0, &mut ensemble);
    bar::alone("monitor.change", "us", 10.0, &mut changes);
}

fn bytes(samples: u64, every_ms: u64) {
    // One resolution, and everything sealed in blocks of half an hour.
    let mut policy = HistoryPolicy::default();
    (policy.levels, policy.raw_keep_s) = (Vec::new(), u32::MAX);
    policy.budget_bytes = 1 << 30;
    if let Some(folder) = corpus() {
        for days in [false, true] {
            let mut policy = policy.clone();
            // Five minutes between points: a week has as many as half an hour of seconds.
            policy.raw_block_s = if days { 7 * 86_400 } else { 86_400 };
            let history = History::new(policy).expect("a policy that makes sense");
            for (number, points) in nab(&folder).iter().enumerate() {
                let name = format!("series_{number}");
                for (at, value) in points {
                    history.append(&name, *at, *value);
                }
            }
            history.flush(later(&history)).expect("nothing but memory");
            tell(if days { "nab, a week a block" } else { "nab, a day a block" }, &history);
        }
    }
    let span_s = u32::try_from(samples * every_ms / 1_000).unwrap_or(u32::MAX).clamp(1, 1_800);
    policy.raw_block_s = span_s;
    let history = History::new(policy).expect("a policy that makes sense");
    let system = System::new(SystemOptions::default());
    let mut taken = Samples::default();
    let begin = Timestamp::now();
    // From the beginning of a block to its end.
    let block = i64::from(span_s) * 1_000_000_000;
    let shift = begin.as_nanos().rem_euclid(block);
    loop {
        let now = Timestamp::now();
        if now.as_nanos() - begin.as_nanos() >= block {
            break;
        }
        taken.clear();
        system.sample(now, &mut taken).expect("a sample");
        let at = Timestamp::from_nanos(now.as_nanos() - shift);
        for sample in taken.iter() {
            history.append(&sample.series, at, sample.value);
        }
        std::thread::sleep(Duration::from_millis(every_ms));
    }
    let open = history.status().bytes as f64 / history.status().points as f64;
    history.flush(later(&history)).expect("nothing but memory");
    let share = tell("this machine", &history);
    println!("    monitor.bytes: this machine: {open:.3} B before it is sealed, with tables");
    kinds(&history);
    bar::figure_alone("monitor.bytes", "B", 1.6, share);
}

/// When the blocks of all series are over, so that a flush seals everything.
fn later(history: &History) -> Timestamp {
    let newest = history.series("", usize::MAX).iter().filter_map(|one| one.newest).max();
    newest.unwrap_or_default() + Duration::from_secs(u64::from(history.policy().raw_block_s) + 120)
}

/// Bytes a point of what is sealed, times included: what the history takes more than one whose series have no point.
fn tell(of: &str, history: &History) -> f64 {
    let status = history.status();
    let empty = History::new(history.policy().clone()).expect("a policy that makes sense");
    let views = history.series("", usize::MAX);
    let made = views.iter().filter(|one| empty.handle(&one.name).is_some()).count();
    let points = status.points as f64;
    let share = status.bytes.saturating_sub(empty.status().bytes) as f64 / points;
    let all = status.bytes as f64 / points;
    println!(
        "    monitor.bytes: {of}: {made} series, {points} points, {share:.3} B a point; with the table of series {all:.3} B"
    );
    share
}

/// Bytes a point by what is measured, without times, those that take most first.
fn kinds(history: &History) {
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for one in history.series("", usize::MAX) {
        let kind = one.name.split(['_', '{']).next().unwrap_or_default();
        let kind = kind.trim_end_matches(|c: char| c.is_ascii_digit());
        let end = if one.counter { "counters" } else { "others" };
        let (bytes, rows) = kinds.entry(format!("{kind} ({end})")).or_default();
        for level in &one.levels {
            *bytes += level.bytes;
            *rows += level.rows;
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
    for (kind, (bytes, rows)) in kinds {
        let share = bytes as f64 / rows.max(1) as f64;
        println!("    monitor.bytes:   {kind}: {share:.3} B, {rows} points");
    }
}

fn corpus() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("SUTAZAI_CORPUS")?).join("nab/data");
    folder.is_dir().then_some(folder)
}

/// The series below a folder, in order of their paths.
fn nab(folder: &Path) -> Vec<Vec<(Timestamp, f64)>> {
    let mut all = Vec::new();
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            all.extend(nab(&path));
        } else if path.extension().is_some_and(|ending| ending == "csv") {
            let text = std::fs::read_to_string(&path).expect("a series");
            let rows = text.lines().skip(1).filter_map(|line| line.split_once(','));
            let point = |(time, value): (&str, &str)| {
                let at = format!("{}Z", time.replacen(' ', "T", 1));
                (at.parse().expect("a time"), value.parse().expect("a number"))
            };
            all.push(rows.map(point).collect());
        }
    }
    all
}
