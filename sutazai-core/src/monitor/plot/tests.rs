//! Pictures as a whole.

use std::time::Duration;

use super::*;

fn at(seconds: u64) -> Timestamp {
    // 2026-03-01T00:00:00Z
    Timestamp::from_nanos(1_772_323_200_000_000_000) + Duration::from_secs(seconds)
}

fn readings(values: &[f64]) -> Vec<Reading> {
    (0..).zip(values).map(|(i, value)| Reading { at: at(60 * i), value: *value }).collect()
}

fn ahead(from: u64, point: &[f64], half: f64) -> Ahead {
    let interval = serde_json::json!({
        "point": point,
        "intervals": [{
            "level": 0.95,
            "lower": point.iter().map(|value| value - half).collect::<Vec<f64>>(),
            "upper": point.iter().map(|value| value + half).collect::<Vec<f64>>(),
        }],
        "seasons": [],
        "methods": [],
    });
    let forecast = serde_json::from_value(interval).unwrap();
    Ahead { from: at(from), step_ms: 60_000, forecast }
}

/// The size and the pixels of a picture, three bytes each.
fn pixels(plot: &Plot) -> (u32, u32, Vec<u8>) {
    let bytes = plot.to_png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    buffer.truncate(info.buffer_size());
    (info.width, info.height, buffer)
}

/// Pixels that are nearly of this colour.
fn count(pixels: &[u8], colour: [u8; 3]) -> usize {
    let near = |pixel: &[u8]| pixel.iter().zip(colour).all(|(one, other)| one.abs_diff(other) < 25);
    pixels.chunks_exact(3).filter(|pixel| near(pixel)).count()
}

/// Panics unless it is XML as SVG needs it: elements that end as they begin, attributes once and in quotes, characters that there may be.
fn well_formed(text: &str) {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(allowed), "{text:?}");
    // What stands between tags, or in quotes.
    let data = |text: &str| {
        assert!(!text.contains('<') && !text.contains("]]>"), "{text}");
        for after in text.split('&').skip(1) {
            let (name, _) = after.split_once(';').unwrap();
            assert!(["amp", "lt", "gt", "quot", "apos"].contains(&name), "&{name};");
        }
    };
    let (mut open, mut rest, mut roots) = (Vec::new(), text, 0);
    while let Some((before, after)) = rest.split_once('<') {
        data(before);
        assert!(!open.is_empty() || before.trim().is_empty(), "{before}");
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        assert!(!tag.starts_with(['!', '?']), "{tag}");
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        roots += usize::from(open.is_empty());
        let mut names = Vec::new();
        while !attributes.trim().is_empty() {
            let (name, after) = attributes.split_once("=\"").unwrap();
            let (value, after) = after.split_once('"').unwrap();
            data(value);
            assert!(
                name.trim().chars().all(|c| c.is_ascii_alphanumeric() || "-:".contains(c)),
                "{name}"
            );
            names.push(name.trim());
            attributes = after;
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{tag}");
        if !empty {
            open.push(name);
        }
    }
    assert!(open.is_empty() && roots == 1 && rest.trim().is_empty(), "{open:?} {roots} {rest}");
}

const BLUE: [u8; 3] = [0, 114, 178];
const GREEN: [u8; 3] = [0, 158, 115];
const VERMILION: [u8; 3] = [213, 94, 0];

#[test]
fn everything_that_is_there_is_drawn() {
    let mut plot = Plot::new("memory_used_bytes <of \"x\" & y>");
    plot.unit = Unit::of("memory_used_bytes");
    let values: Vec<f64> = (0..60).map(|i| 1e9 + f64::from(i * 7 % 5) * 1e7).collect();
    plot.past = readings(&values);
    let (width, height, before) = pixels(&plot);
    assert_eq!((width, height), (960, 420));
    assert!(count(&before, BLUE) > 500);
    assert_eq!((count(&before, GREEN), count(&before, VERMILION)), (0, 0));
    plot.marks = vec![Mark { at: at(600), value: 1.2e9, score: 0.875 }];
    plot.ahead = Some(ahead(3_600, &[1.01e9; 20], 2e7));
    let (_, _, after) = pixels(&plot);
    assert!(count(&after, GREEN) > 100 && count(&after, VERMILION) > 50);
    let svg = plot.to_svg().unwrap();
    well_formed(&svg);
    for text in [
        "memory_used_bytes &lt;of &quot;x&quot; &amp; y&gt;",
        "bytes",
        "measured",
        "expected",
        "95 %",
        "unusual (likelihood)",
        "0.88",
        "1100 Mi",
        "00:30",
        "2026-03-01, UTC",
    ] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
    assert!(svg.contains("width=\"960\" height=\"420\" viewBox=\"0 0 3840 1680\""), "{svg}");
}

#[test]
fn gaps_part_the_line() {
    let lines = |values: &[f64]| lines::parts(&readings(values)).len();
    assert_eq!(lines(&[1.0, 2.0, 3.0]), 1);
    assert_eq!(lines(&[1.0, f64::NAN, 3.0, 4.0]), 2);
    assert_eq!(lines(&[f64::NAN, f64::INFINITY]), 0);
    let mut late = readings(&[1.0; 20]);
    for reading in late.iter_mut().skip(10) {
        reading.at = reading.at + Duration::from_secs(3_600);
    }
    assert_eq!(lines::parts(&late).len(), 2);
    // Whatever the order in which they come.
    late.reverse();
    assert_eq!(lines::parts(&late).len(), 2);
}

#[test]
fn of_many_points_as_many_are_drawn_as_can_be_seen() {
    let points: Vec<lines::Point> =
        (0..10_000).map(|i| (i, if i == 5_001 { 9.0 } else { (i % 3) as f64 })).collect();
    let seen = lines::seen(&points, |at| (at / 100) as i32);
    assert!(seen.len() <= 400, "{}", seen.len());
    assert!(seen.iter().any(|point| point.1 == 9.0));
    assert!(seen.is_sorted_by_key(|point| point.0));
}

#[test]
fn what_cannot_be_drawn_is_left_out() {
    let mut empty = Plot::new("");
    assert!(empty.to_svg().unwrap().contains("no data"));
    empty.past = readings(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    empty.marks = vec![Mark { at: at(0), value: f64::NAN, score: 0.5 }];
    assert!(empty.to_svg().unwrap().contains("no data"));
    assert_eq!(count(&pixels(&empty).2, VERMILION), 0);
    let times = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_nanos);
    for values in [
        vec![5.0; 5],
        vec![0.0; 5],
        vec![f64::MAX, f64::MIN, f64::MAX, f64::MIN, 0.0],
        vec![1e-320, 0.0, -1e-320, 0.0, 0.0],
        vec![1e15, 1e15 + 0.125, 1e15, 1e15, 1e15],
    ] {
        let mut plot = Plot::new("a\u{0}\u{7}\u{ffff}\u{9b}]]><title ".repeat(100));
        plot.past = readings(&values);
        plot.marks = vec![Mark { at: at(0), value: values[0], score: f64::NAN }];
        plot.ahead = Some(ahead(300, &values, 1e200));
        for unit in ["x_bytes", "x_ratio", "x_total"] {
            plot.unit = Unit::of(unit);
            plot.unit.name.push_str("\u{b}<\u{fffe}&\u{ffff}\"");
            let svg = plot.to_svg().unwrap();
            well_formed(&svg);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(!svg.contains('\u{0}') && svg.contains('…'));
            plot.to_png().unwrap();
        }
        plot.past =
            times.into_iter().zip(&values).map(|(at, v)| Reading { at, value: *v }).collect();
        plot.to_svg().unwrap();
    }
    // One point alone.
    let mut one = Plot::new("one");
    one.past = readings(&[3.0]);
    assert!(count(&pixels(&one).2, BLUE) > 5);
}

#[test]
fn a_picture_has_a_size() {
    for (width, height) in [(0, 420), (960, 239), (2_049, 420), (960, u32::MAX)] {
        let mut plot = Plot::new("x");
        (plot.width, plot.height) = (width, height);
        assert_eq!(plot.to_png().unwrap_err().code(), Code::INVALID);
        assert_eq!(plot.to_svg().unwrap_err().code(), Code::INVALID);
    }
    let mut small = Plot::new("small");
    (small.width, small.height) = (SIDE_LEAST, SIDE_LEAST);
    small.past = readings(&[1.0, 2.0]);
    assert_eq!(pixels(&small).0, SIDE_LEAST);
}

#[test]
fn labels_are_round() {
    let texts = |unit: &Unit, low, high| -> Vec<String> {
        axis::values(unit, low, high, 5).into_iter().map(|tick| tick.text).collect()
    };
    let plain = Unit::default();
    assert_eq!(texts(&plain, 0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(texts(&plain, 0.0, 9_500.0), ["0", "2000", "4000", "6000", "8000"]);
    assert_eq!(texts(&plain, -1e6, 1e6), ["-1.0M", "-0.5M", "0.0M", "0.5M", "1.0M"]);
    assert_eq!(texts(&plain, 0.0, 4e300), ["0", "1e300", "2e300", "3e300", "4e300"]);
    assert_eq!(texts(&plain, 0.0, 9e-7), ["0", "2e-7", "4e-7", "6e-7", "8e-7"]);
    assert_eq!(
        texts(&plain, 1.01e-7, 1.05e-7),
        ["1.01e-7", "1.02e-7", "1.03e-7", "1.04e-7", "1.05e-7"]
    );
    assert_eq!(
        texts(&plain, 1e15, 1.2e15),
        ["1.00e15", "1.05e15", "1.10e15", "1.15e15", "1.20e15"]
    );
    assert_eq!(texts(&plain, -2e-9, 2e-9), ["-2e-9", "-1e-9", "0", "1e-9", "2e-9"]);
    let bytes = Unit::of("memory_used_bytes");
    // Whatever is drawn, no two labels are the same.
    for unit in [&plain, &bytes] {
        for power in -12..20 {
            for least in [0.0, 1.0, 1.5] {
                let one = 10_f64.powi(power);
                let mut all = texts(unit, least * one, (least + 1e-3) * one);
                let count = all.len();
                all.dedup();
                assert!(count > 2 && all.len() == count, "{all:?}");
            }
        }
    }
    let gib = f64::from(1 << 30);
    assert_eq!(texts(&bytes, 0.0, 5.0 * gib), ["0 Gi", "1 Gi", "2 Gi", "3 Gi", "4 Gi", "5 Gi"]);
    let times = |from: u64, to: u64| -> Vec<String> {
        let ticks = axis::times(at(from).as_nanos(), at(to).as_nanos(), 4);
        ticks.into_iter().map(|tick| tick.text).collect()
    };
    assert_eq!(times(0, 3), ["03-01", "00:00:01", "00:00:02", "00:00:03"]);
    assert_eq!(times(60, 3_600), ["00:15", "00:30", "00:45", "01:00"]);
    assert_eq!(times(3_600, 2 * 86_400), ["12:00", "03-02", "12:00", "03-03"]);
    assert_eq!(times(0, 10 * 86_400), ["2026-03-05"]);
    assert_eq!(Unit::of("a_seconds_total{x=\"bytes\"}").name, "seconds per second");
    assert_eq!(Unit::of("jobs_total").name, "per second");
    assert_eq!(Unit::of("queue_length").name, "");
}
