//! Which names are permitted
//! ([Prometheus data model](https://prometheus.io/docs/concepts/data_model/)).

use crate::{Code, Error, Result};

/// The longest name; Prometheus has no bound, a registry needs one.
const LONGEST: usize = 200;

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub(super) fn check_metric(name: &str) -> Result<()> {
    check("metric", name, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, no `__` in front (Prometheus' own) and no `le` (a histogram's).
pub(super) fn check_labels(metric: &str, labels: &[&str]) -> Result<()> {
    for (index, label) in labels.iter().enumerate() {
        check("label", label, |b| b.is_ascii_alphanumeric() || b == b'_')?;
        if label.starts_with("__") || *label == "le" {
            return Err(invalid("label", label, "it is reserved"));
        }
        if labels.iter().take(index).any(|other| other == label) {
            return Err(invalid("label", label, "it is there twice").with("metric", metric));
        }
    }
    Ok(())
}

fn check(what: &'static str, name: &str, permitted: impl Fn(u8) -> bool) -> Result<()> {
    let Some(first) = name.bytes().next() else { return Err(invalid(what, name, "it is empty")) };
    if name.len() > LONGEST {
        return Err(invalid(what, name.get(..LONGEST).unwrap_or_default(), "it is too long"));
    }
    if first.is_ascii_digit() || !name.bytes().all(permitted) {
        return Err(invalid(what, name, "use letters, digits and underscores, no digit in front"));
    }
    Ok(())
}

fn invalid(what: &'static str, name: &str, why: &'static str) -> Error {
    Error::new(Code::METRIC_INVALID, format!("not a valid {what} name: {why}"))
        .operation("observe.register")
        .with("name", format!("{name:?}"))
}
