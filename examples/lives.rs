//! An agent with several lives: a process that dies, and is made anew while calls wait. `cargo run --example lives`.

use std::sync::Arc;
use std::time::Duration;

use sutazai_core::Code;
use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
use sutazai_core::kernel::{Kernel, Supervision};
use sutazai_core::port::{AgentCard, Task};

/// Counts its calls, and dies of one that it does not understand.
const COUNTER: &str = r#"
import json, sys
def say(**message): print(json.dumps({"v": 1, **message}), flush=True)
say(type="ready")
calls = 0
for line in sys.stdin:
    task = json.loads(line)
    if task["type"] == "stop": break
    if task["type"] == "task":
        if task["input"] == "riddle": sys.exit("I do not understand")
        calls += 1
        say(type="result", id=task["id"], output=calls)
"#;

fn main() -> sutazai_core::Result<()> {
    let kernel = Kernel::builder().build()?;
    kernel.start()?;
    let mut states = kernel.bus().subscribe("agent.state").pull()?;

    let make = || {
        let card = AgentCard::new("counter", ["count"]);
        let spec = ProcessSpec::new("python3").args(["-c", COUNTER]);
        Ok(Arc::new(ProcessAgent::new(card, spec)) as _)
    };
    // Three times in a minute; with one more it has failed, and takes nobody else with it.
    let spec = Supervision::default().intensity(3, Duration::from_secs(60));
    kernel.supervise_agent(spec, Arc::new(make))?;
    let count = |input: &str| kernel.call(Task::new("count", input)).wait();
    println!("first life: {} {}", count("a")?.output, count("b")?.output);

    let error = match count("riddle") {
        Ok(outcome) => {
            return Err(sutazai_core::Error::new(Code::INTERNAL, outcome.output.to_string()));
        }
        Err(error) => error,
    };
    println!("it died: {} ({:?})", error.code(), error.class());
    // Between two lives a call waits for the next.
    println!("second life: {}", count("c")?.output);
    println!("restarts: {}", kernel.agent("counter").map_or(0, |view| view.restarts));

    while let Some(delivery) = states.try_next()? {
        let change = delivery.event.payload.value()?;
        println!("{} → {}: {}", change["from"], change["to"], change["why"]);
    }
    kernel.stop(Duration::from_secs(5))
}
