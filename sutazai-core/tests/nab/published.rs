//! Results of published detectors, to hold the scoring rules against.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The scores, by detector and file.
pub fn read(folder: &Path) -> BTreeMap<(String, String), Vec<f64>> {
    let packed = std::fs::File::open(folder.join("published_results.tar.gz")).expect("the results");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let mut found = BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let [_, detector, group, file] = parts[..] else { continue };
        let Some(name) = file.strip_prefix(detector).and_then(|f| f.strip_prefix('_')) else {
            continue;
        };
        let key = (detector.to_owned(), format!("{group}/{name}"));
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        let score =
            |rest: &str| rest.split(',').next().and_then(|s| s.parse().ok()).expect("a score");
        found.insert(key, super::corpus::rows(&text).map(|(_, rest)| score(rest)).collect());
    }
    found
}
