use proptest::prelude::*;

use super::*;

/// Points, in seconds.
type Points = Vec<(i64, f64)>;

/// What a window should be.
fn expected(points: &Points, aggregate: Aggregate, from: i64, to: i64) -> Option<f64> {
    let inside: Vec<_> = points.iter().filter(|(t, _)| (from..to).contains(t)).collect();
    let values: Vec<f64> = inside.iter().map(|(_, value)| *value).collect();
    let last = *values.last()?;
    Some(match aggregate {
        Aggregate::Mean => values.iter().sum::<f64>() / values.len() as f64,
        Aggregate::Min => values.iter().copied().reduce(f64::min)?,
        Aggregate::Max => values.iter().copied().reduce(f64::max)?,
        Aggregate::Sum => values.iter().sum(),
        Aggregate::Count => values.len() as f64,
        Aggregate::Last => last,
        Aggregate::Rate => {
            let pairs = points.windows(2).filter(|pair| (from..to).contains(&pair[1].0));
            let (grown, seconds) = pairs.fold((0.0, 0), |(grown, seconds), pair| {
                let (before, after) = (pair[0], pair[1]);
                let reset = after.1 < before.1;
                let more = if reset { after.1.max(0.0) } else { after.1 - before.1 };
                (grown + more, seconds + after.0 - before.0)
            });
            if seconds == 0 {
                return None;
            }
            grown / seconds as f64
        }
        Aggregate::Quantile(q) => {
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let place = q * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        }
    })
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

/// A counter or a gauge with gaps, in steps of a few seconds.
fn points(seed: u64, count: usize, counter: bool) -> Points {
    let mut random = Random(seed);
    let (mut time, mut value) = (random.below(500) as i64, 0.0);
    (0..count)
        .map(|index| {
            time += match random.below(300) {
                // None at the end, where the finer levels are.
                0 if index < count / 2 => 400 + random.below(3_000) as i64,
                1..=60 => 2 + random.below(7) as i64,
                _ => 1,
            };
            let reset = random.below(60) == 0;
            value = match counter {
                true if reset => random.below(30) as f64,
                true => value + random.below(50) as f64,
                false => (random.below(20_000) as f64 - 10_000.0) / 100.0,
            };
            (time, value)
        })
        .collect()
}

const ALL: [Aggregate; 7] = [
    Aggregate::Mean,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::Sum,
    Aggregate::Count,
    Aggregate::Last,
    Aggregate::Rate,
];

#[test]
fn points_and_their_times_come_back_bit_by_bit() {
    let policy = HistoryPolicy { raw_block_s: 60, ..HistoryPolicy::default() };
    let history = History::new(policy).unwrap();
    let mut random = Random(3);
    let mut time = 1_795_735_467_939_007_759_i64;
    let mut written = Vec::new();
    for index in 0..3_000 {
        time += SECOND + random.below(5_000_000) as i64;
        let any = f64::from_bits(random.bits());
        let value = match index % 4 {
            0 if any.is_finite() => any,
            1 => -0.0,
            2 => f64::from_bits(random.below(100)),
            _ => random.below(10_000) as f64 / 100.0,
        };
        assert_eq!(history.append("s", Timestamp::from_nanos(time), value), Appended::Kept);
        written.push((time, value.to_bits()));
        if index % 500 == 0 {
            history.flush(Timestamp::from_nanos(time)).unwrap();
        }
    }
    let read = history.points("s", usize::MAX);
    let read: Vec<_> = read.iter().map(|r| (r.at.as_nanos(), r.value.to_bits())).collect();
    assert_eq!(read, written);
    assert_eq!(history.points("s", 7).len(), 7);
    assert!(history.points("s", 0).is_empty() && history.points("other", 7).is_empty());
}

#[test]
fn any_resolution_answers_what_the_points_say() {
    for (seed, name) in [(1, "requests_total"), (2, "temperature"), (9, "bytes_total{agent=\"a\"}")]
    {
        let counter = name != "temperature";
        let points = points(seed, 6_000, counter);
        let policy = HistoryPolicy {
            raw_keep_s: 600,
            raw_block_s: 300,
            block_buckets: 50,
            levels: vec![
                LevelPolicy { step_s: 10, keep_s: 4_000 },
                LevelPolicy { step_s: 60, keep_s: 1_000_000 },
            ],
            ..HistoryPolicy::default()
        };
        let history = History::new(policy).unwrap();
        for (index, &(time, value)) in points.iter().enumerate() {
            assert_eq!(history.append(name, at(time), value), Appended::Kept);
            if index % 13 == 0 {
                history.flush(at(time)).unwrap();
            }
        }
        let end = points.last().unwrap().0;
        let mut resolutions = Vec::new();
        for from in [0, end - 10_000, end - 3_300, end - 2_600, end - 1_900, end - 500, end - 60] {
            let from = from / 600 * 600;
            for (aggregate, step_s) in ALL.into_iter().flat_map(|a| [(a, 60), (a, 300)]) {
                let query =
                    Query::new(name, at(from), at(end + 60), aggregate).step_ms(step_s * 1000);
                let answer = history.query(&query).unwrap();
                resolutions.push(answer.resolution_s);
                let got = answer.windows.iter().map(|r| (r.at.as_nanos() / SECOND, r.value));
                let got: Vec<_> = got.collect();
                let step = step_s as i64;
                let windows = (0..).map(|w| from + w * step).take_while(|start| *start < end + 60);
                let wanted = windows
                    .filter_map(|start| {
                        // The last window ends where the query does.
                        let to = (start + step).min(end + 60);
                        Some((start, expected(&points, aggregate, start, to)?))
                    })
                    .collect::<Vec<_>>();
                if aggregate == Aggregate::Rate {
                    // In buckets a gap's seconds are known to a bucket's; what was counted is exact.
                    // The oldest bucket or point has none before it.
                    assert!(got.len() + 1 >= wanted.len(), "{name} {from}");
                    assert!(got.iter().all(|(start, _)| wanted.iter().any(|w| w.0 == *start)));
                    if answer.resolution_s == 0 {
                        let wanted = |at| wanted.iter().find(|w| w.0 == at).unwrap().1;
                        assert!(got.iter().skip(1).all(|g| close(g.1, wanted(g.0))), "{name}");
                    }
                    continue;
                }
                assert_eq!(got.len(), wanted.len(), "{name} {aggregate:?} {from}");
                for (got, wanted) in got.iter().zip(&wanted) {
                    assert_eq!(got.0, wanted.0);
                    assert!(close(got.1, wanted.1), "{name} {aggregate:?} {got:?} {wanted:?}");
                }
            }
        }
        resolutions.dedup();
        for resolution in [60, 10, 0] {
            assert!(resolutions.contains(&resolution), "{resolutions:?}");
        }
    }
}

#[test]
fn counters_that_are_reset_within_a_bucket_lose_nothing() {
    let policy = HistoryPolicy { raw_keep_s: 1, raw_block_s: 60, ..HistoryPolicy::default() };
    let history = History::new(policy).unwrap();
    let mut counted = 0.0;
    let mut value = 0.0;
    for second in 0..3_600 {
        // It passes its old value again before the bucket ends.
        if second % 10 == 3 {
            value = 0.0;
        }
        value += 1_000.0;
        counted += if second == 0 { 0.0 } else { 1_000.0 };
        history.append("bytes_total", at(second), value);
        if second % 60 == 0 {
            history.flush(at(second)).unwrap();
        }
    }
    let query = Query::new("bytes_total", at(0), at(3_600), Aggregate::Rate);
    let answer = history.query(&query).unwrap();
    assert_eq!(answer.resolution_s, 10);
    // The first bucket has nothing before it: 10 of 3,600 seconds are not seen.
    let seen = counted - 9_000.0;
    assert_eq!(answer.windows[0].value, seen / 3_590.0);
}

#[test]
fn quantiles_are_of_points_alone() {
    let policy = HistoryPolicy { raw_keep_s: 60, raw_block_s: 60, ..HistoryPolicy::default() };
    let history = History::new(policy).unwrap();
    for second in 0..1_000 {
        history.append("s", at(second), (second % 100) as f64);
        history.flush(at(second)).unwrap();
    }
    let ask = |aggregate| {
        let query = Query::new("s", at(0), at(1_000), aggregate).step_ms(100_000);
        history.query(&query).unwrap()
    };
    assert_eq!((ask(Aggregate::Max).resolution_s, ask(Aggregate::Max).windows.len()), (10, 10));
    let answer = ask(Aggregate::Quantile(0.5));
    assert_eq!(answer.resolution_s, 0);
    assert!(answer.windows.len() <= 2 && answer.since.unwrap() > at(800), "{answer:?}");
    assert_eq!(answer.windows.last().unwrap().value, 49.5);
}

#[test]
fn a_clock_that_was_set_back_is_believed_after_a_while() {
    let history = History::new(HistoryPolicy::default()).unwrap();
    for second in 0..5_000 {
        assert_eq!(history.append("s", at(second), 1.0), Appended::Kept);
    }
    // Repeated and out of order: refused, and nothing happens.
    for second in [4_999, 100, 99, 4_999, 100, 99, 4_999, 100, 99, 4_999, 100, 99] {
        assert_eq!(history.append("s", at(second), 9.0), Appended::Late);
    }
    history.flush(at(5_000)).unwrap();
    let became: Vec<_> =
        (2_003..2_400).map(|second| history.append("s", at(second), 2.0)).collect();
    assert!(became[..9].iter().all(|became| *became == Appended::Late));
    assert_eq!(became[9], Appended::SetBack);
    assert!(became[10..].iter().all(|became| *became == Appended::Kept));
    let status = history.status();
    assert_eq!((status.set_back, status.late), (1, 12 + 9));
    // The points before the first late one are there, the nine that were refused are not.
    let points = history.points("s", usize::MAX);
    assert_eq!(points.len(), 2_003 + 397 - 9);
    assert!(points.is_sorted_by(|a, b| a.at < b.at));
    assert_eq!(points.last().unwrap().at, at(2_399));
    let wanted = |t: i64| [if t == 2_000 { 4.0 } else { 10.0 }, 10.0][usize::from(t >= 2_020)];
    for (time, count) in all(&history, "s", Aggregate::Count, 10) {
        if time != 2_010 {
            assert_eq!(count, wanted(time) - if time == 2_000 { 1.0 } else { 0.0 }, "{time}");
        }
    }
}

#[test]
fn times_that_are_told_set_no_clock_back() {
    let history = History::new(HistoryPolicy::default()).unwrap();
    for second in 0..5_000 {
        assert_eq!(history.append("s", at(second), 1.0), Appended::Kept);
    }
    for second in 1_000..1_100 {
        assert_eq!(history.append_at("s", at(second), 2.0), Appended::Late);
        // Nor together with some of a clock, as long as these are few.
        let of_clock = second % 20 == 0;
        assert!(!of_clock || history.append("s", at(second), 2.0) == Appended::Late);
    }
    let status = history.status();
    assert_eq!((status.set_back, status.late), (0, 105));
    assert_eq!(history.points("s", usize::MAX).len(), 5_000);
    assert_eq!(history.append_at("s", at(5_000), 1.0), Appended::Kept);
}

#[test]
fn points_that_come_late_are_all_kept() {
    for (lag, every, flush) in
        [(0, 10, 60), (300, 10, 60), (7_200, 7, 60), (300, 1, 5), (90, 45, 7)]
    {
        let history = History::new(HistoryPolicy::default()).unwrap();
        let mut count = 0;
        for now in 10_000..20_000 {
            if now % every == 0 {
                let became = history.append_at("s", at(now - lag), 1.0);
                assert_eq!(became, Appended::Kept, "{now} {lag} {every} {flush}");
                count += 1;
            }
            if now % flush == 0 {
                history.flush(at(now)).unwrap();
            }
        }
        let counts = all(&history, "s", Aggregate::Count, 60);
        assert_eq!(counts.iter().map(|window| window.1).sum::<f64>(), f64::from(count));
        // What ends is ended nevertheless: nothing waits for points that do not come.
        for minute in 0..20 {
            history.flush(at(20_000 + 60 * minute)).unwrap();
        }
        assert_eq!(history.append_at("s", at(19_999 - lag), 1.0), Appended::Late, "{lag} {flush}");
    }
}

#[test]
fn points_that_come_in_batches_are_all_kept() {
    // Batches of some minutes, which end in the middle of buckets.
    for minutes in [1, 5, 10] {
        let history = History::new(HistoryPolicy::default()).unwrap();
        let (every, mut count) = (60 * minutes + 7, 0);
        let mut next = 10_000;
        for now in 10_000..20_000 {
            if now % every == 0 {
                for time in next..now {
                    let became = history.append_at("s", at(time), 1.0);
                    assert_eq!(became, Appended::Kept, "{time} {now} {minutes}");
                    count += 1;
                }
                next = now;
            }
            if now % 60 == 0 {
                history.flush(at(now)).unwrap();
            }
        }
        let counts = all(&history, "s", Aggregate::Count, 60);
        assert_eq!(counts.iter().map(|window| window.1).sum::<f64>(), f64::from(count));
    }
}

#[test]
fn levels_agree_after_the_clock_was_set_back() {
    // Without points the coarser levels tell.
    let policy = HistoryPolicy { raw_keep_s: 300, raw_block_s: 60, ..HistoryPolicy::default() };
    let history = History::new(policy).unwrap();
    let mut seconds: Vec<i64> = (0..3_000).collect();
    seconds.extend(1_234..4_000);
    for (index, second) in seconds.into_iter().enumerate() {
        history.append("s", at(second), second as f64);
        if index % 7 == 0 {
            history.flush(at(second)).unwrap();
        }
    }
    let count = |step| all(&history, "s", Aggregate::Count, step).iter().map(|w| w.1).sum::<f64>();
    // Nine were refused; of the bucket that the set-back fell into, the four before are no longer to be had.
    assert_eq!(count(10), 4_000.0 - 9.0 - 4.0);
    let sum = |step| all(&history, "s", Aggregate::Sum, step).iter().map(|w| w.1).sum::<f64>();
    assert_eq!(sum(60), sum(10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_input_is_defined(
        input in prop::collection::vec((any::<i64>(), any::<f64>(), 0..40_u8), 1..200),
        step_ms in prop_oneof![
            Just(None),
            Just(Some(u64::MAX)),
            (1_000_000_000_000..2_000_000_000_000_u64).prop_map(Some)
        ],
    ) {
        let shelf = MemoryShelf::default();
        let open = || History::open(HistoryPolicy::default(), Box::new(shelf.clone())).unwrap();
        let mut history = open();
        for (time, value, what) in input {
            let time = Timestamp::from_nanos(time);
            let became = history.append("s_total", time, value);
            prop_assert_eq!(became == Appended::NotFinite, !value.is_finite());
            match what {
                0 => history = open(),
                1..4 => history.flush(time).unwrap(),
                _ => {}
            }
        }
        let (from, to) = (Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(i64::MAX));
        for aggregate in ALL.into_iter().chain([Aggregate::Quantile(0.9)]) {
            let query = Query { step_ms, ..Query::new("s_total", from, to, aggregate) };
            if let Ok(answer) = history.query(&query) {
                prop_assert!(answer.windows.iter().all(|window| window.value.is_finite()));
                prop_assert_eq!(answer.damaged, 0);
            }
        }
        let points = history.points("s_total", usize::MAX);
        prop_assert!(points.is_sorted_by(|a, b| a.at < b.at));
    }
}
