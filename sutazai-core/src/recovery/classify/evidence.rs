//! How the built-in rules decide: each fact that says something is evidence of some weight, and the
//! heaviest decides.
//!
//! A status, a code and a message often disagree: a 429 that says "insufficient quota" will not
//! pass however often it is tried, a 403 that says "rate limit" will, and a 500 whose body says
//! "context length exceeded" will not. Evidence is therefore weighed by how specific it is, not by
//! where it was found:
//!
//! | weight | codes | words |
//! |---|---|---|
//! | 88 to 93 | ENOSPC, SIGSEGV | that tell of crashes, lost data, full disks |
//! | 78 to 86 | a `TypeError` | that hardly mean anything else: "insufficient quota" |
//! | 65 to 75 | 404, -32601, ECONNREFUSED | that mean it in most messages: "does not exist" |
//! | 50 to 62 | that leave room for words: 403, 429, `ValueError` | "not found", "malformed" |
//! | 40 to 48 | that say little: 500, -32603 | "internal error", "timeout" |
//! | 28 to 38 | | that hint: "invalid", "temporary" |
//! | 20 to 26 | exit status 1, `RuntimeError`, the library's vague codes | |
//!
//! So a `KeyError` is one whatever it quotes, strong words outweigh a plain status, and a plain
//! status outweighs weak words.

use crate::Class;

/// Crashes, lost data, full disks: true whatever else is said.
pub(super) const CERTAIN: u8 = 90;
/// Codes that say what happened.
pub(super) const EXACT: u8 = 65;
/// Codes that leave room for words.
pub(super) const LOOSE: u8 = 57;
/// Codes that say little more than that it failed.
pub(super) const BROAD: u8 = 45;
/// The class that an error has by its code, where the code only says that something failed.
pub(super) const OWN: u8 = 26;
/// What only says that it failed.
pub(super) const VAGUE: u8 = 20;

/// Something that speaks for a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    pub(super) weight: u8,
    pub(super) class: Class,
    /// The built-in rule it belongs to.
    pub(super) rule: &'static str,
    /// What it says, as a clause.
    pub(super) reason: &'static str,
    /// The words or the name that it was seen by.
    pub(super) quote: Option<&'static str>,
}

impl Evidence {
    pub(super) const fn new(
        weight: u8,
        class: Class,
        rule: &'static str,
        reason: &'static str,
    ) -> Self {
        Self { weight, class, rule, reason, quote: None }
    }

    /// The same, seen by these words.
    pub(super) const fn seen(self, quote: &'static str) -> Self {
        Self { quote: Some(quote), ..self }
    }

    pub(super) const fn weighing(self, weight: u8) -> Self {
        Self { weight, ..self }
    }
}

/// Keeps the heaviest evidence; of equals the first.
#[derive(Default)]
pub(super) struct Scale(Option<Evidence>);

impl Scale {
    pub(super) fn add(&mut self, evidence: Evidence) {
        if self.0.is_none_or(|best| evidence.weight > best.weight) {
            self.0 = Some(evidence);
        }
    }

    pub(super) fn add_some(&mut self, evidence: Option<Evidence>) {
        if let Some(evidence) = evidence {
            self.add(evidence);
        }
    }

    pub(super) fn heaviest(&self) -> Option<Evidence> {
        self.0
    }
}
