//! What the agents found, kept within bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sutazai_core::base::payload::Payload;
use sutazai_core::{Error, Result};

use super::history::History;
use super::measure::{Function, Measure};
use super::secrets::Secret;

/// Everything found so far.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Credentials.
    pub secrets: Top<usize, Placed<Secret>>,
    /// Lines of text.
    pub lines: u64,
    /// Text files that are not valid UTF-8.
    pub not_utf8: Top<usize, Arc<str>>,
    /// Functions, by lines.
    pub functions: Top<usize, Placed<Function>>,
    /// Files, by TODOs.
    pub todos: Top<usize, Arc<str>>,
    /// Files, by commits.
    pub hottest: Top<u32, Placed<History>>,
    /// What the review found, by rule.
    pub review: BTreeMap<String, u64>,
    /// What of it is more than style.
    pub defects: Top<u32, Placed<Remark>>,
    /// Failed calls, by agent and error.
    pub failures: BTreeMap<(&'static str, &'static str), Failures>,
}

/// Something, and the file it is in.
#[derive(Debug, Serialize)]
pub struct Placed<T> {
    /// The file, from the root of the walk.
    pub file: Arc<str>,
    /// What.
    #[serde(flatten)]
    pub what: T,
}

/// A remark of the reviewer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remark {
    /// Line, from 1.
    pub line: usize,
    /// The rule.
    pub rule: String,
    /// In words.
    pub message: String,
}

/// Failed calls of one kind.
#[derive(Debug, Default, Serialize)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// The file of the first.
    pub file: String,
    /// The first, in words.
    pub example: String,
}

/// The greatest of many, and their sum or number.
#[derive(Debug, Serialize)]
pub struct Top<K, T> {
    /// How many there were, or the sum of their keys.
    pub total: u64,
    /// The greatest, greatest first; in order of arrival where they are equal.
    pub first: Vec<(K, T)>,
    #[serde(skip)]
    most: usize,
}

impl<K: Ord + Copy, T> Top<K, T> {
    fn new(most: usize) -> Self {
        Self { total: 0, first: Vec::new(), most }
    }

    fn add(&mut self, counts: u64, key: K, what: impl FnOnce() -> T) {
        self.total += counts;
        let at = self.first.partition_point(|(other, _)| *other >= key);
        if at < self.most {
            self.first.insert(at, (key, what()));
            self.first.truncate(self.most);
        }
    }
}

/// More than style: what is likely to be a mistake, the worst first.
const DEFECTS: [(&str, u32); 6] = [
    ("conflict-marker", 6),
    ("syntax-error", 5),
    ("mutable-default", 4),
    ("eval", 3),
    ("bare-except", 2),
    ("equals-none", 1),
];

impl Findings {
    /// Nothing yet; keeps at most `most` of each kind.
    pub fn new(most: usize) -> Self {
        Self {
            secrets: Top::new(most),
            lines: 0,
            not_utf8: Top::new(most),
            functions: Top::new(most),
            todos: Top::new(most),
            hottest: Top::new(most),
            review: BTreeMap::new(),
            defects: Top::new(most),
            failures: BTreeMap::new(),
        }
    }

    /// Takes an agent's answer.
    ///
    /// # Errors
    /// When it does not have the shape that was agreed on.
    pub fn take(&mut self, agent: &str, file: &Arc<str>, answer: &Payload) -> Result<()> {
        let placed = || Arc::clone(file);
        match agent {
            "secrets" => {
                for secret in answer.to::<Vec<Secret>>()? {
                    self.secrets.add(1, 0, || Placed { file: placed(), what: secret });
                }
            }
            "measure" => {
                let measure: Measure = answer.to()?;
                self.lines += measure.lines as u64;
                if !measure.utf8 {
                    self.not_utf8.add(1, 0, placed);
                }
                if measure.todos > 0 {
                    self.todos.add(measure.todos as u64, measure.todos, placed);
                }
                if let Some(function) = measure.longest {
                    let lines = function.lines;
                    self.functions.add(1, lines, || Placed { file: placed(), what: function });
                }
            }
            "history" => {
                if let Some(history) = answer.to::<Option<History>>()? {
                    let commits = history.commits;
                    self.hottest.add(1, commits, || Placed { file: placed(), what: history });
                }
            }
            "reviewer" => {
                #[derive(Deserialize)]
                struct Review {
                    counts: BTreeMap<String, u64>,
                    findings: Vec<Remark>,
                }
                let review: Review = answer.to()?;
                for (rule, count) in review.counts {
                    *self.review.entry(rule).or_default() += count;
                }
                for remark in review.findings {
                    let rule = remark.rule.as_str();
                    if let Some((_, weight)) = DEFECTS.iter().find(|(name, _)| *name == rule) {
                        let what = || Placed { file: placed(), what: remark };
                        self.defects.add(1, *weight, what);
                    }
                }
            }
            // Whatever flaky says is of no interest.
            _ => {}
        }
        Ok(())
    }

    /// Takes an agent's failure.
    pub fn fail(&mut self, agent: &'static str, file: &str, error: &Error) {
        let failures = self.failures.entry((agent, error.code().name())).or_default();
        failures.count += 1;
        if failures.count == 1 {
            failures.file = file.to_owned();
            failures.example = format!("{error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_greatest_are_kept_in_order_and_all_are_counted() {
        let mut top = Top::new(3);
        for (key, what) in [(1, 'a'), (5, 'b'), (3, 'c'), (5, 'd'), (0, 'e')] {
            top.add(1, key, || what);
        }
        assert_eq!(top.first, [(5, 'b'), (5, 'd'), (3, 'c')]);
        assert_eq!(top.total, 5);
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        let mut findings = Findings::new(3);
        let file: Arc<str> = Arc::from("a.py");
        let review = json!({"counts": {"print": 2, "eval": 1},
            "findings": [{"line": 3, "rule": "eval", "message": "m"}]});
        findings.take("reviewer", &file, &review.into()).unwrap();
        assert_eq!((findings.review["print"], findings.defects.total), (2, 1));
        assert!(findings.take("reviewer", &file, &json!([1]).into()).is_err());
        assert!(findings.take("history", &file, &json!(null).into()).is_ok());
    }
}
