//! How mistakes in what somebody wrote are put into words.

use crate::base::nearest::nearest;

pub(crate) fn between(least: &str, most: &str) -> String {
    format!("it must be from {least} to {most}")
}

pub(crate) fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

/// In quotes, escaped, and not longer than people read.
pub(crate) fn quoted(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    match text.char_indices().nth(48) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// The name that was meant, or else those that there are.
pub(super) fn meant(near: Option<&str>, otherwise: &str, known: &[&str]) -> String {
    match near {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!("{otherwise} nothing"),
        None => format!("{otherwise} {}", known.join(", ")),
    }
}

/// What to write instead of a word that there is not.
pub(super) fn instead_of(word: &str, words: &[&str]) -> String {
    meant(nearest(word, words.iter().copied()), "expected one of", words)
}
