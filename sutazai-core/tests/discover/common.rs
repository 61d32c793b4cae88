//! What the tests share.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sutazai_core::agent::discover::{DiscoveryPolicy, ItemState, Look, SourceSpec};
use sutazai_core::event::Subscription;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::Task;

pub const LONG: Duration = Duration::from_secs(30);

/// A kernel that runs.
pub fn kernel() -> Kernel {
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    kernel
}

/// Looked at when somebody asks only, and with little patience for what is being written.
pub fn asked() -> DiscoveryPolicy {
    let hour = Duration::from_secs(3600);
    DiscoveryPolicy::default().every(hour).settle(Duration::from_millis(20)).grace(LONG)
}

pub fn source(spec: Value) -> SourceSpec {
    serde_json::from_value(spec).unwrap()
}

/// Looks at the only source.
pub fn look(kernel: &Kernel) -> Look {
    let mut looks = kernel.discover(None).unwrap();
    assert_eq!(looks.len(), 1);
    looks.remove(0)
}

/// What the look gave: added, changed, removed, unreachable, back.
pub fn gave(look: &Look) -> Value {
    json!([look.added, look.changed, look.removed, look.unreachable, look.back])
}

/// The messages of what failed, by item.
pub fn failed(look: &Look) -> Vec<(String, String)> {
    let of = |view: &sutazai_core::agent::discover::FoundView| {
        (view.item.to_string(), view.error.as_ref().unwrap().to_string())
    };
    look.failed.iter().map(of).collect()
}

pub fn state(kernel: &Kernel, item: &str) -> Option<ItemState> {
    let sources = kernel.sources();
    sources[0].items.iter().find(|view| &*view.item == item).map(|view| view.state)
}

pub fn call(kernel: &Kernel, agent: &str, skill: &str) -> Value {
    let mut ticket = kernel.call(Task::new(skill, "x").to_agent(agent));
    let answer = ticket.wait_timeout(LONG).expect("an answer").unwrap();
    (*answer.output.value().unwrap()).clone()
}

pub fn names(kernel: &Kernel) -> Vec<String> {
    kernel.agents().iter().map(|agent| agent.card.name.to_string()).collect()
}

pub fn write(path: impl AsRef<Path>, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Writes a program, in Python, and allows it to be run.
pub fn program(directory: &Path, name: &str, body: &str) -> PathBuf {
    let path = directory.join(name);
    // Put there whole: a file that is open for writing cannot be run.
    let draft = directory.join(format!(".{name}"));
    write(&draft, &format!("#!/usr/bin/env python3\n{body}"));
    mode(&draft, 0o755);
    std::fs::rename(draft, &path).unwrap();
    path
}

pub fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A program that says who it is and answers with its version.
pub fn worker(name: &str, version: &str, skill: &str) -> String {
    format!(
        "import json, sys\n\
         def say(**m): print(json.dumps({{'v': 1, **m}}), flush=True)\n\
         say(type='ready')\n\
         for line in sys.stdin:\n\
         \x20   m = json.loads(line)\n\
         \x20   if m['type'] == 'describe':\n\
         \x20       say(type='card', card={{'name': '{name}', 'version': '{version}', 'skills': ['{skill}']}})\n\
         \x20   elif m['type'] == 'task': say(type='result', id=m['id'], output='{version}')\n\
         \x20   elif m['type'] == 'stop': break\n"
    )
}

pub fn subscribe(kernel: &Kernel, pattern: &str) -> Subscription {
    kernel.bus().subscribe(pattern).pull().unwrap()
}

/// The payloads of the events that have come.
pub fn events(subscription: &mut Subscription) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some(event) = subscription.try_next().unwrap() {
        events.push((*event.event.payload.value().unwrap()).clone());
    }
    events
}
