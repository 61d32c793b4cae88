//! Agents that are made when they are wanted: templates, the choice among them, probes, and a pool.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};
use sutazai_core::Result;
use sutazai_core::agent::create::{PoolPolicy, Template, TemplateKind, Want};
use sutazai_core::agent::from_fn;
use sutazai_core::kernel::{CreateOptions, Kernel};
use sutazai_core::port::{Agent, AgentCard, AgentOrder, SkillCard, SkillProbe, Task};

/// A template whose agents a factory makes, which must know how long a kilometre is.
fn template(name: &str, cost: f64) -> Template {
    let probe = SkillProbe::new(json!([1, "km"])).equals(json!(1000)).within_ms(1_000);
    Template::new(name, ["to_metres"], TemplateKind::Factory(name.into()))
        .about("to_metres", SkillCard::new("converts a length").probe(probe))
        .cost(cost)
}

fn main() -> Result<()> {
    let kernel = Kernel::builder().build()?;
    kernel.start()?;
    kernel.add_agent_factory("guesser", |order: &AgentOrder| -> Result<Arc<dyn Agent>> {
        let card = AgentCard::new(&order.name, &order.skills);
        Ok(Arc::new(from_fn(card, |task: &Task| Ok(task.input().to::<(i64, String)>()?.0 * 900))))
    })?;
    kernel.add_agent_factory("table", |order: &AgentOrder| -> Result<Arc<dyn Agent>> {
        let mile = order.parameters["mile"].as_i64().unwrap_or_default();
        let card = AgentCard::new(&order.name, &order.skills);
        Ok(Arc::new(from_fn(card, move |task: &Task| {
            let (length, unit) = task.input().to::<(i64, String)>()?;
            Ok(length * if unit == "km" { 1000 } else { mile })
        })))
    })?;
    kernel.add_template(template("server", 0.0).needs_executable("units-server"), false)?;
    kernel.add_template(template("guesser", 0.001), false)?;
    let mile = json!({"type": "integer", "minimum": 1609});
    kernel
        .add_template(template("table", 0.01).parameter("mile", mile, Some(json!(1609))), false)?;

    let want = Want::new("to_metres").max_cost(0.1).parameter("mile", 1852);
    for it in kernel.explain_creation(&want, None)?.considered {
        let reasons: Vec<_> = it.reasons.iter().map(|reason| reason.why.as_str()).collect();
        println!("explained: {} {:?} {}", it.template, it.verdict, reasons.join("; "));
    }
    let created = kernel.create_agent(Want::new("to_metres"), CreateOptions::default()).wait()?;
    for it in &created.failed {
        println!("tried: {} {}", it.template, it.error.message());
    }
    println!("created: {} for {:?}", created.agent, created.choice.map(|choice| choice.template));
    let outcome = kernel.call(Task::new("to_metres", json!([2, "mile"]))).wait()?;
    println!("answer: {}", outcome.output);

    let refused = kernel.create_agent(want.label("place", "here"), CreateOptions::default()).wait();
    if let Err(error) = refused {
        println!("not made: {} for {} reasons", error.code(), error.problems().len() - 1);
    }

    kernel.add_pool("tables", "table", Map::new(), PoolPolicy::between(2, 4))?;
    while kernel.pools().iter().any(|pool| pool.agents.len() < 2) {
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("pool: {:?}", kernel.pools()[0].agents);
    kernel.stop(Duration::from_secs(5))
}
