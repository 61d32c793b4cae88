//! Whether components fit together, and the order they start in.

use std::collections::HashMap;

use crate::base::nearest::nearest;
use crate::{Code, Error, Result};

/// The order in which to start: numbers into `parts`, each after all that it needs; in the order
/// given where needs leave it open.
///
/// # Errors
/// [`Code::COMPONENT_MISSING`] with the nearest name, [`Code::COMPONENT_CYCLE`] with the path.
pub(super) fn order(parts: &[(&str, &[String])]) -> Result<Vec<usize>> {
    let numbers: HashMap<&str, usize> =
        parts.iter().enumerate().map(|(number, (name, _))| (*name, number)).collect();
    let mut marks = vec![Mark::New; parts.len()];
    let mut order = Vec::with_capacity(parts.len());
    // Its own stack: a long chain of needs must not overflow the thread's.
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for start in 0..parts.len() {
        if marks[start] == Mark::New {
            marks[start] = Mark::Open;
            stack.push((start, 0));
        }
        while let Some((number, next)) = stack.last_mut() {
            let (number, (name, needs)) = (*number, parts[*number]);
            let Some(need) = needs.get(*next) else {
                marks[number] = Mark::Done;
                order.push(number);
                stack.pop();
                continue;
            };
            *next += 1;
            let Some(&other) = numbers.get(need.as_str()) else {
                return Err(missing(name, need, parts.iter().map(|(name, _)| *name)));
            };
            match marks[other] {
                Mark::New => {
                    marks[other] = Mark::Open;
                    stack.push((other, 0));
                }
                Mark::Open => {
                    let way = stack.iter().map(|(n, _)| *n).skip_while(|n| *n != other);
                    let way: Vec<&str> = way.chain([other]).map(|n| parts[n].0).collect();
                    return Err(cycle(&way));
                }
                Mark::Done => {}
            }
        }
    }
    Ok(order)
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

pub(super) fn missing<'a>(
    name: &str,
    need: &str,
    there: impl IntoIterator<Item = &'a str>,
) -> Error {
    let message = format!("the component \"{name}\" needs \"{need}\", which is not there");
    let error = Error::new(Code::COMPONENT_MISSING, message)
        .operation("lifecycle.check")
        .with("component", name)
        .with("path", format!("{name} → {need}"));
    match nearest(need, there) {
        Some(near) => error.advice(format!("did you mean \"{near}\"?")),
        None => error.advice("add it, or take it out of what the component needs"),
    }
}

fn cycle(way: &[&str]) -> Error {
    let path = way.join(" → ");
    Error::new(Code::COMPONENT_CYCLE, format!("components need one another in a circle: {path}"))
        .operation("lifecycle.check")
        .with("path", path)
        .advice("take one of these needs away")
}
