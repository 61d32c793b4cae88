use super::*;

#[test]
fn sixty_days_take_as_much_as_thirty() {
    let shelf = MemoryShelf::default();
    let policy = HistoryPolicy {
        raw_block_s: 3_600,
        levels: vec![
            LevelPolicy { step_s: 60, keep_s: 24 * 3_600 },
            LevelPolicy { step_s: 600, keep_s: 10 * 24 * 3_600 },
        ],
        block_buckets: 240,
        ..HistoryPolicy::default()
    };
    let history = History::open(policy, Box::new(shelf.clone())).unwrap();
    let mut random = Random(5);
    let names = ["cpu_percent", "memory_bytes", "requests_total"];
    let (mut most, mut most_keys) = ([0; 2], [0; 2]);
    let (mut memory, mut requests) = (1e9, 0.0);
    for step in 0..60 * 24 * 60_i64 {
        let now = at(step * 60);
        memory += random.below(9) as f64 * 4096.0 - 16_384.0;
        requests += random.below(20) as f64;
        let cpu = random.below(10_000) as f64 / 100.0;
        for (name, value) in names.iter().zip([cpu, memory, requests]) {
            assert_eq!(history.append(name, now, value), Appended::Kept);
        }
        if step % 10 == 0 {
            history.flush(now).unwrap();
            let half = usize::from(step >= 30 * 24 * 60);
            most[half] = most[half].max(history.status().bytes);
            let keys = shelf.list("", None, usize::MAX).unwrap().len();
            most_keys[half] = most_keys[half].max(keys);
        }
    }
    println!("most bytes, first and second half: {most:?}; keys: {most_keys:?}");
    assert!(most[1] as f64 <= most[0] as f64 * 1.02, "{most:?}");
    assert!(most_keys[1] <= most_keys[0] + 6, "{most_keys:?}");
    let status = history.status();
    assert!(status.evicted_blocks == 0 && status.expired_blocks > 100);
    for series in history.series("", 9) {
        for (level, keep) in series.levels.iter().zip([3_600, 24 * 3_600, 10 * 24 * 3_600]) {
            let age = 60 * 24 * 3_600 - level.oldest.unwrap().as_nanos() / SECOND;
            // At most one block longer.
            let block = if level.step_s == 0 { 3_600 } else { i64::from(level.step_s) * 240 };
            assert!((keep - 60..=keep + block + 660).contains(&age), "{age} {level:?}");
        }
    }
    // When nothing comes any more, all of it goes.
    for day in 60..120 {
        history.flush(at(day * 24 * 3_600)).unwrap();
    }
    for _ in 0..100 {
        history.flush(at(120 * 24 * 3_600)).unwrap();
    }
    let status = history.status();
    assert_eq!((status.series, status.bytes), (0, 0), "every byte is accounted for");
    assert_eq!(shelf.list("", None, 9).unwrap(), Vec::<String>::new());
}

#[test]
fn a_budget_is_kept_and_shared() {
    let shelf = MemoryShelf::default();
    let policy = HistoryPolicy {
        series: 10,
        budget_bytes: 200_000,
        raw_keep_s: 1_000_000,
        raw_block_s: 600,
        ..HistoryPolicy::default()
    };
    let history = History::open(policy, Box::new(shelf.clone())).unwrap();
    let mut random = Random(8);
    for step in 0..200_000_i64 {
        let now = Timestamp::from_nanos(step * SECOND / 20);
        history.append("chatty", now, random.bits() as f64);
        if step % 20 == 0 {
            history.append("quiet", now, (step / 7_000) as f64);
        }
        if step % 200 == 0 {
            history.flush(now).unwrap();
        }
        assert!(history.status().bytes <= 200_000 + 40_000, "{step} {:?}", history.status());
    }
    let status = history.status();
    assert!(status.evicted_blocks > 10 && status.evicted_rows > 10_000, "{status:?}");
    let views = history.series("", 9);
    let oldest = |view: &SeriesView| view.levels[0].oldest.unwrap();
    assert_eq!(oldest(&views[1]), at(0), "the one that takes little keeps everything: {views:?}");
    assert!(oldest(&views[0]) > at(5_000));
    // What was let go of is deleted from the shelf, too.
    history.flush(at(10_000)).unwrap();
    let kept: usize = views.iter().flat_map(|view| &view.levels).map(|level| level.blocks).sum();
    assert!(shelf.list("block/", None, 9_999).unwrap().len() <= kept + 6);
}

#[test]
fn the_number_of_series_is_bounded() {
    let policy = HistoryPolicy { series: 3, ..HistoryPolicy::default() };
    let history = History::new(policy.clone()).unwrap();
    for (second, name) in (0..).zip(["a", "b", "c", "d", "a"]) {
        let became = history.append(name, at(second), 1.0);
        assert_eq!(became, if name == "d" { Appended::NoRoom } else { Appended::Kept });
    }
    assert_eq!((history.status().no_room, history.status().series), (1, 3));

    let history = History::new(HistoryPolicy { overflow: Overflow::Idle, ..policy }).unwrap();
    for (second, name) in (0..).zip(["a", "b", "c", "a", "d"]) {
        assert_eq!(history.append(name, at(second), 1.0), Appended::Kept);
    }
    let names: Vec<_> = history.series("", 9).into_iter().map(|view| view.name).collect();
    assert_eq!(
        (names, history.status().series_dropped),
        (vec!["a".into(), "c".into(), "d".into()], 1)
    );
    assert_eq!(history.append("d\n", at(9), 1.0), Appended::BadName);
    assert_eq!(history.append("", at(9), 1.0), Appended::BadName);
    assert_eq!(history.append(&"x".repeat(NAME_MAX + 1), at(9), 1.0), Appended::BadName);
    assert_eq!(history.append("a*", at(9), 1.0), Appended::BadName);
    assert!(history.handle("a*").is_none() && check_name("a*").is_err());
    assert_eq!((history.status().bad_names, history.status().no_room), (4, 0));
    assert_eq!(history.append("a", at(9), f64::NAN), Appended::NotFinite);
    assert_eq!(history.append("a", at(9), f64::INFINITY), Appended::NotFinite);
    assert_eq!(history.status().not_finite, 2);
}

#[test]
fn opening_lets_go_of_the_idlest_alone() {
    for overflow in [Overflow::Idle, Overflow::Refuse] {
        let shelf = MemoryShelf::default();
        let policy = HistoryPolicy { series: 3, overflow: Overflow::Idle, ..Default::default() };
        let history = History::open(policy.clone(), Box::new(shelf.clone())).unwrap();
        for second in 0..4_000 {
            // The journal has points of each; `old` made room for `c`.
            let names = if second < 100 { ["a", "b", "old"] } else { ["a", "b", "c"] };
            for name in names {
                assert_eq!(history.append(name, at(second), second as f64), Appended::Kept);
            }
            if second % 50 == 0 {
                history.flush(at(second)).unwrap();
            }
        }
        history.flush(at(4_000)).unwrap();
        let told = |history: &History| {
            ["a", "b", "c"].map(|name| {
                (history.points(name, usize::MAX), all(history, name, Aggregate::Count, 10))
            })
        };
        let before = told(&history);
        let blocks = shelf.list("block/", None, usize::MAX).unwrap();
        let again =
            History::open(HistoryPolicy { overflow, ..policy.clone() }, Box::new(shelf.clone()));
        let again = again.unwrap();
        assert_eq!(told(&again), before);
        assert_eq!(again.status().foreign + again.status().damaged, 0);
        again.flush(at(4_001)).unwrap();
        assert_eq!(shelf.list("block/", None, usize::MAX).unwrap(), blocks);
        // Where fewer may be than there are, the one that is idle goes, and its blocks.
        again.append("b", at(4_002), 1.0);
        again.append("c", at(4_002), 1.0);
        again.flush(at(4_003)).unwrap();
        let fewer = HistoryPolicy { series: 2, overflow, ..policy };
        let fewer = History::open(fewer, Box::new(shelf.clone())).unwrap();
        let names: Vec<_> = fewer.series("", 9).into_iter().map(|view| view.name).collect();
        assert_eq!(names, ["b", "c"]);
        fewer.flush(at(4_004)).unwrap();
        assert!(shelf.list("block/a/", None, 9).unwrap().is_empty());
        assert!(!shelf.list("block/b/", None, 9).unwrap().is_empty());
    }
}

#[test]
fn a_handle_outlives_its_series() {
    let history = History::new(HistoryPolicy::default()).unwrap();
    assert!(history.handle("").is_none() && history.handle("a\tb").is_none());
    let mut handle = history.handle("s").unwrap();
    for second in [5, 100_000, 200_000] {
        // It has nothing, or nothing that is still kept.
        (0..50).for_each(|_| history.flush(at(second + 40 * 24 * 3_600)).unwrap());
        assert_eq!(history.status().series, 0);
        assert_eq!(history.record(&mut handle, at(second), 1.0), Appended::Kept);
        assert_eq!(history.record(&mut handle, at(second), 1.0), Appended::Late);
        assert_eq!(history.record(&mut handle, at(second), f64::NAN), Appended::NotFinite);
        assert_eq!(history.points("s", 9).len(), 1);
        assert_eq!(history.append("s", at(second + 1), 2.0), Appended::Kept);
        assert_eq!(history.record(&mut handle, at(second + 2), 3.0), Appended::Kept);
        assert_eq!(history.points("s", 9).len(), 3);
    }
}

#[test]
fn readers_and_writers_go_on_at_once() {
    let history =
        History::new(HistoryPolicy { raw_block_s: 60, ..HistoryPolicy::default() }).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for second in 0..20_000 {
                history.append("s", at(second), second as f64);
                if second % 50 == 0 {
                    history.flush(at(second)).unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let points = history.points("s", usize::MAX);
            // In order, nothing missing, nothing twice.
            assert!(points.windows(2).all(|pair| pair[1].value - pair[0].value == 1.0));
            all(&history, "s", Aggregate::Rate, 60);
        }
    });
    assert_eq!(history.status().points, 20_000);
}

#[test]
fn series_that_are_measured_together_share_their_times() {
    let bytes = |together: bool| {
        let history = History::new(HistoryPolicy::default()).unwrap();
        let mut random = Random(4);
        let mut nanos = 0;
        for _ in 0..3_700 {
            nanos += SECOND + random.below(1_000_000) as i64;
            for series in 0..20 {
                let own = if together { 0 } else { random.below(1_000_000) as i64 };
                history.append(&format!("s{series:02}"), Timestamp::from_nanos(nanos + own), 5.0);
            }
        }
        history.flush(Timestamp::from_nanos(nanos + 4_000 * SECOND)).unwrap();
        history.status().bytes
    };
    let (together, alone) = (bytes(true), bytes(false));
    assert!(together * 2 < alone, "{together} {alone}");
}

#[test]
fn sealed_measurements_of_a_system_are_small() {
    let history = History::new(HistoryPolicy::default()).unwrap();
    let mut random = Random(12);
    let mut wave = |spread: u64| random.below(spread) as f64 - (spread / 2) as f64;
    let (mut busy, mut memory, mut load) = (80.0_f64, 1.6e10, 1.0);
    let (mut requests, mut received, mut free) = (0.0, 0.0, 4e10);
    let mut nanos = 1_795_735_800 * SECOND;
    for second in 0..7_200 {
        nanos += SECOND;
        // As a sampler wakes up: some milliseconds late, told in nanoseconds.
        let now = Timestamp::from_nanos(nanos + (wave(4_000_000) + 2e6) as i64);
        // Two processors' hundredths of seconds; pages; what /proc/loadavg has.
        busy = (busy + wave(21)).clamp(2.0, 200.0);
        memory += wave(400) * 4_096.0;
        if second % 5 == 0 {
            load = (0.92 * load + 0.08 * busy / 50.0) * 100.0;
            load = load.round() / 100.0;
        }
        requests += wave(11) + 5.0;
        received += (wave(100) + 50.0) * 60.0;
        free -= (wave(40) + 20.0) * 4_096.0;
        let measured = [
            ("cpu_percent", (busy * 50.0).round() / 100.0),
            ("memory_bytes", memory),
            ("memory_percent", (memory / 2.5e8).round() / 100.0),
            ("load1", load),
            ("requests_total", requests),
            ("received_bytes_total", received),
            ("disk_free_bytes", free),
            ("open_files", 400.0 + (second / 60 % 7) as f64),
        ];
        for (name, value) in measured {
            assert_eq!(history.append(name, now, value), Appended::Kept);
        }
    }
    history.flush(Timestamp::from_nanos(nanos + 1_900 * SECOND)).unwrap();
    let views = history.series("", 99);
    let own: usize = views.iter().map(|view| view.bytes).sum();
    let times = history.status().bytes as usize - own;
    let rows: usize = views.iter().map(|view| view.levels[0].rows).sum();
    assert_eq!(views.iter().map(|view| view.levels[0].blocks).sum::<usize>(), 8 * 4);
    for view in &views {
        let level = &view.levels[0];
        println!("{}: {:.2} bytes a value", view.name, level.bytes as f64 / level.rows as f64);
    }
    let points: usize = views.iter().map(|view| view.levels[0].bytes).sum();
    let bytes = (points + times) as f64 / rows as f64;
    println!("{bytes:.2} bytes a sample, of which times {:.2}", times as f64 / rows as f64);
    assert!(bytes <= 1.6, "{bytes}");
}
