//! The table of layers, and which edge between two of them is allowed.

use std::fmt;

/// The layers from the bottom up; each with the modules of the crate root that belong to it. A
/// new module of `lib.rs` gets its place here, and in ARCHITECTURE.md.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["event", "observe", "store"],
    &["port"],
    &[
        "agent",
        "cluster",
        "config",
        "dependency",
        "deploy",
        "monitor",
        "recovery",
        "security",
        "tune",
    ],
    &["kernel"],
    &["surface"],
];

/// The edges within a layer that are allowed nevertheless. None between two rooms.
const SIDEWAYS: &[(&str, &str)] = &[("observe", "event"), ("store", "event")];

/// Why an edge is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Sideways,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Sideways => "sideways",
        })
    }
}

/// Whether the table has this module.
pub fn is_known(module: &str) -> bool {
    rank(module).is_some()
}

/// The direction of a forbidden edge; `None` for an allowed one, or for modules not in the table.
pub fn forbidden(from: &str, to: &str) -> Option<Direction> {
    let (low, high) = (rank(from)?, rank(to)?);
    if from == to || high < low || SIDEWAYS.contains(&(from, to)) {
        return None;
    }
    Some(if high == low { Direction::Sideways } else { Direction::Up })
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}
