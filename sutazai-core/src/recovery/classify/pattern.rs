//! How a rule says what it is about: pieces of text, globs, ranges of numbers.

use serde::{Deserialize, Serialize};

/// A number, or text that stands for several: `429`, `"500-599"`, `"5xx"`, `"502, 503"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "a number, or text such as \"500-599\"")]
pub enum Numbers {
    /// One number.
    One(i64),
    /// Numbers, ranges and hundreds, separated by commas.
    Several(String),
}

impl From<i64> for Numbers {
    fn from(number: i64) -> Self {
        Self::One(number)
    }
}

impl From<&str> for Numbers {
    fn from(text: &str) -> Self {
        Self::Several(text.into())
    }
}

impl std::fmt::Display for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(number) => write!(f, "{number}"),
            Self::Several(text) => write!(f, "{text:?}"),
        }
    }
}

impl Numbers {
    /// The ranges, both ends included.
    pub(super) fn ranges(&self) -> Option<Vec<(i64, i64)>> {
        match self {
            Self::One(number) => Some(vec![(*number, *number)]),
            Self::Several(text) => text.split(',').map(|part| range(part.trim())).collect(),
        }
    }
}

fn range(text: &str) -> Option<(i64, i64)> {
    if let Some(hundreds) = text.strip_suffix("xx") {
        let from = hundreds.parse::<u8>().ok().map(|n| i64::from(n) * 100)?;
        return Some((from, from + 99));
    }
    // A sign at the beginning is no dash.
    let dash = text.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| at);
    let Some(dash) = dash else {
        return text.parse().ok().map(|number| (number, number));
    };
    let (from, to) = text.split_at_checked(dash)?;
    let (from, to) = (from.trim().parse().ok()?, to.strip_prefix('-')?.trim().parse().ok()?);
    (from <= to).then_some((from, to))
}

/// Text in which `*` stands for anything. The case of ASCII letters does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<String>);

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(str::to_ascii_lowercase).collect())
    }

    /// Whether it has anything but stars.
    pub(super) fn says_something(&self) -> bool {
        self.0.iter().any(|piece| !piece.trim().is_empty())
    }

    /// Whether it stands anywhere in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let mut rest = text.as_bytes();
        self.0.iter().all(|piece| match find(rest, piece.as_bytes()) {
            Some(at) => {
                rest = rest.get(at + piece.len()..).unwrap_or_default();
                true
            }
            None => false,
        })
    }

    /// Whether it is the whole text.
    pub(super) fn is(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| alike(text, only.as_bytes()));
        };
        let Some(head) = text.get(..first.len()) else { return false };
        let Some(tail) = text.len().checked_sub(last.len()).filter(|at| *at >= first.len()) else {
            return false;
        };
        let end = text.get(tail..).unwrap_or_default();
        if !alike(head, first.as_bytes()) || !alike(end, last.as_bytes()) {
            return false;
        }
        let mut rest = text.get(first.len()..tail).unwrap_or_default();
        middle.iter().all(|piece| match find(rest, piece.as_bytes()) {
            Some(at) => {
                rest = rest.get(at + piece.len()..).unwrap_or_default();
                true
            }
            None => false,
        })
    }
}

fn alike(text: &[u8], lower: &[u8]) -> bool {
    text.eq_ignore_ascii_case(lower)
}

fn find(text: &[u8], lower: &[u8]) -> Option<usize> {
    if lower.is_empty() {
        return Some(0);
    }
    text.windows(lower.len()).position(|window| alike(window, lower))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read() {
        let ranges = |text: &str| Numbers::from(text).ranges();
        assert_eq!(ranges("5xx"), Some(vec![(500, 599)]));
        assert_eq!(ranges("500-504, 429"), Some(vec![(500, 504), (429, 429)]));
        assert_eq!(ranges("-9"), Some(vec![(-9, -9)]));
        assert_eq!(ranges("-9--3"), Some(vec![(-9, -3)]));
        for text in ["", "x", "599-500", "5xx-6xx", "1,,2", "1-"] {
            assert_eq!(ranges(text), None, "{text}");
        }
    }

    #[test]
    fn globs_match_anywhere_or_all() {
        assert!(Glob::new("quota").is_in("Your QUOTA is gone"));
        assert!(Glob::new("your*gone").is_in("Your QUOTA is gone."));
        assert!(!Glob::new("gone*your").is_in("Your QUOTA is gone."));
        assert!(Glob::new("httpx.*").is("httpx.ConnectError"));
        assert!(Glob::new("*Timeout*").is("httpx.ReadTimeout"));
        assert!(Glob::new("*.Read*out").is("httpx.ReadTimeout"));
        assert!(!Glob::new("httpx").is("httpx.ReadTimeout"));
        assert!(!Glob::new("ab*ba").is("aba"), "the ends may not overlap");
        assert!(!Glob::new("**").says_something());
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_and_what_has_a_piece_of_it_left_out(
            text in "[a-zA-Z. ]{0,20}", from in 0..20_usize, to in 0..20_usize,
        ) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(Glob::new(&text).is(&text));
            prop_assert!(Glob::new(&pattern).is(&text));
            let within = format!("x{text}y");
            prop_assert!(Glob::new(&pattern).is_in(&within));
        }

        #[test]
        fn any_pattern_is_taken(pattern in any::<String>(), text in any::<String>()) {
            let glob = Glob::new(&pattern);
            prop_assert!(!glob.is(&text) || glob.is_in(&text));
            let _ = Numbers::Several(pattern).ranges();
        }
    }
}
