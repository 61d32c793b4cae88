//! The main job, as somebody meets it who runs it: on hostile input, without git and python3, on a
//! data directory that is taken, interrupted.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use sutazai_core::store::DataDir;

#[path = "example/mod.rs"]
mod example;

/// The program.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example::built("operate"))
}

struct Place {
    _directory: tempfile::TempDir,
    tree: PathBuf,
    state: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().canonicalize().unwrap();
    let (tree, state) = (base.join("tree"), base.join("state"));
    fs::create_dir(&tree).unwrap();
    Place { _directory: directory, tree, state }
}

impl Place {
    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg(&self.tree).arg("--data-dir").arg(&self.state).args(options);
        command
    }

    fn run(&self, options: &[&str]) -> Output {
        self.command(options).output().unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn agent<'a>(report: &'a Value, name: &str) -> &'a Value {
    let agents = report["agents"].as_array().unwrap();
    agents.iter().find(|agent| agent["agent"] == name).unwrap()
}

/// Put together here, so that this file does not hold what `secrets` looks for.
fn token() -> String {
    format!("{}_{}", "ghp", "a8Kq3ZtV5nB7xWc2RmJ4hYd6PsL9gFeU1iQo")
}

#[test]
fn hostile_input_is_reported_and_not_fatal() {
    let place = place();
    let tree = &place.tree;
    place.write("plain.rs", "fn a() {\n}\n// TODO: more\n");
    place.write("deep/er/secret.env", format!("x=1\nGITHUB={}\n", token()));
    place.write("binary", [0, 159, 146, 150]);
    place.write("latin1.txt", b"caf\xe9\n");
    place.write("one line", "x".repeat(3 << 20));
    place.write("bad.py", "def f(x=[]):\n    try:\n        pass\n    except:\n        pass\n");
    place.write("broken.py", "def (:\n");
    place.write("escape\u{1b}[31m.txt", "red?\n");
    place.write("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    place.write("target/big", "x");
    fs::File::create(tree.join("sparse")).unwrap().set_len(2 << 30).unwrap();
    fs::write(tree.join(OsStr::from_bytes(b"not\xffutf8")), "x").unwrap();
    assert!(Command::new("mkfifo").arg(tree.join("fifo")).status().unwrap().success());
    let _socket = UnixListener::bind(tree.join("socket")).unwrap();
    symlink("/dev/zero", tree.join("zero")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    symlink("loop", tree.join("loop")).unwrap();
    symlink("..", tree.join("deep/up")).unwrap();
    place.write("closed", "x");
    fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    // Root reads everything.
    let closed = fs::File::open(tree.join("closed")).is_err();

    let output = place.run(&["--json", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    let left_out = |reason: &str| report["met"]["left_out"][reason]["count"].as_u64().unwrap_or(0);
    assert_eq!(left_out("FIFO, socket or device"), 2, "{report:#}");
    assert_eq!(left_out("symbolic link"), 2);
    assert_eq!(left_out("dangling link"), 1);
    assert_eq!(left_out("link that leads nowhere (a loop)"), 1);
    assert_eq!(left_out("name that is not UTF-8"), 1);
    assert_eq!(left_out("cache (CACHEDIR.TAG)"), 1);
    assert_eq!(left_out("unreadable file"), u64::from(closed));
    let files = 10 - u64::from(closed);
    assert_eq!(report["met"]["files"], files);
    let used = &report["resources"];
    assert!(used["memory_bytes"].as_f64().unwrap() > 1e6, "{used}");
    assert!(used["samples"].as_u64().unwrap() >= 1 && used["cpu_seconds"].as_f64().unwrap() >= 0.0);
    assert!((0.0..=1.0).contains(&used["health"]["score"].as_f64().unwrap()));
    let held_up = &report["held_up"];
    assert_ne!(held_up["verdict"], "no_tasks", "{held_up}");
    let first = &held_up["ranked"][0];
    assert!(first["component"].is_string() && !first["evidence"].as_array().unwrap().is_empty());
    let tuned = &report["tuned"];
    assert_eq!(tuned["original"]["operate/calls_at_once"], 32, "{tuned}");
    let calls = tuned["incumbent"]["operate/calls_at_once"].as_i64().unwrap();
    assert!((8..=128).contains(&calls), "{tuned}");
    assert_eq!((&report["met"]["binary"], &report["met"]["huge"]), (&1.into(), &1.into()));
    for (name, calls) in [("secrets", files - 2), ("reviewer", files - 2), ("history", files)] {
        assert_eq!(agent(&report, name)["calls"], calls, "{name}");
        assert_eq!(agent(&report, name)["failed"], 0, "{name}");
    }
    let findings = &report["findings"];
    let secret = &findings["secrets"]["first"][0][1];
    assert_eq!(secret["file"], "deep/er/secret.env");
    assert_eq!((&secret["line"], &secret["rule"]), (&2.into(), &"github-token".into()));
    assert_eq!(findings["todos"]["total"], 1);
    assert_eq!(findings["not_utf8"]["total"], 1);
    assert_eq!(findings["longest_functions"]["first"][0][1]["name"], "f");
    for rule in ["mutable-default", "bare-except", "syntax-error", "long-line"] {
        assert_eq!(findings["review"][rule], 1, "{rule}");
    }

    // The same as text: nothing of the secret, no escape sequence out of a name.
    let output = place.run(&["--quiet"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("deep/er/secret.env:2") && text.contains("(40 characters)"), "{text}");
    assert!(text.contains(place.state.to_str().unwrap()), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let kept = all_bytes(&place.state);
    for held in [text.as_bytes(), &kept] {
        let part = &token().into_bytes()[4..20];
        assert!(!held.windows(part.len()).any(|window| window == part), "the secret got out");
    }
}

fn all_bytes(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(all_bytes(&entry.path()));
        } else {
            all.extend(fs::read(entry.path()).unwrap());
        }
    }
    assert!(!all.is_empty());
    all
}

#[test]
fn git_is_asked_about_each_file() {
    let place = place();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(&place.tree).args(["-c", "user.name=A", "-c", "user.email=a@x"]);
        let done = git.args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "--quiet"]);
    for (n, files) in
        [&["hot é.txt", "once"][..], &["hot é.txt"], &["hot é.txt"]].iter().enumerate()
    {
        for file in *files {
            place.write(file, n.to_string());
        }
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", "change"]);
    }
    place.write("untracked", "x");
    let report = json(&place.run(&["--json", "--quiet"]));
    let hottest = &report["findings"]["most_changed"];
    assert_eq!(hottest["total"], 2, "{report:#}");
    assert_eq!(hottest["first"][0][1]["file"], "hot é.txt");
    assert_eq!(hottest["first"][0][1]["commits"], 3);
    assert_eq!(hottest["first"][1][1]["commits"], 1);
    assert_eq!(report["met"]["files"], 3);
}

#[test]
fn flaky_fails_as_it_should_and_the_guard_holds() {
    let place = place();
    for n in 0..400 {
        place.write(&format!("{n}"), "x\n");
    }
    let report = json(&place.run(&["--json", "--quiet"]));
    let flaky = agent(&report, "flaky");
    let count = |of: &Value| of.as_u64().unwrap();
    // Every fifth call fails, one hangs, and for a while all do; each is tried again somewhere.
    assert!(count(&flaky["failed"]) >= 15, "{flaky:#}");
    assert_eq!(flaky["retries"], flaky["failed"]);
    assert!(count(&flaky["breaker"]["opened"]) >= 1, "{flaky:#}");
    // A breaker that opens sets it apart for a while.
    assert!(count(&flaky["isolation"]["quarantined"]) >= 1, "{flaky:#}");
    let tries = count(&flaky["calls"]) + count(&agent(&report, "spare")["calls"]);
    assert_eq!(tries, 400 + count(&flaky["failed"]));
    assert_eq!(agent(&report, "spare")["failed"], 0);
    assert_eq!(report["findings"]["failures"], Value::Array(Vec::new()), "no caller noticed");
}

/// A server of MCP that knows files, by the name of one that others wrote.
const SERVER: &str = r#"#!/usr/bin/env python3
import json, sys
tool = {"name": "get_file_info", "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}}
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "files", "version": "7"}}
    elif asked["method"] == "tools/list":
        answer["result"] = {"tools": [tool]}
    elif asked["method"] == "tools/call":
        text = "about " + asked["params"]["arguments"]["path"]
        answer["result"] = {"content": [{"type": "text", "text": text}]}
    elif asked["method"] == "ping":
        answer["result"] = {}
    else:
        answer["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(answer), flush=True)
"#;

#[test]
fn a_server_of_mcp_that_is_installed_is_discovered() {
    let place = place();
    (0..20).for_each(|n| place.write(&format!("{n}"), "x\n"));
    let programs = tempfile::tempdir().unwrap();
    let executable = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let program = programs.path().join("mcp-server-filesystem");
    executable(&program, SERVER);
    let mut path = programs.path().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    // And one of a client's file, which does not start.
    let (broken, client) = (programs.path().join("broken"), programs.path().join("client.json"));
    executable(&broken, "#!/bin/sh\necho no licence >&2\nexit 3\n");
    let servers = serde_json::json!({"mcpServers": {"broken": {"command": broken}}});
    fs::write(&client, servers.to_string()).unwrap();
    let options = ["--json", "--quiet", "--mcp-config", client.to_str().unwrap()];
    let output = place.command(&options).env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    let found = report["discovered"]["servers"].as_array().unwrap();
    let files = found.iter().find(|server| server["agent"] == "files").unwrap();
    assert_eq!((&files["version"], &files["tools"]), (&"7".into(), &1.into()));
    assert!(files["answer"].as_str().unwrap().contains("about "), "{files}");
    let mcp = agent(&report, "mcp");
    assert_eq!((&mcp["failed"], &mcp["answered"]), (&0.into(), &20.into()), "{mcp}");
    let missing = report["discovered"]["missing"].to_string();
    assert!(missing.contains("broken") && missing.contains("no licence"), "{missing}");
}

#[test]
fn without_git_and_python_the_others_go_on() {
    let place = place();
    place.write("a.rs", "fn a() {\n}\n");
    let nothing = tempfile::tempdir().unwrap();
    let output =
        place.command(&["--json", "--quiet"]).env("PATH", nothing.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report = json(&output);
    let why = |name: &str| agent(&report, name)["missing"].as_str().unwrap_or_default().to_owned();
    assert!(why("reviewer").contains("python3") && why("reviewer").contains("PATH"), "{report:#}");
    assert!(why("history").contains("git cannot be run"), "{report:#}");
    for name in ["secrets", "measure"] {
        assert_eq!((agent(&report, name)["calls"].as_u64(), why(name)), (Some(1), String::new()));
    }
}

#[test]
fn what_cannot_be_done_has_an_exit_code_and_a_reason() {
    let place = place();
    let complaint = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let output = place.run(&["--timeout", "0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("more than 0"), "{output:?}");

    let missing = place.tree.join("missing");
    let mut command = Command::new(program());
    let output = command.arg(&missing).arg("--data-dir").arg(&place.state).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("missing"), "{output:?}");

    let _owner = DataDir::open(&place.state).unwrap();
    let output = place.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("in use"), "{output:?}");
    assert!(output.stdout.is_empty());
}

/// A run that goes on until it is interrupted: its `python3` takes tasks and does not answer.
fn stuck(place: &Place, timeout: &str, options: &[&str]) -> std::process::Child {
    for n in 0..100 {
        place.write(&format!("{n}"), "x\n");
    }
    let bin = place.state.with_file_name("bin");
    fs::create_dir(&bin).unwrap();
    let (python, taken) = (bin.join("python3"), place.state.with_file_name("taken"));
    let script = format!(
        "#!/bin/sh\necho '{{\"v\":1,\"type\":\"ready\"}}'\nread line && : > '{}'\n\
         while read line; do case $line in *'\"stop\"'*) exit;; esac; done\n",
        taken.display()
    );
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = place.command(&["--quiet", "--concurrency", "1", "--timeout", timeout]);
    command.args(options);
    let child =
        command.env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !taken.exists() {
        assert!(Instant::now() < end, "the task never came");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn interrupt(child: &std::process::Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn an_interruption_drains_and_reports() {
    let place = place();
    let child = stuck(&place, "0.5", &["--json"]);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let report = json(&output);
    assert_eq!(report["interrupted"], true);
    // The call that was under way came to its end, others were not begun.
    let reviewer = agent(&report, "reviewer");
    assert!((1..50).contains(&reviewer["calls"].as_u64().unwrap()), "{reviewer}");
    assert_eq!(reviewer["calls"], reviewer["failed"]);
    // And the report says which.
    let found = report["met"]["files"].as_u64().unwrap();
    let unvisited = report["met"]["unvisited"]["files"].as_u64().unwrap_or(0);
    assert_eq!(found + unvisited, 100, "{report:#}");
    for row in report["agents"].as_array().unwrap() {
        let count = |of: &str| row[of].as_u64().unwrap();
        let wanted = if row["agent"] == "spare" { 0 } else { found };
        assert_eq!(count("answered") + count("dropped"), wanted, "{row}");
    }
    assert!(reviewer["dropped"].as_u64().unwrap() > 50, "{reviewer}");
}

#[test]
fn an_interrupted_report_says_what_was_left_undone() {
    let place = place();
    let child = stuck(&place, "0.5", &[]);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let undone = text.split("Left undone\n").nth(1).unwrap_or_else(|| panic!("{text}"));
    let reviewer = undone.lines().find(|line| line.starts_with("  reviewer")).unwrap();
    assert!(
        reviewer.contains(" of ") && reviewer.ends_with("files were not given to it"),
        "{text}"
    );
}

#[test]
fn the_work_of_one_agent_is_shared_by_processes() {
    let place = place();
    for n in 0..20 {
        place.write(&format!("{n}.py"), "def f(x=[]):\n    pass\n");
    }
    let report = json(&place.run(&["--json", "--quiet", "--reviewers", "3"]));
    let reviewer = agent(&report, "reviewer");
    assert_eq!(reviewer["processes"], 3, "{reviewer}");
    assert_eq!((&reviewer["calls"], &reviewer["failed"]), (&20.into(), &0.into()), "{reviewer}");
    assert_eq!(report["findings"]["review"]["mutable-default"], 20);
    let rows = report["agents"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["agent"].as_str().unwrap().starts_with("reviewer"));
    assert_eq!(rows.count(), 1, "one row for all of them");
    let text = place.run(&["--quiet", "--reviewers", "3"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("3 processes (slowest)"), "{text}");
}

#[test]
fn a_second_interruption_ends_it_at_once() {
    let place = place();
    let mut child = stuck(&place, "1000000", &[]);
    let end = Instant::now() + Duration::from_secs(60);
    // Two signals that come together are one: until it has ended, once more.
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "it goes on and on");
        interrupt(&child);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130));
}
