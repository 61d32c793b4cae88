//! Lines of bounded length from a stream of bytes.

use std::io::{self, Read};

/// Reads lines; never holds more than one line of the longest length and one buffer.
pub(super) struct Lines<R> {
    from: R,
    most: usize,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    line: Vec<u8>,
    /// The last bytes of a line that is too long.
    tail: Vec<u8>,
}

/// One line, without its `\n` (and a `\r` before it).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Longer than allowed: how it began and how it ended, and its length in bytes. What stood between
    /// was thrown away as it came.
    TooLong { head: &'a [u8], tail: &'a [u8], length: u64 },
}

const BUFFER: usize = 64 << 10;
/// What is kept of either end of a line that is too long; enough to find out which call it belongs to.
const HEAD: usize = 512;
/// A line buffer that grew beyond this is given back after use.
const KEEP: usize = 256 << 10;

impl<R: Read> Lines<R> {
    pub(super) fn new(from: R, most: usize) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { from, most, buffer, start: 0, end: 0, line: Vec::new(), tail: Vec::new() }
    }

    /// The next line; what stands after the last `\n` is one too. `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        self.tail.clear();
        if self.line.capacity() > KEEP {
            self.line = Vec::new();
        }
        let mut length = 0_u64;
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let (part, ended) = match unread.iter().position(|b| *b == b'\n') {
                Some(at) => (unread.get(..at).unwrap_or_default(), true),
                None => (unread, false),
            };
            length = length.saturating_add(part.len() as u64);
            if length <= self.most as u64 {
                self.line.extend_from_slice(part);
            } else {
                if self.tail.is_empty() {
                    let from = self.line.len().saturating_sub(HEAD);
                    self.tail.extend_from_slice(self.line.get(from..).unwrap_or_default());
                }
                let missing = HEAD.saturating_sub(self.line.len());
                self.line.extend_from_slice(part.get(..missing).unwrap_or(part));
                self.line.truncate(HEAD);
                self.tail.extend_from_slice(last(part));
                self.tail.drain(..self.tail.len().saturating_sub(HEAD));
                if self.line.capacity() > KEEP {
                    self.line.shrink_to(HEAD);
                }
            }
            self.start += part.len() + usize::from(ended);
            if ended {
                return Ok(Some(self.finish(length)));
            }
            self.start = 0;
            self.end = 0;
            let read = self.from.read(&mut self.buffer)?;
            if read == 0 {
                return Ok(if length == 0 { None } else { Some(self.finish(length)) });
            }
            self.end = read;
        }
    }

    fn finish(&self, length: u64) -> Line<'_> {
        if length > self.most as u64 {
            return Line::TooLong { head: &self.line, tail: &self.tail, length };
        }
        Line::Whole(self.line.strip_suffix(b"\r").unwrap_or(&self.line))
    }
}

/// The last bytes of it, as many as are kept.
fn last(part: &[u8]) -> &[u8] {
    part.get(part.len().saturating_sub(HEAD)..).unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives out bytes in pieces of the sizes that a test chose.
    struct Pieces<'a>(&'a [u8], Vec<usize>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.pop().unwrap_or(usize::MAX).max(1).min(buffer.len());
            let now = most.min(self.0.len());
            let (head, rest) = self.0.split_at(now);
            buffer[..now].copy_from_slice(head);
            self.0 = rest;
            Ok(now)
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_whole_text_however_it_arrives(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a')], 0..300),
            pieces in prop::collection::vec(1_usize..40, 0..50),
            most in 1_usize..20,
        ) {
            let mut expected: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let mut lines = Lines::new(Pieces(&text, pieces), most);
            for line in expected {
                match lines.next().unwrap() {
                    Some(Line::Whole(got)) => {
                        prop_assert!(line.len() <= most);
                        prop_assert_eq!(got, line.strip_suffix(b"\r").unwrap_or(line));
                    }
                    Some(Line::TooLong { head, tail, length }) => {
                        prop_assert!(line.len() > most);
                        prop_assert_eq!(length, line.len() as u64);
                        prop_assert!(line.starts_with(head));
                        prop_assert_eq!(tail, last(line));
                    }
                    None => prop_assert!(false, "ended early"),
                }
            }
            prop_assert_eq!(lines.next().unwrap(), None);
        }
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let endless = io::repeat(b'x').take(200 << 20);
        let mut lines = Lines::new(endless, 1 << 20);
        match lines.next().unwrap() {
            Some(Line::TooLong { head, tail, length }) => {
                assert_eq!((head.len(), tail.len(), length), (HEAD, HEAD, 200 << 20));
            }
            other => panic!("{other:?}"),
        }
        assert!(lines.line.capacity() <= KEEP, "{}", lines.line.capacity());
    }
}
