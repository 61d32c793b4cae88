//! Agents that are found: a directory in which a file declares one. `cargo run --example discovery`.

use std::time::Duration;

use sutazai_core::agent::discover::{DiscoveryPolicy, SourceSpec};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::Task;
use sutazai_core::{Code, Error};

/// What a file says: a program that speaks JSON lines, and who it is.
const DECLARED: &str = r#"
[card]
name = "counter"
version = "1"
skills = ["count"]

# The task by which it shows that it can do what its card says.
[card.about.count]
probe = { input = "ab", equals = 2 }

[process]
command = ["python3", "-c", """
import json, sys
def say(**message): print(json.dumps({"v": 1, **message}), flush=True)
say(type="ready")
for line in sys.stdin:
    task = json.loads(line)
    if task["type"] == "task": say(type="result", id=task["id"], output=len(task["input"]))
    elif task["type"] == "stop": break
"""]
"#;

fn main() -> sutazai_core::Result<()> {
    let io = |error| Error::new(Code::IO, "the example's directory").because(error);
    let directory = std::env::temp_dir().join(format!("sutazai-found-{}", std::process::id()));
    std::fs::create_dir(&directory).map_err(io)?;

    let kernel = Kernel::builder().build()?;
    kernel.start()?;
    let mut events = kernel.bus().subscribe("agent.*").pull()?;
    let spec = serde_json::json!({"directory": {"path": directory}});
    let spec: SourceSpec = serde_json::from_value(spec)
        .map_err(|error| Error::new(Code::INVALID, "not a source").because(error))?;
    // Every two seconds unless told otherwise; here only when asked, so that it shows the same each time.
    let policy = DiscoveryPolicy::default().every(Duration::from_secs(3600));
    kernel.add_source_of("local", spec, policy)?;
    kernel.discover(Some("local"))?;

    let file = directory.join("counter.toml");
    std::fs::write(&file, DECLARED).map_err(io)?;
    println!("found: {:?}", kernel.discover(Some("local"))?[0].added);
    println!("count: {}", kernel.call(Task::new("count", "hello")).wait()?.output);

    // One that says it can do what it cannot does not take over.
    std::fs::write(&file, DECLARED.replace("len(", "repr(")).map_err(io)?;
    for found in &kernel.discover(Some("local"))?[0].failed {
        let lies = found.error.as_ref().is_some_and(|error| error.code() == Code::AGENT_LIES);
        println!("{} lies: {lies}", found.item);
    }
    println!("count: {}", kernel.call(Task::new("count", "hello")).wait()?.output);

    std::fs::remove_file(&file).map_err(io)?;
    println!("gone: {:?}", kernel.discover(Some("local"))?[0].removed);
    while let Some(delivery) = events.try_next()? {
        println!("event: {}", delivery.event.subject);
    }
    kernel.stop(Duration::from_secs(5))?;
    std::fs::remove_dir(&directory).map_err(io)
}
