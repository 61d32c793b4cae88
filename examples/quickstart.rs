//! The quick start: a kernel, an agent, a call, an event. `cargo run --example quickstart`.

use std::time::Duration;

use sutazai_core::agent;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, Task};

fn main() -> sutazai_core::Result<()> {
    let kernel = Kernel::builder().build()?;
    kernel.start()?;

    // Whatever happens to agents is an event; hear of it from here on.
    let mut events = kernel.bus().subscribe("agent.*").pull()?;

    // Any function is an agent. What it returns is the answer, and an error is the caller's error.
    kernel.add_agent(agent::from_fn(AgentCard::new("shout", ["shout"]), |task: &Task| {
        Ok(task.input().to::<String>()?.to_uppercase())
    }))?;

    let mut ticket = kernel.call(Task::new("shout", "hello"));
    println!("{}", ticket.wait()?.output); // "HELLO"; or: ticket.await

    // What goes wrong is an error with a stable code and what to do about it.
    let error = kernel.call(Task::new("shuot", "hello")).wait().err();
    println!("{}", error.map(|e| e.to_string()).unwrap_or_default());

    if let Some(delivery) = events.wait(Duration::from_secs(1))? {
        println!("{} {}", delivery.event.subject, delivery.event.payload);
    }
    kernel.stop(Duration::from_secs(5))
}
