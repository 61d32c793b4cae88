//! How one card differs from another.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::port::AgentCard;

/// How a card differs from the one before it.
///
/// ```
/// use sutazai_core::agent::discover::CardChange;
/// use sutazai_core::port::AgentCard;
///
/// let before = AgentCard::new("reader", ["read", "count"]).version("1");
/// let after = AgentCard::new("reader", ["read", "index"]).version("2");
/// let change = CardChange::between(&before, &after).unwrap();
/// assert_eq!((change.skills_added, change.skills_removed), (vec!["index".into()], vec!["count".into()]));
/// assert_eq!(change.version.unwrap().after, "2");
/// assert!(CardChange::between(&before, &before).is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct CardChange {
    /// The versions, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionChange>,
    /// Skills that it has and the one before had not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills_added: Vec<String>,
    /// Skills that the one before had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills_removed: Vec<String>,
    /// Skills of both that it says something else of: what they are for, what goes in and comes out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills_changed: Vec<String>,
    /// Other fields that differ, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<&'static str>,
}

/// One version after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct VersionChange {
    /// The one before.
    pub before: String,
    /// The one after it.
    pub after: String,
}

impl CardChange {
    /// How `after` differs from `before`; `None` when they say the same.
    pub fn between(before: &AgentCard, after: &AgentCard) -> Option<Self> {
        if before == after {
            return None;
        }
        let (old, new) = (skills(before), skills(after));
        let only = |one: &BTreeSet<&str>, other: &BTreeSet<&str>| {
            one.difference(other).map(|skill| (*skill).to_owned()).collect()
        };
        let changed = |skill: &&&str| before.about.get(**skill) != after.about.get(**skill);
        let differ = [
            ("name", before.name != after.name),
            ("description", before.description != after.description),
            ("run", before.run != after.run),
            ("concurrency", before.concurrency != after.concurrency),
            ("timeout_ms", before.timeout_ms != after.timeout_ms),
            ("labels", before.labels != after.labels),
            ("cost", before.cost != after.cost),
        ];
        Some(Self {
            version: (before.version != after.version).then(|| VersionChange {
                before: before.version.clone(),
                after: after.version.clone(),
            }),
            skills_added: only(&new, &old),
            skills_removed: only(&old, &new),
            skills_changed: old
                .intersection(&new)
                .filter(changed)
                .map(|skill| (*skill).to_owned())
                .collect(),
            fields: differ
                .into_iter()
                .filter_map(|(name, differs)| differs.then_some(name))
                .collect(),
        })
    }
}

fn skills(card: &AgentCard) -> BTreeSet<&str> {
    card.skills.iter().map(String::as_str).collect()
}
