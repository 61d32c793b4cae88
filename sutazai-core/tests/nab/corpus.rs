//! Reads the benchmark's files from the folder of corpora.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::score::Series;

/// The benchmark's folder, where `SUTAZAI_CORPUS` says where the corpora are.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SUTAZAI_CORPUS").map(|corpus| Path::new(&corpus).join("nab"));
    if folder.is_none() {
        println!("skipped: SUTAZAI_CORPUS does not say where the corpora are");
    }
    folder
}

/// All files, by name.
pub fn read(folder: &Path) -> Vec<Series> {
    let labels = std::fs::read(folder.join("labels/combined_windows.json")).expect("the labels");
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_slice(&labels).expect("JSON");
    let one = |(name, windows): (String, Vec<(String, String)>)| {
        let text = std::fs::read_to_string(folder.join("data").join(&name)).expect("a series");
        let rows: Vec<(i64, f64)> =
            rows(&text).map(|(time, rest)| (time, rest.parse().expect("a number"))).collect();
        Series {
            name,
            times: rows.iter().map(|row| row.0).collect(),
            values: rows.iter().map(|row| row.1).collect(),
            windows: windows.iter().map(|(first, last)| (nanos(first), nanos(last))).collect(),
        }
    };
    labels.into_iter().map(one).collect()
}

/// The lines of a CSV file with a heading: the time, and what follows it.
pub fn rows(text: &str) -> impl Iterator<Item = (i64, &str)> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .map(|(time, rest)| (nanos(time), rest))
}

/// Nanoseconds since 1970 of a time as the benchmark writes it, taken for UTC.
fn nanos(time: &str) -> i64 {
    let civil: jiff::civil::DateTime = time.parse().expect("a time");
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).expect("a time that is in range");
    i64::try_from(zoned.timestamp().as_nanosecond()).expect("a time that is in range")
}
