//! Programs that say who they are, or do not.

use std::time::{Duration, Instant};

use serde_json::json;
use sutazai_core::Code;

use crate::common::*;

fn code(look: &sutazai_core::agent::discover::Look, name: &str) -> Code {
    let failed = look.failed.iter().find(|view| view.item.ends_with(name));
    failed.unwrap_or_else(|| panic!("{name}: {:?}", look.failed)).error.as_ref().unwrap().code()
}

#[test]
fn programs_are_asked_who_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel();
    program(directory.path(), "one", &worker("one", "1", "read"));
    write(directory.path().join("README"), "not executable, and of no concern");
    let spec =
        source(json!({"executables": {"directory": directory.path(), "timeout_ms": 20_000}}));
    kernel.add_source_of("bin", spec, asked()).unwrap();
    let seen = look(&kernel);
    assert_eq!((gave(&seen), seen.failed.len()), (json!([["one"], [], [], [], []]), 0));
    assert_eq!(call(&kernel, "one", "read"), "1");
    program(directory.path(), "one", &worker("one", "2", "read"));
    program(directory.path(), "two", &worker("two", "1", "write"));
    assert_eq!(gave(&look(&kernel)), json!([["two"], ["one"], [], [], []]));
    assert_eq!(call(&kernel, "one", "read"), "2");
    std::fs::remove_file(directory.path().join("two")).unwrap();
    assert_eq!(gave(&look(&kernel)), json!([[], [], ["two"], [], []]));
}

/// A program whose card says how its skill is to be probed, and that answers so.
fn probed(name: &str, answer: &str) -> String {
    format!(
        "import json, sys\n\
         def say(**m): print(json.dumps({{'v': 1, **m}}), flush=True)\n\
         say(type='ready')\n\
         for line in sys.stdin:\n\
         \x20   m = json.loads(line)\n\
         \x20   if m['type'] == 'describe':\n\
         \x20       probe = {{'input': [2, 3], 'equals': 5}}\n\
         \x20       card = {{'name': '{name}', 'skills': ['add'], 'about': {{'add': {{'probe': probe}}}}}}\n\
         \x20       say(type='card', card=card)\n\
         \x20   elif m['type'] == 'task': say(type='result', id=m['id'], output={answer})\n\
         \x20   elif m['type'] == 'stop': break\n"
    )
}

#[test]
fn a_card_that_lies_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel();
    program(directory.path(), "honest", &probed("honest", "sum(m['input'])"));
    program(directory.path(), "liar", &probed("liar", "len(m['input'])"));
    let spec =
        source(json!({"executables": {"directory": directory.path(), "timeout_ms": 20_000}}));
    kernel.add_source_of("bin", spec, asked()).unwrap();
    let seen = look(&kernel);
    assert_eq!(gave(&seen), json!([["honest"], [], [], [], []]));
    let error = seen.failed[0].error.as_ref().unwrap();
    assert_eq!(error.code(), Code::AGENT_LIES, "{error}");
    let about = |wanted| error.context().find(|(key, _)| *key == wanted).map(|(_, value)| value);
    assert_eq!(
        (about("agent"), about("skill"), about("verdict")),
        (Some("liar"), Some("add"), Some("lies"))
    );
    // One that begins to lie does not take over from the one that does not.
    program(directory.path(), "honest", &probed("honest", "0"));
    let seen = look(&kernel);
    assert_eq!((gave(&seen), seen.failed.len()), (json!([[], [], [], [], []]), 2));
    program(directory.path(), "liar", &probed("liar", "sum(m['input'])"));
    assert_eq!(gave(&look(&kernel)), json!([["liar"], [], [], [], []]));
}

#[test]
fn what_a_program_does_instead_is_told_and_spares_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let kernel = kernel();
    let marks = tempfile::tempdir().unwrap();
    let mark = |name: &str| {
        let path = marks.path().join(name);
        format!("open({:?}, 'a').write('x')\n", path.to_str().unwrap())
    };
    program(at, "hangs", "import time\ntime.sleep(1000)\n");
    program(
        at,
        "silent",
        "import sys\nprint('{\"v\":1,\"type\":\"ready\"}', flush=True)\nsys.stdin.read()\n",
    );
    program(
        at,
        "garbage",
        "print('hello\\nworld\\n' * 100, flush=True)\nimport time\ntime.sleep(1000)\n",
    );
    let flood = "import os\nblock = b'x' * (1 << 20)\ntry:\n    for _ in range(1024): os.write(1, block)\n\
                 except OSError: pass\n";
    program(at, "flood", flood);
    program(
        at,
        "exits",
        &format!(
            "{}import sys\nprint('no licence', file=sys.stderr)\nsys.exit(3)\n",
            mark("exits")
        ),
    );
    program(at, "nameless", &worker("not a name", "1", "s"));
    let open = program(at, "open", &mark("open"));
    mode(&open, 0o777);
    program(at, "good", &worker("good", "1", "s"));
    let plain = at.join("plain");
    write(&plain, "#!/bin/sh\n");
    let spec = json!({"executables": {"directory": at, "files": [plain, at.join("missing")], "timeout_ms": 5_000}});
    kernel.add_source_of("bin", source(spec), asked()).unwrap();
    let began = Instant::now();
    let mut told = subscribe(&kernel, "agent.not_discovered");
    let seen = look(&kernel);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(gave(&seen), json!([["good"], [], [], [], []]), "{:?}", failed(&seen));
    for name in ["hangs", "garbage", "exits"] {
        assert_eq!(code(&seen, name), Code::AGENT_START, "{name}");
    }
    assert!(matches!(code(&seen, "flood"), Code::AGENT_START | Code::AGENT_PROTOCOL));
    // On a machine that is busy it may not even be ready in time.
    assert!(matches!(code(&seen, "silent"), Code::AGENT_START | Code::AGENT_PROTOCOL));
    assert_eq!(code(&seen, "nameless"), Code::INVALID);
    assert_eq!(code(&seen, "open"), Code::DENIED);
    assert_eq!(code(&seen, "plain"), Code::INVALID);
    assert_eq!(code(&seen, "missing"), Code::NOT_FOUND);
    assert!(failed(&seen).iter().any(|(_, said)| said.contains("no licence")));
    assert!(!marks.path().join("open").exists(), "it was never run");
    // They were new to the first look; nothing is new now, and on its own nobody runs them again.
    assert_eq!(events(&mut told).len(), 9);
    assert_eq!(std::fs::read(marks.path().join("exits")).unwrap().len(), 1);
}
