//! A text as words: lower case, identifiers taken apart.
//!
//! Messages, exception names and providers' codes say the same thing in many spellings: "rate
//! limit", `RateLimitError`, `rate_limit_exceeded`, `RATE-LIMIT`. As words they are alike, so one
//! table of phrases reads all of them.

use std::fmt;

/// Bytes of words, at most.
const ROOM: usize = 4096;
/// Bytes of a text that are read: of a longer one the beginning and the end. A space for every
/// second byte of identifiers makes three of two, so that they fit into [`ROOM`].
const HEAD: usize = 512;
const TAIL: usize = 2048;

/// Words, of which there are bounded many.
pub(in super::super) struct Words {
    buffer: Vec<u8>,
    words: Vec<Word>,
    /// Where the present word begins.
    begin: usize,
    /// Of the present word, with and without its last byte.
    hash: u64,
    hash_before: u64,
    /// The last two bytes that came in, as they came.
    last: u8,
    before: u8,
    /// A full stop or a sign that belongs to a number if a digit follows.
    held: Option<u8>,
    /// How many bytes came of what may be a punctuation mark: U+2000 to U+206F are `E2 80` or `E2 81`
    /// and a third.
    mark: u8,
}

/// A word in the buffer.
#[derive(Clone, Copy)]
pub(super) struct Word {
    begin: u16,
    end: u16,
    pub(super) hash: u64,
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: words are short, and their bytes come one by one.
const fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

/// The hash of a word.
pub(super) fn hash(word: &str) -> u64 {
    word.bytes().fold(SEED, step)
}

impl Words {
    /// No words yet; `room` is how many bytes to make room for.
    pub(in super::super) fn new(room: usize) -> Self {
        let room = room.min(ROOM);
        Self {
            buffer: Vec::with_capacity(room),
            words: Vec::with_capacity(room / 6 + 2),
            begin: 0,
            hash: SEED,
            hash_before: SEED,
            last: b' ',
            before: b' ',
            held: None,
            mark: 0,
        }
    }

    /// The words of a text. Of a long one the beginning and, mostly, the end: that is where
    /// programs say what went wrong.
    pub(in super::super) fn of(text: &str) -> Self {
        // Most texts have few identifiers to take apart.
        let mut words = Self::new(text.len() + text.len() / 8 + 2);
        words.read(text);
        words
    }

    pub(in super::super) fn read(&mut self, text: &str) {
        let (head, tail) = match text.len().checked_sub(HEAD + TAIL) {
            None | Some(0) => (text, ""),
            Some(_) => {
                let (head, rest) = text.split_at(text.floor_char_boundary(HEAD));
                (head, rest.split_at(rest.ceil_char_boundary(rest.len() - TAIL)).1)
            }
        };
        for part in [head, tail] {
            part.bytes().for_each(|byte| self.take(byte));
            self.take(b' ');
        }
    }

    /// The words one by one.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.from(0)
    }

    /// The words from this one on.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = &[u8]> {
        self.spans().get(first..).unwrap_or_default().iter().map(|word| self.text(*word))
    }

    pub(super) fn spans(&self) -> &[Word] {
        &self.words
    }

    pub(super) fn text(&self, word: Word) -> &[u8] {
        self.buffer.get(usize::from(word.begin)..usize::from(word.end)).unwrap_or_default()
    }

    #[inline]
    fn take(&mut self, byte: u8) {
        // The inside of a word, which is most of a text.
        if byte.is_ascii_lowercase() && self.last.is_ascii_lowercase() && self.mark == 0 {
            self.push(byte);
            self.before = self.last;
            self.last = byte;
            return;
        }
        if let Some(held) = self.held.take() {
            if byte.is_ascii_digit() { self.push(held) } else { self.end() }
        }
        if self.mark > 0 {
            self.mark = if self.mark == 1 { 2 } else { 0 };
            // The typographic apostrophe is as good as the plain one; what else begins alike (dashes,
            // quotes, arrows, currencies) separates words.
            if self.mark == 0 && byte != 0x99 {
                self.end();
                // What follows begins a word, whatever stood before the mark.
                (self.before, self.last) = (b' ', b' ');
            }
            return;
        }
        match byte {
            b'a'..=b'z' => {
                // The last capital of several begins a word: `HTTPError`.
                if self.last.is_ascii_uppercase() && self.before.is_ascii_uppercase() {
                    self.split_last();
                }
                self.push(byte);
            }
            b'A'..=b'Z' => {
                if self.last.is_ascii_lowercase() {
                    self.end();
                }
                self.push(byte.to_ascii_lowercase());
            }
            b'0'..=b'9' => self.push(byte),
            b'.' if self.last.is_ascii_digit() => self.held = Some(b'.'),
            b'-' if !self.last.is_ascii_alphanumeric() => {
                self.end();
                self.held = Some(b'-');
            }
            // "can't" is one word, and so is what stands in quotes.
            b'\'' => return,
            0xE2 => {
                self.mark = 1;
                return;
            }
            // Letters of other languages.
            0x80..=0xFF => self.push(byte),
            _ => self.end(),
        }
        self.before = self.last;
        self.last = byte;
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        if self.buffer.len() < ROOM {
            self.buffer.push(byte);
            self.hash_before = self.hash;
            self.hash = step(self.hash, byte);
        }
    }

    /// Ends the present word, if there is one.
    #[inline]
    fn end(&mut self) {
        let end = self.buffer.len();
        if end > self.begin
            && let (Ok(begin), Ok(end)) = (u16::try_from(self.begin), u16::try_from(end))
        {
            self.words.push(Word { begin, end, hash: self.hash });
            self.begin = self.buffer.len();
            self.hash = SEED;
        }
    }

    /// Ends the present word before its last byte, which begins another.
    fn split_last(&mut self) {
        if let Some(last) = self.buffer.pop() {
            self.hash = self.hash_before;
            self.end();
            self.push(last);
        }
    }
}

impl fmt::Write for Words {
    /// For errors that can only be displayed.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.take(byte));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> String {
        let words = Words::of(text);
        let words: Vec<_> = words.iter().map(|word| str::from_utf8(word).unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn spellings_of_one_thing_are_alike() {
        for text in
            ["rate limit", "RateLimit", "rate_limit", "RATE-LIMIT", "'rate limit'", "(rate/limit)."]
        {
            assert_eq!(words(text), "rate limit", "{text}");
        }
        assert_eq!(words("HTTPError"), "http error");
        assert_eq!(words("OOMKilled"), "oom killed");
        assert_eq!(words("can't, can’t, a–b"), "cant cant a b");
        assert_eq!(words("ECONNRESET"), "econnreset");
        assert_eq!(words("größe"), "größe");
    }

    #[test]
    fn numbers_keep_their_fractions() {
        assert_eq!(words("in 7.66s. HTTP/1.1 503."), "in 7.66s http 1.1 503");
        assert_eq!(words("requests.exceptions.X"), "requests exceptions x");
        assert_eq!(words("(code -32600), GPT-4, --5 - x"), "code -32600 gpt 4 -5 x");
    }

    #[test]
    fn of_a_long_text_the_ends_are_kept() {
        let text = format!("begin {} end", "x ".repeat(50_000));
        let words = words(&text);
        assert!(words.starts_with("begin x") && words.ends_with("x end"));
    }

    #[test]
    fn a_mark_after_capitals_leaves_the_word_before_it_whole() {
        assert_eq!(words("AA\u{2b76}a"), words("AA a"));
    }

    proptest! {
        #[test]
        fn any_text_becomes_words(text in any::<String>()) {
            let words = Words::of(&text);
            prop_assert!(words.buffer.len() <= ROOM);
            for word in words.spans() {
                let text = words.text(*word);
                prop_assert!(!text.is_empty());
                prop_assert!(!text.iter().any(|byte| byte.is_ascii_uppercase() || *byte == b' '));
                prop_assert_eq!(word.hash, text.iter().fold(SEED, |hash, byte| step(hash, *byte)));
            }
        }

        #[test]
        fn of_bytes_without_order_too(bytes in prop::collection::vec(any::<u8>(), 0..9_000)) {
            let mut words = Words::new(0);
            bytes.iter().for_each(|byte| words.take(*byte));
            words.take(b' ');
            prop_assert!(words.buffer.len() <= ROOM);
            prop_assert!(words.iter().all(|word| !word.is_empty()));
        }
    }
}
