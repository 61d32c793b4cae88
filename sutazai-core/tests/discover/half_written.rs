//! A file of a directory that is being written.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use sutazai_core::agent::discover::DiscoveryPolicy;
use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::Kernel;

use crate::common::*;

/// Writes a file whose own time says nothing: it lies ahead.
fn write_ahead(path: &Path, text: &str, seconds: u64) {
    write(path, text);
    let ahead = SystemTime::now() + Duration::from_secs(3600 + seconds);
    File::options().write(true).open(path).unwrap().set_modified(ahead).unwrap();
}

#[test]
fn a_file_that_is_half_written_is_left_alone_until_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    let runtime = Manual::new();
    let kernel = Kernel::builder().runtime(Arc::new(runtime.clone())).build().unwrap();
    kernel.start().unwrap();
    let spec = source(json!({"directory": {"path": directory.path()}}));
    let policy = DiscoveryPolicy::default().jitter(0.0);
    kernel.add_source_of("local", spec, policy).unwrap();
    let mut told = subscribe(&kernel, "agent.*");
    let whole = |model: &str| {
        format!(
            "[openai]\nname = 'a'\nbase_url = 'http://127.0.0.1:9/v1'\nmodel = '{model}'\nskills = ['s']\n"
        )
    };
    let model = |text: &str| text.chars().take(40).collect::<String>();
    write_ahead(&file, &model(&whole("m")), 0);
    runtime.advance(Duration::from_millis(100));
    write_ahead(&file, &whole("m"), 1);
    runtime.advance(Duration::from_millis(200));
    assert!(names(&kernel).is_empty(), "it has not been as it is for 250 ms");
    runtime.advance(Duration::from_millis(300));
    assert_eq!(names(&kernel), ["a"]);

    // While it is written anew, for as long as that takes, the agent is as it was.
    for n in 0..20 {
        write_ahead(&file, &model(&whole("n")), 2 + n);
        runtime.advance(Duration::from_millis(240));
    }
    // An editor moves another file into its place.
    fs::remove_file(&file).unwrap();
    runtime.advance(Duration::from_millis(240));
    write_ahead(&file, &whole("m"), 100);
    runtime.advance(Duration::from_secs(10));
    assert_eq!(names(&kernel), ["a"]);
    let subjects: Vec<_> = std::iter::from_fn(|| told.try_next().unwrap())
        .map(|delivery| delivery.event.subject.to_string())
        .collect();
    let expected = ["state", "state", "probed", "state", "registered", "discovered"];
    let expected = expected.map(|word| format!("agent.{word}"));
    assert_eq!(subjects, expected, "nothing came of it but the agent");

    fs::remove_file(&file).unwrap();
    let looks = || kernel.sources()[0].looks;
    let before = looks();
    while looks() == before {
        runtime.advance(Duration::from_millis(50));
    }
    assert_eq!(names(&kernel), ["a"], "it is missing in one look");
    runtime.advance(Duration::from_millis(250));
    assert_eq!(looks(), before + 2);
    assert!(names(&kernel).is_empty());
}
