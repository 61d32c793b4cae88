//! Which template is right for what is wanted, and why: [`choose`].
//!
//! First what must hold: exclusions, the skill, labels, parameters, what has to be installed, memory and
//! processors, the number of agents, the ceilings of cost and latency. A template that fails any of it is refused,
//! with every reason there is. Of the others that one is chosen whose expected utility is highest:
//!
//! ```text
//! utility = success × p  −  cost × c  −  latency × l
//! ```
//!
//! with the weights of [`Weights`](super::Weights); `p` is the probability that an agent is made and a call of it succeeds
//! ([`TemplateFigures`]), `c` what a call costs as a share of the ceiling, or, without one, of the most expensive
//! template that is possible, and `l` the same of its latency. What is not known counts as the ceiling, or as much
//! as the most expensive: a figure that is known goes before one that is not. Of equals the first by name is chosen.

use std::collections::BTreeSet;

use serde::Serialize;

use super::figures::TemplateFigures;
use super::template::{Template, TemplateKind};
use super::want::{Surroundings, Want};

/// What was chosen, and what is to be said of every template.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TemplateChoice {
    /// The template that is right; `None` where none is.
    pub template: Option<String>,
    /// Why, in a line.
    pub why: String,
    /// Every template: the one that was chosen first, then those that are possible from the best to the worst,
    /// then those that are refused, by name.
    pub considered: Vec<Considered>,
}

/// A template that was considered.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Considered {
    /// Its name.
    pub template: String,
    /// What became of it.
    pub verdict: TemplateVerdict,
    /// Its expected utility, unless it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The probability of success that it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<f64>,
    /// What a call is expected to cost; `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// How long a call is expected to take, in milliseconds; `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Why it is refused, or has failed: all that speaks against it.
    pub reasons: Vec<Reason>,
}

/// What became of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TemplateVerdict {
    /// It is the best.
    Chosen,
    /// It would do.
    Possible,
    /// It was the best, and made no agent.
    Failed,
    /// It will not do.
    Refused,
}

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Reason {
    /// What kind of reason it is.
    pub code: ReasonCode,
    /// In words.
    pub why: String,
    /// What can be done about it.
    pub advice: String,
}

/// The kinds of reasons to refuse a template, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReasonCode {
    /// Whoever wants an agent excludes it.
    Excluded,
    /// It does not have the skill.
    Skill,
    /// It lacks a label.
    Label,
    /// A parameter is unknown, missing, or not as its schema says.
    Parameter,
    /// A feature of this build is missing.
    Feature,
    /// The host has no factory of this name.
    Factory,
    /// A program is missing.
    Executable,
    /// An environment variable is not set.
    Environment,
    /// A file is missing.
    File,
    /// There is not enough memory.
    Memory,
    /// There are not enough processors.
    Cpus,
    /// There are as many of its agents as there may be.
    Most,
    /// A call costs too much.
    Cost,
    /// A call takes too long.
    Latency,
    /// It was tried, and made no agent.
    Failed,
}

/// Chooses a template. What it is told is all that it knows: the same leads to the same choice.
pub fn choose<'t>(
    templates: impl IntoIterator<Item = (&'t Template, TemplateFigures)>,
    surroundings: &Surroundings,
    want: &Want,
) -> TemplateChoice {
    let mut possible = Vec::new();
    let mut refused = Vec::new();
    for (template, figures) in templates {
        let cost = figures.known_cost().or(template.cost);
        let latency = figures.known_latency().or(template.latency_ms);
        let reasons = against(template, &figures, surroundings, want, cost, latency);
        let considered = Considered {
            template: template.name.clone(),
            verdict: TemplateVerdict::Refused,
            score: None,
            success: None,
            cost,
            latency_ms: latency,
            reasons,
        };
        if considered.reasons.is_empty() {
            possible.push(Considered { success: Some(figures.success()), ..considered });
        } else {
            refused.push(considered);
        }
    }
    let weights = want.weights.unwrap_or_default();
    let costs = Scale::of(want.max_cost, possible.iter().map(|it| it.cost));
    let latencies = Scale::of(want.max_latency_ms, possible.iter().map(|it| it.latency_ms));
    for it in &mut possible {
        let utility = weights.success * it.success.unwrap_or(0.0)
            - weights.cost * costs.share(it.cost)
            - weights.latency * latencies.share(it.latency_ms);
        it.score = Some(utility);
        it.verdict = TemplateVerdict::Possible;
    }
    // What differs by less than a billionth differs by the rounding of its sum.
    let score = |it: &Considered| (it.score.unwrap_or(f64::NEG_INFINITY) * 1e9).round();
    possible
        .sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| a.template.cmp(&b.template)));
    refused.sort_by(|a, b| a.template.cmp(&b.template));
    let why = why(&possible, refused.len(), want);
    if let Some(best) = possible.first_mut() {
        best.verdict = TemplateVerdict::Chosen;
    }
    let template = possible.first().map(|best| best.template.clone());
    possible.append(&mut refused);
    TemplateChoice { template, why, considered: possible }
}

/// What a figure is a share of.
struct Scale(f64);

impl Scale {
    fn of(ceiling: Option<f64>, figures: impl Iterator<Item = Option<f64>>) -> Self {
        Self(ceiling.unwrap_or_else(|| figures.flatten().fold(0.0, f64::max)))
    }

    fn share(&self, figure: Option<f64>) -> f64 {
        match figure {
            _ if self.0 <= 0.0 => 0.0,
            Some(figure) => figure / self.0,
            None => 1.0,
        }
    }
}

fn why(possible: &[Considered], refused: usize, want: &Want) -> String {
    let [best, others @ ..] = possible else {
        return match refused {
            0 => "there is no template at all".to_owned(),
            n => format!("none of {n} templates will do for the skill {:?}", want.skill),
        };
    };
    let of = |it: &Considered| {
        let known = |figure: Option<f64>, unit: &str| {
            figure.map_or_else(|| "unknown".to_owned(), |figure| format!("{figure}{unit}"))
        };
        format!(
            "utility {:.3}: success {:.2}, cost {}, latency {}",
            it.score.unwrap_or_default(),
            it.success.unwrap_or_default(),
            known(it.cost, ""),
            known(it.latency_ms, " ms"),
        )
    };
    match others.first() {
        None => format!("{:?} is the only one that will do ({})", best.template, of(best)),
        Some(next) => format!(
            "{:?} is the best of {} that will do ({}); next is {:?} ({})",
            best.template,
            possible.len(),
            of(best),
            next.template,
            of(next)
        ),
    }
}

/// Everything that speaks against a template.
fn against(
    template: &Template,
    figures: &TemplateFigures,
    surroundings: &Surroundings,
    want: &Want,
    cost: Option<f64>,
    latency: Option<f64>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut say = |code, why: String, advice: &str| {
        reasons.push(Reason { code, why, advice: advice.to_owned() });
    };
    if want.exclude.contains(&template.name) {
        say(ReasonCode::Excluded, "it is excluded".to_owned(), "take it out of the exclusions");
    }
    if !template.skills.contains(&want.skill) {
        let why = format!("it has {}, not {:?}", template.skills.join(", "), want.skill);
        say(ReasonCode::Skill, why, "add a template that has the skill");
    }
    for (key, value) in &want.labels {
        let why = match template.labels.get(key) {
            Some(own) if own == value => continue,
            Some(own) => format!("its label {key} is {own:?}, not {value:?}"),
            None => format!("it has no label {key}, and {value:?} is wanted"),
        };
        say(ReasonCode::Label, why, "ask for other labels, or give the template this one");
    }
    if let Err(wrong) = template.values(&want.parameters) {
        for (_, why) in wrong {
            say(ReasonCode::Parameter, why, "give the parameters that the template has");
        }
    }
    installed(template, surroundings, &mut say);
    if let (Some(needed), Some(free)) = (template.needs.memory, surroundings.memory)
        && needed > free
    {
        let why = format!("it needs {needed} bytes of memory, and {free} are free");
        say(ReasonCode::Memory, why, "free some memory, or take what needs less");
    }
    if let (Some(needed), Some(free)) = (template.needs.cpus, surroundings.cpus)
        && needed > free
    {
        let why = format!("it needs {needed} processors, and {free:.2} have nothing to do");
        say(ReasonCode::Cpus, why, "wait until the machine has less to do");
    }
    if let Some(most) = template.most
        && figures.living >= most
    {
        let why = format!("there are {} of its agents, and may be {most}", figures.living);
        say(ReasonCode::Most, why, "remove one of them, or allow for more");
    }
    if let (Some(most), Some(cost)) = (want.max_cost, cost)
        && cost > most
    {
        let known = whence(figures.known_cost());
        say(
            ReasonCode::Cost,
            format!("a call costs {cost} ({known}), and may cost {most}"),
            "allow for more",
        );
    }
    if let (Some(most), Some(ms)) = (want.max_latency_ms, latency)
        && ms > most
    {
        let known = whence(figures.known_latency());
        let why = format!("a call takes {ms} ms ({known}), and may take {most} ms");
        say(ReasonCode::Latency, why, "allow for more time");
    }
    reasons
}

fn whence(observed: Option<f64>) -> &'static str {
    if observed.is_some() { "as seen" } else { "as the template says" }
}

/// What of a template's requirements is not there.
fn installed(
    template: &Template,
    there: &Surroundings,
    say: &mut impl FnMut(ReasonCode, String, &str),
) {
    let wanted = &template.requires;
    let features = wanted.features.iter().map(String::as_str).chain(template.make.feature());
    let mut seen = BTreeSet::new();
    for feature in features.filter(|feature| !there.features.contains(*feature)) {
        if seen.insert(feature) {
            let why = format!("this build is without the feature {feature:?}");
            say(ReasonCode::Feature, why, "build the library with it");
        }
    }
    if let TemplateKind::Factory(name) = &template.make
        && !there.factories.contains(name)
    {
        let why = format!("the host has no factory {name:?}");
        say(ReasonCode::Factory, why, "register it before an agent is wanted");
    }
    let programs = wanted.executables.iter().map(String::as_str).chain(template.make.program());
    for program in programs.filter(|program| !there.executables.contains(*program)) {
        if seen.insert(program) {
            let why = format!("the program {program:?} is not there");
            say(ReasonCode::Executable, why, "install it, or add its directory to PATH");
        }
    }
    for name in wanted.env.iter().filter(|name| !there.env.contains(*name)) {
        let why = format!("the environment variable {name} is not set");
        say(ReasonCode::Environment, why, "set it before the program starts");
    }
    for path in wanted.files.iter().filter(|path| !there.files.contains(*path)) {
        let why = format!("there is no {}", path.display());
        say(ReasonCode::File, why, "put it there");
    }
}

#[cfg(test)]
mod tests;
