//! Contexts, and which template is right in each. A row says what differs from a world in which all is there, and
//! what is right then: the templates in their order, the chosen one first, and behind each that is refused, in
//! brackets, the codes of all that speaks against it.

use serde_json::json;

use super::*;
use crate::agent::create::Weights;

/// A world of four ways to get a translation: a model on this machine, a small and a large one behind a URL, and a
/// function of the host's. The machine has all that they need, and nothing is known of how they do.
struct World {
    templates: Vec<(Template, TemplateFigures)>,
    there: Surroundings,
    want: Want,
}

const GIB: u64 = 1 << 30;

fn world() -> World {
    let process = json!({"command": ["translate-server", "--model={model}"]});
    let model = |name: &str| {
        TemplateKind::Openai(json!({"base_url": "https://models.example/v1", "model": name}))
    };
    let local = Template::new("local", ["translate"], TemplateKind::Process(process))
        .parameter("model", json!({"enum": ["s", "m"]}), Some(json!("s")))
        .memory(4 * GIB)
        .cpus(2.0)
        .cost(0.0)
        .latency_ms(700.0)
        .label("place", "here")
        .most(2);
    let small = Template::new("small", ["translate", "summarise"], model("small"))
        .needs_env("MODELS_KEY")
        .cost(0.002)
        .latency_ms(600.0)
        .label("place", "cloud")
        .label("tier", "basic");
    let large = Template::new("large", ["translate", "summarise"], model("large"))
        .needs_env("MODELS_KEY")
        .parameter("effort", json!({"type": "integer", "minimum": 1, "maximum": 3}), Some(json!(2)))
        .cost(0.04)
        .latency_ms(4_000.0)
        .label("place", "cloud")
        .label("tier", "best");
    let mut table = Template::new("table", ["look_up"], TemplateKind::Factory("table".into()))
        .cost(0.0)
        .latency_ms(1.0);
    table.requires.files = vec!["/data/words.tsv".into()];
    let mut there =
        Surroundings { memory: Some(16 * GIB), cpus: Some(6.0), ..Surroundings::default() };
    there.executables.insert("translate-server".into());
    there.env.insert("MODELS_KEY".into());
    there.files.insert("/data/words.tsv".into());
    there.features.insert("openai".into());
    there.factories.insert("table".into());
    let templates = [local, small, large, table].map(|it| (it, TemplateFigures::default()));
    World { templates: templates.into(), there, want: Want::new("translate") }
}

impl World {
    fn figures(&mut self, template: &str) -> &mut TemplateFigures {
        &mut self.templates.iter_mut().find(|(it, _)| it.name == template).unwrap().1
    }

    fn template(&mut self, template: &str) -> &mut Template {
        &mut self.templates.iter_mut().find(|(it, _)| it.name == template).unwrap().0
    }

    fn choice(&self) -> TemplateChoice {
        let templates = self.templates.iter().map(|(template, figures)| (template, *figures));
        choose(templates, &self.there, &self.want)
    }

    /// The outcome in short: `local < small large table[skill]` is the order, and what speaks against whom.
    fn told(&self) -> String {
        let choice = self.choice();
        let code = |reason: &Reason| {
            serde_json::to_value(reason.code).unwrap().as_str().unwrap().to_owned()
        };
        let shown = choice.considered.iter().map(|it| {
            assert_eq!(it.verdict == TemplateVerdict::Refused, !it.reasons.is_empty());
            assert_eq!(it.score.is_some(), it.reasons.is_empty());
            let codes: Vec<String> = it.reasons.iter().map(code).collect();
            match codes.is_empty() {
                true => it.template.clone(),
                false => format!("{}[{}]", it.template, codes.join(" ")),
            }
        });
        let shown: Vec<String> = shown.collect();
        let chosen = choice.considered.iter().filter(|it| it.verdict == TemplateVerdict::Chosen);
        assert_eq!(
            chosen.map(|it| &it.template).collect::<Vec<_>>(),
            choice.template.iter().collect::<Vec<_>>()
        );
        match choice.template {
            Some(chosen) => {
                assert_eq!(choice.considered[0].template, chosen);
                assert!(choice.why.starts_with(&format!("{chosen:?} is the ")), "{}", choice.why);
                shown.join(" ")
            }
            None => format!("none: {}", shown.join(" ")),
        }
    }
}

/// What is different in a context, and what is right in it.
type Row = (&'static str, fn(&mut World), &'static str);

fn calls(figures: &mut TemplateFigures, calls: f64, failed: f64) {
    (figures.calls, figures.failed) = (calls, failed);
}

const TABLE: &[Row] = &[
    // What must hold.
    (
        "all is there: what costs nothing and is quick enough",
        |_| {},
        "local small large table[skill]",
    ),
    (
        "another skill: only those that have it, the cheaper and quicker one first",
        |w| w.want = Want::new("summarise"),
        "small large local[skill] table[skill]",
    ),
    (
        "a skill that one has: it, although nothing else is known of it",
        |w| w.want = Want::new("look_up"),
        "table large[skill] local[skill] small[skill]",
    ),
    (
        "a skill that nobody has",
        |w| w.want = Want::new("paint"),
        "none: large[skill] local[skill] small[skill] table[skill]",
    ),
    (
        "the program is not installed",
        |w| w.there.executables.clear(),
        "small large local[executable] table[skill]",
    ),
    (
        "the key is not set: the models are out, and both say the same",
        |w| w.there.env.clear(),
        "local large[environment] small[environment] table[skill]",
    ),
    (
        "a build without the connector, and no key either: both are told",
        |w| {
            w.there.features.clear();
            w.there.env.clear();
        },
        "local large[feature environment] small[feature environment] table[skill]",
    ),
    (
        "the host has not registered the factory, and its file is missing",
        |w| {
            w.want = Want::new("look_up");
            w.there.factories.clear();
            w.there.files.clear();
        },
        "none: large[skill] local[skill] small[skill] table[factory file]",
    ),
    (
        "too little memory for the local model",
        |w| w.there.memory = Some(4 * GIB - 1),
        "small large local[memory] table[skill]",
    ),
    ("just enough memory", |w| w.there.memory = Some(4 * GIB), "local small large table[skill]"),
    (
        "the processors are busy",
        |w| w.there.cpus = Some(1.5),
        "small large local[cpus] table[skill]",
    ),
    (
        "nobody knows how much is free: that holds nothing up",
        |w| (w.there.memory, w.there.cpus) = (None, None),
        "local small large table[skill]",
    ),
    (
        "nothing at all is there: each says all that it lacks",
        |w| w.there = Surroundings { memory: Some(0), cpus: Some(0.0), ..Surroundings::default() },
        "none: large[feature environment] local[executable memory cpus] small[feature environment] table[skill factory file]",
    ),
    (
        "as many local ones as there may be",
        |w| w.figures("local").living = 2,
        "small large local[most] table[skill]",
    ),
    (
        "one fewer than there may be",
        |w| w.figures("local").living = 1,
        "local small large table[skill]",
    ),
    (
        "labels: not off this machine",
        |w| w.want = w.want.clone().label("place", "here"),
        "local large[label] small[label] table[skill label]",
    ),
    (
        "two labels, of which one template has both",
        |w| w.want = w.want.clone().label("place", "cloud").label("tier", "best"),
        "large local[label label] small[label] table[skill label label]",
    ),
    (
        "the obvious one is excluded",
        |w| w.want = w.want.clone().exclude("local"),
        "small large local[excluded] table[skill]",
    ),
    (
        "all that could do it are excluded",
        |w| w.want = w.want.clone().exclude("local").exclude("small").exclude("large"),
        "none: large[excluded] local[excluded] small[excluded] table[skill]",
    ),
    (
        "a parameter that only one template has",
        |w| w.want = w.want.clone().parameter("effort", 3),
        "large local[parameter] small[parameter] table[skill parameter]",
    ),
    (
        "a parameter that is not as its schema says, anywhere",
        |w| w.want = w.want.clone().parameter("effort", 9),
        "none: large[parameter] local[parameter] small[parameter] table[skill parameter]",
    ),
    (
        "a parameter without a default that is not given",
        |w| w.template("local").parameters.get_mut("model").unwrap().default = None,
        "small large local[parameter] table[skill]",
    ),
    // Ceilings.
    (
        "a ceiling of cost, not on this machine: the large one costs too much",
        |w| w.want = w.want.clone().max_cost(0.01).label("place", "cloud"),
        "small large[cost] local[label] table[skill label]",
    ),
    (
        "a ceiling of nothing: only what is free",
        |w| w.want = w.want.clone().max_cost(0.0),
        "local large[cost] small[cost] table[skill]",
    ),
    (
        "exactly as much as it costs is not too much",
        |w| w.want = Want::new("summarise").max_cost(0.002),
        "small large[cost] local[skill] table[skill]",
    ),
    (
        "a ceiling of time: the local one is too slow, and so is the large one",
        |w| w.want = w.want.clone().max_latency_ms(650.0),
        "small large[latency] local[latency] table[skill]",
    ),
    (
        "no time for any of them",
        |w| w.want = w.want.clone().max_latency_ms(10.0),
        "none: large[latency] local[latency] small[latency] table[skill]",
    ),
    (
        "it turned out slower than it says: what was seen holds",
        |w| {
            w.want = w.want.clone().max_latency_ms(1_000.0);
            let local = w.figures("local");
            calls(local, 20.0, 0.0);
            local.latency_ms = Some(1_500.0);
        },
        "small large[latency] local[latency] table[skill]",
    ),
    (
        "and quicker: what it says does not hold it back",
        |w| {
            w.want = w.want.clone().max_latency_ms(1_000.0).label("tier", "best");
            let large = w.figures("large");
            calls(large, 20.0, 0.0);
            large.latency_ms = Some(900.0);
        },
        "large local[label] small[label] table[skill label]",
    ),
    (
        "two slow calls are too few to go by",
        |w| {
            w.want = w.want.clone().max_latency_ms(1_000.0);
            let local = w.figures("local");
            calls(local, 2.0, 0.0);
            local.latency_ms = Some(1_500.0);
        },
        "local small large[latency] table[skill]",
    ),
    (
        "a cost that nobody knows breaks no ceiling, but counts as if it were the ceiling",
        |w| {
            w.want = Want::new("summarise").max_cost(0.01);
            w.template("large").cost = None;
            w.template("large").latency_ms = Some(600.0);
        },
        "small large local[skill] table[skill]",
    ),
    // Success, cost and latency against one another.
    (
        "the free one fails half of the time: the next cheap one is worth its price, and the expensive one is not",
        |w| calls(w.figures("local"), 40.0, 20.0),
        "small local large table[skill]",
    ),
    (
        "a good record of another does not outweigh twice the cost and little time",
        |w| {
            calls(w.figures("local"), 100.0, 2.0);
            calls(w.figures("large"), 100.0, 0.0);
        },
        "local small large table[skill]",
    ),
    (
        "all that is cheap fails: the expensive one that works",
        |w| {
            calls(w.figures("local"), 50.0, 45.0);
            calls(w.figures("small"), 50.0, 45.0);
            calls(w.figures("large"), 50.0, 0.0);
        },
        "large local small table[skill]",
    ),
    (
        "the local one could not be started four times",
        |w| w.figures("local").not_made = 4.0,
        "small local large table[skill]",
    ),
    (
        "those that are equal in what they take: the one with the good record",
        |w| {
            w.want = Want::new("summarise");
            w.template("large").cost = Some(0.002);
            w.template("large").latency_ms = Some(600.0);
            calls(w.figures("large"), 10.0, 0.0);
        },
        "large small local[skill] table[skill]",
    ),
    (
        "those that are equal in everything: the first by name, whoever was added first",
        |w| {
            w.want = Want::new("summarise");
            w.template("large").cost = Some(0.002);
            w.template("large").latency_ms = Some(600.0);
        },
        "large small local[skill] table[skill]",
    ),
    (
        "one that is new goes before one that does badly",
        |w| {
            w.want = Want::new("summarise");
            w.template("large").cost = Some(0.002);
            w.template("large").latency_ms = Some(600.0);
            calls(w.figures("large"), 50.0, 20.0);
        },
        "small large local[skill] table[skill]",
    ),
    (
        "and not before one that does well",
        |w| {
            w.want = Want::new("summarise");
            w.template("large").cost = Some(0.002);
            w.template("large").latency_ms = Some(600.0);
            calls(w.figures("large"), 50.0, 3.0);
        },
        "large small local[skill] table[skill]",
    ),
    // Weights.
    (
        "who only looks at time takes the quicker one",
        |w| w.want = w.want.clone().weights(Weights::new(0.0, 0.0, 1.0)),
        "small local large table[skill]",
    ),
    (
        "who only looks at success takes the one that never failed, whatever it costs",
        |w| {
            w.want = w.want.clone().weights(Weights::new(1.0, 0.0, 0.0));
            calls(w.figures("local"), 100.0, 4.0);
            calls(w.figures("small"), 100.0, 5.0);
            calls(w.figures("large"), 100.0, 0.0);
        },
        "large local small table[skill]",
    ),
];

#[test]
fn in_every_context_the_right_one_is_chosen_and_the_others_say_why_not() {
    assert!(TABLE.len() >= 24);
    let mut wrong = Vec::new();
    for (context, differs, right) in TABLE {
        let mut world = world();
        differs(&mut world);
        let told = world.told();
        if told != *right {
            let scores: Vec<_> =
                world.choice().considered.into_iter().map(|it| (it.template, it.score)).collect();
            wrong.push(format!("{context}:\n  {told}\n  but {right} is right; {scores:?}"));
        }
        // Who was told first does not matter.
        world.templates.reverse();
        assert_eq!(world.told(), told, "{context}, in another order");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_reason_says_what_is_wrong_and_what_to_do() {
    let mut world = world();
    world.there = Surroundings { memory: Some(GIB), ..Surroundings::default() };
    world.want = Want::new("translate").max_cost(0.001).label("tier", "basic");
    let choice = world.choice();
    assert_eq!(choice.why, "none of 4 templates will do for the skill \"translate\"");
    let reasons = |name: &str| -> Vec<(String, String)> {
        let found = choice.considered.iter().find(|it| it.template == name).unwrap();
        found.reasons.iter().map(|it| (it.why.clone(), it.advice.clone())).collect()
    };
    let told: Vec<String> = reasons("local").into_iter().map(|(why, _)| why).collect();
    assert_eq!(
        told,
        [
            "it has no label tier, and \"basic\" is wanted",
            "the program \"translate-server\" is not there",
            "it needs 4294967296 bytes of memory, and 1073741824 are free",
        ]
    );
    let large = reasons("large");
    assert_eq!(
        large.last().unwrap().0,
        "a call costs 0.04 (as the template says), and may cost 0.001"
    );
    assert!(choice.considered.iter().flat_map(|it| &it.reasons).all(|it| !it.advice.is_empty()));
}

#[test]
fn the_best_says_how_it_compares_with_the_next() {
    let choice = world().choice();
    assert_eq!(
        choice.why,
        "\"local\" is the best of 3 that will do (utility 0.673: success 0.72, cost 0, latency 700 ms); \
         next is \"small\" (utility 0.667: success 0.72, cost 0.002, latency 600 ms)"
    );
}

#[test]
fn what_cannot_be_wanted_is_refused() {
    let field = |want: Want| want.check().unwrap_err().context().next().unwrap().1.to_owned();
    assert_eq!(field(Want::new("s").max_cost(-1.0)), "max_cost");
    assert_eq!(field(Want::new("s").max_latency_ms(f64::NAN)), "max_latency_ms");
    assert_eq!(field(Want::new("s").weights(Weights::new(1.0, -0.1, 0.0))), "weights.cost");
    assert!(Want::new("s").check().is_ok());
}
