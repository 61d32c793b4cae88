//! Looks for all phrases at once: a trie of whole words, walked from every word of a text.
//!
//! A general matcher of many patterns (Aho and Corasick's) reports every overlapping match at every
//! byte, and its matches would have to be checked for the boundaries of words; walking from word to
//! word takes a fraction of its time on messages.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use super::super::evidence::{Evidence, Scale};
use super::super::hint;
use super::words::{Word, Words, hash};
use super::{TABLES, busy};
use crate::Class;

/// Words between the parts of a phrase with a gap, at most.
const GAP: usize = 10;
/// Phrases with a gap, at most.
const GAPS: usize = 64;

/// What a time to wait weighs: more than "exceeded your quota", less than "insufficient quota".
const ASKS_TO_WAIT: u8 = 83;

/// Reads words: puts what they say on the scale and keeps the longest time that they say to wait.
pub(in super::super) fn weigh(words: &Words, scale: &mut Scale, wait: &mut Option<Duration>) {
    let trie = &*TRIE;
    let mut reader = Reader { words, scale, wait, waited: 0, opened: [0; GAPS] };
    for begin in 0..words.spans().len() {
        trie.walk(begin, &mut reader);
    }
}

struct Reader<'r> {
    words: &'r Words,
    scale: &'r mut Scale,
    wait: &'r mut Option<Duration>,
    /// Where the last time that was looked for would begin.
    waited: usize,
    /// The word after the opening part of each gap; 0 for none.
    opened: [u16; GAPS],
}

impl Reader<'_> {
    /// A phrase was found: from the first of these words to before the second.
    fn found(&mut self, meanings: &[Meaning], begin: usize, end: usize) {
        for meaning in meanings {
            match *meaning {
                Meaning::Says(evidence) => self.scale.add(evidence),
                Meaning::Opens(gap) => {
                    if let Some(opened) = self.opened.get_mut(gap) {
                        *opened = u16::try_from(end).unwrap_or(0);
                    }
                }
                Meaning::Closes(gap, evidence) => {
                    let opened = self.opened.get(gap).copied().map_or(0, usize::from);
                    if opened > 0 && (opened..=opened + GAP).contains(&begin) {
                        self.scale.add(evidence);
                    }
                }
                Meaning::Waits(evidence) => {
                    // "again in" ends where "try again in" does.
                    if self.waited != end {
                        self.waited = end;
                        if let Some(time) = hint::spoken(self.words.from(end)) {
                            *self.wait = (*self.wait).max(Some(time));
                            self.scale.add(evidence.weighing(ASKS_TO_WAIT));
                        }
                    }
                    if evidence.weight > 0 {
                        self.scale.add(evidence);
                    }
                }
            }
        }
    }
}

/// What it means that a phrase was found.
#[derive(Clone, Copy)]
enum Meaning {
    Says(Evidence),
    Opens(usize),
    Closes(usize, Evidence),
    Waits(Evidence),
}

/// Built once, when the first text is read.
static TRIE: LazyLock<Trie> = LazyLock::new(Trie::build);

struct Trie {
    nodes: Vec<Node>,
    /// Whether a stem that a word may begin with begins with this letter.
    stems: [bool; 256],
    edges: Edges,
}

#[derive(Default)]
struct Node {
    /// The word that leads here; the hash alone might be another's.
    word: &'static str,
    meanings: Vec<Meaning>,
    /// Beginnings of words that end a phrase here.
    stems: Vec<(&'static str, Vec<Meaning>)>,
}

const ROOT: u32 = 0;

impl Trie {
    fn build() -> Self {
        let mut trie = Builder { nodes: vec![Node::default()], edges: HashMap::new() };
        let mut gaps = 0;
        for row in TABLES.into_iter().flatten() {
            let evidence = Evidence::new(row.weight, row.class, row.rule, row.reason);
            for phrase in row.phrases {
                let evidence = evidence.seen(phrase.trim_end_matches('*'));
                match phrase.split_once(" … ") {
                    Some((opening, closing)) => {
                        trie.add(opening, Meaning::Opens(gaps));
                        trie.add(closing, Meaning::Closes(gaps, evidence));
                        gaps += 1;
                    }
                    None => trie.add(phrase, Meaning::Says(evidence)),
                }
            }
        }
        for row in busy::WAITS {
            let reason = "the message asks to try again later";
            let evidence = Evidence::new(row.weight, Class::Transient, "text.try_again", reason);
            for phrase in row.phrases {
                trie.add(phrase, Meaning::Waits(evidence.seen(phrase)));
            }
        }
        let mut stems = [false; 256];
        for (stem, _) in trie.nodes.iter().take(1).flat_map(|root| &root.stems) {
            if let Some(begins) = stem.bytes().next().and_then(|b| stems.get_mut(usize::from(b))) {
                *begins = true;
            }
        }
        Self { nodes: trie.nodes, stems, edges: Edges::new(trie.edges) }
    }

    fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(number).ok()?)
    }

    /// Follows the words from this one on as far as any phrase goes.
    fn walk(&self, begin: usize, reader: &mut Reader<'_>) {
        let words = reader.words;
        let mut number = ROOT;
        for (at, word) in words.spans().iter().enumerate().skip(begin) {
            let Some(node) = self.node(number) else { return };
            let text = words.text(*word);
            if number != ROOT || self.may_begin_with_stem(text) {
                let stems = node.stems.iter().filter(|(stem, _)| text.starts_with(stem.as_bytes()));
                stems.for_each(|(_, meanings)| reader.found(meanings, begin, at + 1));
            }
            let Some((next, found)) = self.next(number, *word, text) else { return };
            reader.found(&found.meanings, begin, at + 1);
            number = next;
        }
    }

    fn next(&self, number: u32, word: Word, text: &[u8]) -> Option<(u32, &Node)> {
        let next = self.edges.get(number, word.hash)?;
        let node = self.node(next)?;
        (node.word.as_bytes() == text).then_some((next, node))
    }

    fn may_begin_with_stem(&self, word: &[u8]) -> bool {
        word.first().is_some_and(|first| self.stems.get(usize::from(*first)) == Some(&true))
    }
}

/// A trie that is being built.
struct Builder {
    nodes: Vec<Node>,
    edges: HashMap<u64, u32>,
}

impl Builder {
    fn add(&mut self, phrase: &'static str, meaning: Meaning) {
        let mut at = ROOT;
        for word in phrase.split(' ') {
            if let Some(stem) = word.strip_suffix('*') {
                let Some(node) = self.node_mut(at) else { return };
                match node.stems.iter_mut().find(|(known, _)| *known == stem) {
                    Some((_, meanings)) => meanings.push(meaning),
                    None => node.stems.push((stem, vec![meaning])),
                }
                return;
            }
            let fresh = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
            let next = *self.edges.entry(edge(at, hash(word))).or_insert(fresh);
            if next == fresh {
                self.nodes.push(Node { word, ..Node::default() });
            }
            at = next;
        }
        if let Some(node) = self.node_mut(at) {
            node.meanings.push(meaning);
        }
    }

    fn node_mut(&mut self, number: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(number).ok()?)
    }
}

/// From a node and a word to the next node: sorted, with an index by the first bits.
struct Edges {
    sorted: Vec<(u64, u32)>,
    starts: Vec<u32>,
}

/// Bits of the index: about one edge for each of its entries.
const BITS: u32 = 11;

impl Edges {
    fn new(edges: HashMap<u64, u32>) -> Self {
        let mut sorted: Vec<_> = edges.into_iter().collect();
        sorted.sort_unstable();
        let start = |bucket: u64| sorted.partition_point(|(key, _)| key >> (64 - BITS) < bucket);
        let starts = (0..=1 << BITS).map(|bucket| u32::try_from(start(bucket)).unwrap_or(0));
        Self { starts: starts.collect(), sorted }
    }

    fn get(&self, node: u32, hash: u64) -> Option<u32> {
        let key = edge(node, hash);
        let bucket = usize::try_from(key >> (64 - BITS)).ok()?;
        let [from, to] = self.starts.get(bucket..bucket + 2)? else { return None };
        let among = self.sorted.get(usize::try_from(*from).ok()?..usize::try_from(*to).ok()?)?;
        among.iter().find(|(found, _)| *found == key).map(|(_, next)| *next)
    }
}

/// One number for a node and a word's hash; different for every node.
const fn edge(node: u32, hash: u64) -> u64 {
    (hash ^ (node as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrases() -> impl Iterator<Item = &'static str> {
        let rows = TABLES.into_iter().flatten().flat_map(|row| row.phrases);
        rows.chain(busy::WAITS.iter().flat_map(|row| row.phrases)).copied()
    }

    #[test]
    fn phrases_are_written_as_words_and_once() {
        let mut seen = std::collections::HashSet::new();
        for phrase in phrases() {
            for part in phrase.split(" … ") {
                let bare = part.trim_end_matches('*');
                let words = Words::of(bare);
                let words: Vec<_> =
                    words.iter().map(|word| str::from_utf8(word).unwrap()).collect();
                assert_eq!(words.join(" "), bare, "not in words");
            }
            assert!(seen.insert(phrase), "{phrase:?} is there twice");
        }
    }

    #[test]
    fn every_phrase_is_found_and_says_what_its_row_does() {
        for row in TABLES.into_iter().flatten() {
            for phrase in row.phrases {
                let text = phrase.replace(" … ", " x ").replace('*', "x");
                let (mut scale, mut wait) = (Scale::default(), None);
                weigh(&Words::of(&text), &mut scale, &mut wait);
                let found = scale.heaviest().unwrap();
                // A heavier phrase may be part of it.
                assert!(found.weight >= row.weight, "{phrase:?} is not found");
            }
        }
    }

    #[test]
    fn gaps_fit() {
        let gaps = phrases().filter(|phrase| phrase.contains(" … ")).count();
        assert!(gaps <= GAPS, "{gaps}");
    }

    fn heaviest(text: &str) -> Option<(Class, &'static str)> {
        let (mut scale, mut wait) = (Scale::default(), None);
        weigh(&Words::of(text), &mut scale, &mut wait);
        scale.heaviest().map(|found| (found.class, found.rule))
    }

    #[test]
    fn phrases_keep_to_the_boundaries_of_words() {
        assert_eq!(heaviest("the boomerang came back"), None);
        assert_eq!(heaviest("boom"), None);
        assert_eq!(heaviest("OOM"), Some((Class::Critical, "text.out_of_memory")));
        assert_eq!(heaviest("we are throttling you"), Some((Class::Transient, "text.rate_limit")));
    }

    #[test]
    fn gaps_are_short_and_in_order() {
        let full = Some((Class::Critical, "text.disk_full"));
        assert_eq!(heaviest("The table 'events' is full"), full);
        assert_ne!(heaviest("is full the table"), full);
        assert_ne!(heaviest(&format!("The table {}is full", "x ".repeat(GAP + 1))), full);
    }
}
