//! Tests of the registry, with a reader of the exposition format written from its specification.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Code;

/// A sample's name and labels.
type Series = (String, BTreeMap<String, String>);

/// Reads the text format and checks what it demands: HELP and TYPE once, before the samples, which
/// stand together; no series twice; buckets cumulative, `+Inf` equal to `_count`.
fn read(text: &str) -> BTreeMap<Series, f64> {
    let mut samples = BTreeMap::new();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    let mut current = String::new();
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let name = rest.split(' ').next().unwrap().to_owned();
            assert!(ended.insert(name.clone()), "{name} comes twice");
            current = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current);
            assert!(kinds.insert(name.into(), kind.into()).is_none());
        } else {
            let (series, value) = sample(line);
            let stem = match kinds[&current].as_str() {
                "histogram" => {
                    let suffix = series.0.strip_prefix(current.as_str()).unwrap();
                    assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}");
                    current.clone()
                }
                _ => series.0.clone(),
            };
            assert_eq!(stem, current, "a sample outside its metric");
            assert!(samples.insert(series, value).is_none(), "twice: {line}");
        }
    }
    for ((name, labels), &count) in &samples {
        let Some(stem) =
            name.strip_suffix("_count").filter(|s| kinds.get(*s).is_some_and(|k| k == "histogram"))
        else {
            continue;
        };
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter(|((n, l), _)| {
                let mut rest = l.clone();
                rest.remove("le");
                *n == format!("{stem}_bucket") && rest == *labels
            })
            .map(|((_, l), v)| (number(&l["le"]), *v))
            .collect();
        buckets.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert!(buckets.windows(2).all(|w| w[0].1 <= w[1].1 && w[0].0 < w[1].0), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)));
        assert!(samples.contains_key(&(format!("{stem}_sum"), labels.clone())));
    }
    samples
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().unwrap(),
    }
}

fn sample(line: &str) -> (Series, f64) {
    let name_end = line.find(['{', ' ']).unwrap();
    let mut labels = BTreeMap::new();
    let mut rest = &line[name_end..];
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at + 1,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        other => panic!("escape {other} in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none());
            match after[end..].strip_prefix(',') {
                Some(more) => inside = more,
                None => {
                    rest = after[end..].strip_prefix('}').unwrap();
                    break;
                }
            }
        }
    }
    ((line[..name_end].to_owned(), labels), number(rest.strip_prefix(' ').unwrap()))
}

fn series(name: &str, labels: &[(&str, &str)]) -> Series {
    (name.to_owned(), labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

#[test]
fn the_text_says_what_was_counted() {
    let registry = Registry::new();
    registry.counter("calls_total", "All calls.\nBackslash: \\").unwrap().add(3);
    let gauge = registry.gauge("temperature", "").unwrap();
    gauge.set(2.0);
    gauge.add(-2.5);
    let took =
        registry.histogram_family("took_seconds", "Time.", Unit::Seconds, ["agent"]).unwrap();
    let one = took.with(["a\"\\\n"]);
    one.record_duration(Duration::from_micros(3));
    one.record_duration(Duration::from_millis(20));
    one.record_duration(Duration::from_secs(1000));
    registry.gauge_fn("asked", "", || f64::INFINITY).unwrap();
    registry.counter_fn("broken_total", "", || std::panic::resume_unwind(Box::new("no"))).unwrap();

    let text = registry.prometheus();
    assert!(text.contains("# HELP calls_total All calls.\\nBackslash: \\\\\n# TYPE calls_total counter\ncalls_total 3\n"), "{text}");
    assert!(text.contains("le=\"0.000005\""), "{text}");
    let samples = read(&text);
    assert_eq!(samples[&series("temperature", &[])], -0.5);
    assert_eq!(samples[&series("asked", &[])], f64::INFINITY);
    assert!(samples[&series("broken_total", &[])].is_nan());
    let agent = ("agent", "a\"\\\n");
    for (le, count) in
        [("0.000001", 1.0 - 1.0), ("0.000005", 1.0), ("0.01", 1.0), ("0.025", 2.0), ("300", 2.0)]
    {
        assert_eq!(samples[&series("took_seconds_bucket", &[agent, ("le", le)])], count, "{le}");
    }
    assert_eq!(samples[&series("took_seconds_count", &[agent])], 3.0);
    assert!((samples[&series("took_seconds_sum", &[agent])] - 1000.020003).abs() < 1e-6);
}

#[test]
fn registering_alike_shares_and_differently_conflicts() {
    let registry = Registry::new();
    registry.counter("a", "").unwrap().inc();
    registry.counter("a", "another help").unwrap().inc();
    assert_eq!(registry.counter("a", "").unwrap().get(), 2);
    registry.histogram("h", "", Unit::Seconds).unwrap();
    registry.counter("z_sum", "").unwrap();
    registry.gauge_fn("f", "", || 0.0).unwrap();
    let conflicts = [
        registry.gauge("a", "").map(drop),
        registry.counter_family("a", "", ["x"]).map(drop),
        registry.histogram("h", "", Unit::Bytes).map(drop),
        registry.counter("h_count", "").map(drop),
        registry.histogram("z", "", Unit::Number).map(drop),
        registry.gauge_fn("f", "", || 1.0),
        registry.gauge("f", "").map(drop),
    ];
    for (index, result) in conflicts.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().code(), Code::METRIC_CONFLICT, "{index}");
    }
    registry.counter("h_counts", "").unwrap();
    read(&registry.prometheus());
}

#[test]
fn names_follow_prometheus_rules() {
    let registry = Registry::new();
    for name in ["a", "_a9", "ns:rule", "A_b_C"] {
        registry.counter(name, "").unwrap();
    }
    for name in ["", "9a", "a-b", "a.b", "ä", "a b", &"x".repeat(500)] {
        assert_eq!(registry.counter(name, "").unwrap_err().code(), Code::METRIC_INVALID, "{name}");
    }
    for label in ["", "9", "a:b", "__a", "le", "a-b"] {
        let refused = registry.counter_family("ok", "", [label]).unwrap_err();
        assert_eq!(refused.code(), Code::METRIC_INVALID, "{label}");
    }
    assert!(registry.counter_family("ok", "", ["a", "a"]).is_err());
}

#[test]
fn label_sets_are_bounded() {
    let registry = Registry::new();
    let family = registry.counter_family("calls_total", "", ["agent"]).unwrap();
    for n in 0..SERIES_MAX + 5 {
        family.with([&n.to_string()]).inc();
    }
    assert_eq!(family.overflowed(), 5);
    let samples = read(&registry.prometheus());
    assert_eq!(samples.len(), SERIES_MAX + 2);
    assert_eq!(samples[&series("calls_total", &[("agent", "other")])], 5.0);
    assert_eq!(
        samples[&series("sutazai_metric_overflow_total", &[("metric", "calls_total")])],
        5.0
    );
    // What is there already still counts, and what goes makes room.
    family.with(["7"]).inc();
    assert_eq!(family.with(["7"]).get(), 2);
    family.remove(["1"]);
    family.remove(["2"]);
    family.with(["new"]).add(9);
    assert_eq!(family.with(["new"]).get(), 9);
    // A long value is cut between characters.
    family.remove(["3"]);
    family.with([&"ä".repeat(300)]).inc();
    assert_eq!(family.with([&"ä".repeat(100)]).get(), 1);
}

#[test]
fn snapshots_are_ordered_and_have_a_json_form() {
    let registry = Registry::new();
    let family = registry.gauge_family("b", "B.", ["x", "y"]).unwrap();
    family.with(["2", "1"]).set(1.5);
    family.with(["1", "2"]).set(0.5);
    registry.histogram("a", "A.", Unit::Bytes).unwrap().record(7);
    let json = serde_json::to_value(registry.snapshot()).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            {"name": "a", "help": "A.", "kind": "histogram", "overflowed": 0, "series": [
                {"labels": {}, "value": {"count": 1, "sum": 7.0, "min": 7.0, "p50": 7.0, "p90": 7.0, "p99": 7.0, "max": 7.0}}]},
            {"name": "b", "help": "B.", "kind": "gauge", "overflowed": 0, "series": [
                {"labels": {"x": "1", "y": "2"}, "value": 0.5},
                {"labels": {"x": "2", "y": "1"}, "value": 1.5}]},
        ])
    );
}

proptest! {
    #[test]
    fn any_label_value_reads_back(values in prop::collection::btree_set(".{0,20}", 1..20)) {
        let registry = Registry::new();
        let family = registry.counter_family("c", "", ["v"]).unwrap();
        for (n, value) in values.iter().enumerate() {
            family.with([value.as_str()]).add(n as u64);
        }
        let samples = read(&registry.prometheus());
        prop_assert_eq!(samples.len(), values.len());
        for (n, value) in values.iter().enumerate() {
            prop_assert_eq!(samples[&series("c", &[("v", value)])], n as f64);
        }
    }
}
