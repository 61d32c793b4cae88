//! Agents that are made when they are wanted: templates, the choice among them, and pools.
//!
//! A [`Template`] says how agents of one kind are made, what they can do, what they need and what they are
//! expected to take. [`choose`] picks one for what is [wanted](Want) and explains it. A kernel makes the agent,
//! probes it, and registers it when it answers rightly ([`Kernel::create_agent`]).
//!
//! ```
//! use serde_json::json;
//! use sutazai_core::agent::create::{Surroundings, Template, TemplateKind, Want, choose};
//!
//! let kind = |model: &str| TemplateKind::Openai(json!({"base_url": "http://127.0.0.1:8080/v1", "model": model}));
//! let small = Template::new("small", ["write"], kind("small")).cost(0.001).latency_ms(400.0);
//! let large = Template::new("large", ["write"], kind("large")).cost(0.02).latency_ms(3_000.0);
//! let mut there = Surroundings::default();
//! there.features.insert("openai".to_owned());
//!
//! let templates = [&small, &large].map(|template| (template, Default::default()));
//! let choice = choose(templates, &there, &Want::new("write"));
//! assert_eq!(choice.template.as_deref(), Some("small"));
//! assert!(choice.why.starts_with("\"small\" is the best of 2 that will do"));
//! ```
//!
//! **Invariants.** What is chosen follows from what is told alone: nothing here looks at the machine or the clock.
//! Every template that is not chosen has its reasons.
//!
//! [`Kernel::create_agent`]: crate::kernel::Kernel::create_agent

mod choose;
mod figures;
mod fill;
mod hide;
mod made;
mod pool;
mod template;
mod templates;
mod want;

pub use choose::{Considered, Reason, ReasonCode, TemplateChoice, TemplateVerdict, choose};
pub use figures::{HALF_LIFE, TemplateFigures};
pub use pool::{Pool, PoolChange, PoolLoad, PoolPolicy};
pub use template::{Needs, Parameter, Requirements, Template, TemplateKind};
pub(crate) use templates::Named;
pub use templates::{Kept, MakeAgent, Origin, TemplateView, Templates};
pub use want::{Surroundings, Want, Weights};
