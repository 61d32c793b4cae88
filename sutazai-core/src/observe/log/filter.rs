//! [`Filter`]: which records are wanted.

use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;

use super::Level;
use crate::{Code, Error, Result};

/// The rank of a filter that lets nothing through: above every level's.
const OFF: u8 = Level::ALL.len() as u8;

/// Longest filter text, in bytes.
const LONGEST: usize = 16 * 1024;

pub(super) struct Filter {
    /// The lowest rank that any rule lets through, so that most refusals cost one load.
    lowest: AtomicU8,
    rules: ArcSwap<Rules>,
}

struct Rules {
    default: u8,
    /// Prefix and rank, the longest prefix first.
    targets: Vec<(String, u8)>,
}

impl Filter {
    pub(super) fn new(level: Level) -> Self {
        Self {
            lowest: AtomicU8::new(level as u8),
            rules: ArcSwap::from_pointee(Rules { default: level as u8, targets: Vec::new() }),
        }
    }

    #[inline]
    pub(super) fn enabled(&self, level: Level, target: &str) -> bool {
        level as u8 >= self.lowest.load(Ordering::Relaxed) && self.decide(level, target)
    }

    pub(super) fn set(&self, text: &str) -> Result<()> {
        let rules = Rules::parse(text)?;
        let lowest = rules.targets.iter().map(|(_, rank)| *rank).fold(rules.default, u8::min);
        self.rules.store(rules.into());
        self.lowest.store(lowest, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn text(&self) -> String {
        let rules = self.rules.load();
        let mut text = rank_name(rules.default).to_owned();
        for (target, rank) in &rules.targets {
            text.push_str(&format!(",{target}={}", rank_name(*rank)));
        }
        text
    }

    fn decide(&self, level: Level, target: &str) -> bool {
        let rules = self.rules.load();
        let rule = rules.targets.iter().find(|(prefix, _)| begins(target, prefix));
        level as u8 >= rule.map_or(rules.default, |(_, rank)| *rank)
    }
}

impl Rules {
    fn parse(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(Error::new(Code::INVALID, "the log filter is too long")
                .operation("log.set_filter")
                .with("most", LONGEST));
        }
        let mut rules = Self { default: Level::Info as u8, targets: Vec::new() };
        for piece in text.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
            let (target, level) = match piece.split_once('=') {
                None => (None, piece),
                Some((target, level)) => (Some(target.trim()), level.trim()),
            };
            let rank = parse_rank(level).filter(|_| target.is_none_or(|t| !t.is_empty()));
            let Some(rank) = rank else {
                return Err(Error::new(Code::INVALID, "not a log filter")
                    .operation("log.set_filter")
                    .with("piece", format!("{piece:?}"))
                    .advice(
                        "write a level (off, error, warn, info, debug, trace) or target=level",
                    ));
            };
            match target {
                None => rules.default = rank,
                Some(target) => {
                    rules.targets.retain(|(there, _)| there != target);
                    rules.targets.push((target.to_owned(), rank));
                }
            }
        }
        rules.targets.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Ok(rules)
    }
}

fn parse_rank(name: &str) -> Option<u8> {
    if name.eq_ignore_ascii_case("off") { Some(OFF) } else { Level::parse(name).map(|l| l as u8) }
}

fn rank_name(rank: u8) -> &'static str {
    Level::ALL.get(usize::from(rank)).map_or("off", |level| level.name())
}

/// Whether `target` is `prefix` or something below it.
pub(super) fn begins(target: &str, prefix: &str) -> bool {
    match target.strip_prefix(prefix) {
        None => false,
        Some(rest) => rest.is_empty() || prefix.is_empty() || rest.starts_with(['.', ':', '/']),
    }
}
