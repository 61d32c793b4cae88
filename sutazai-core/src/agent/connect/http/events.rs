//! Server-sent events, as the HTML standard has them (section 9.2.6, "Interpreting an event stream").

use std::collections::VecDeque;
use std::io::Read as _;
use std::time::Duration;

use super::failure;
use super::response::Body;
use crate::{Code, Error, Result};

/// What is read of the connection at once.
const CHUNK: usize = 16 << 10;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its type; `message` where the stream names none.
    pub name: String,
    /// Its data; lines are separated by `\n`.
    pub data: String,
    /// The last id that the stream gave, with this event or before; empty for none.
    pub id: String,
}

/// Makes events of the bytes of a stream, in whatever pieces they come.
///
/// ```
/// use sutazai_core::agent::connect::http::EventParser;
/// let mut parser = EventParser::new(1 << 20);
/// parser.feed(b"data: one\r\ndata: t")?;
/// parser.feed(b"wo\r\n\r\n")?;
/// assert_eq!(parser.next_event().map(|event| event.data).as_deref(), Some("one\ntwo"));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct EventParser {
    most: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    name: String,
    id: String,
    retry_ms: Option<u64>,
    /// Nothing of the stream was seen yet: it may begin with a byte order mark.
    fresh: bool,
    /// The last byte was a carriage return, which a line feed may belong to.
    after_return: bool,
    ready: VecDeque<Event>,
}

impl EventParser {
    /// A parser of events whose data and lines have at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            line: Vec::new(),
            data: Vec::new(),
            name: String::new(),
            id: String::new(),
            retry_ms: None,
            fresh: true,
            after_return: false,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`Code::AGENT_PROTOCOL`] when an event is longer than allowed.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, after) = match end {
                Some(end) => (bytes.get(..end), bytes.get(end..)),
                None => (Some(bytes), None),
            };
            let part = part.unwrap_or_default();
            if self.line.len() + part.len() > self.most.saturating_add(64) {
                return Err(self.too_long());
            }
            self.line.extend_from_slice(part);
            let Some((end, rest)) = after.and_then(<[u8]>::split_first) else { return Ok(()) };
            self.after_return = *end == b'\r';
            bytes = rest;
            let line = std::mem::take(&mut self.line);
            self.end_of_line(&line)?;
            self.line = line;
            self.line.clear();
        }
        Ok(())
    }

    /// The next event that is whole.
    pub fn next_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// The last id that the stream gave; empty for none. It may stand in an event without data, which
    /// is none otherwise.
    pub fn last_id(&self) -> &str {
        &self.id
    }

    /// After how many milliseconds the stream wants to be asked for again once it breaks.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn end_of_line(&mut self, line: &[u8]) -> Result<()> {
        let mark = b"\xef\xbb\xbf";
        let fresh = std::mem::take(&mut self.fresh);
        let line = line.strip_prefix(mark).filter(|_| fresh).unwrap_or(line);
        if line.is_empty() {
            self.end_of_event();
            return Ok(());
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.data.len() + value.len() > self.most {
                    return Err(self.too_long());
                }
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = String::from_utf8_lossy(value).into_owned(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let text = String::from_utf8_lossy(value);
                self.retry_ms = text.parse().ok().or(self.retry_ms);
            }
            // A comment, or a field of another standard.
            _ => {}
        }
        Ok(())
    }

    fn end_of_event(&mut self) {
        let name = std::mem::take(&mut self.name);
        if self.data.is_empty() {
            return;
        }
        self.data.pop();
        let data = String::from_utf8_lossy(&self.data).into_owned();
        self.data.clear();
        let name = if name.is_empty() { "message".to_owned() } else { name };
        self.ready.push_back(Event { name, data, id: self.id.clone() });
    }

    #[cold]
    fn too_long(&self) -> Error {
        Error::new(Code::AGENT_PROTOCOL, "an event of the stream is longer than allowed")
            .operation("agent.http")
            .with("bytes", self.most)
    }
}

/// The events of a body, as they come. Ends where the body ends; what breaks off or takes too long
/// is an error, after which it ends. An event that is not whole at the end is none.
pub struct EventReader {
    body: Option<Body>,
    parser: EventParser,
    chunk: Vec<u8>,
    url: String,
}

impl EventReader {
    pub(super) fn new(body: Body, most: usize, url: String) -> Self {
        Self { body: Some(body), parser: EventParser::new(most), chunk: vec![0; CHUNK], url }
    }

    /// Waits for further events for so long at most, whatever the call's deadline is.
    pub fn hurry(&mut self, time: Duration) {
        if let Some(body) = &mut self.body {
            body.hurry(time);
        }
    }

    /// See [`EventParser::last_id`].
    pub fn last_id(&self) -> &str {
        self.parser.last_id()
    }

    /// See [`EventParser::retry_ms`].
    pub fn retry_ms(&self) -> Option<u64> {
        self.parser.retry_ms()
    }

    fn read(&mut self) -> Result<bool> {
        let Some(body) = &mut self.body else { return Ok(false) };
        let read = body.read(&mut self.chunk).map_err(|error| failure::of_io(error, &self.url))?;
        let bytes = self.chunk.get(..read).unwrap_or_default();
        self.parser.feed(bytes).map_err(|error| error.with("url", &self.url))?;
        Ok(read > 0)
    }
}

impl Iterator for EventReader {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Some(Ok(event));
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => {
                    self.body = None;
                    return None;
                }
                Err(error) => {
                    self.body = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events_in(pieces: &[&[u8]]) -> Vec<(String, String, String)> {
        let mut parser = EventParser::new(1 << 16);
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(piece).unwrap();
            while let Some(event) = parser.next_event() {
                events.push((event.name, event.data, event.id));
            }
        }
        events
    }

    fn data_of(stream: &str) -> Vec<String> {
        events_in(&[stream.as_bytes()]).into_iter().map(|(_, data, _)| data).collect()
    }

    #[test]
    fn the_standards_own_examples() {
        assert_eq!(data_of("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
        let stream = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n\
                      data:  third event\n\n";
        let events = events_in(&[stream.as_bytes()]);
        let told: Vec<_> = events.iter().map(|(_, data, id)| (&**data, &**id)).collect();
        assert_eq!(told, [("first event", "1"), ("second event", ""), (" third event", "")]);
        // The last block is discarded, since no blank line ends it.
        assert_eq!(data_of("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
        assert_eq!(data_of("data:test\n\ndata: test\n\n"), ["test", "test"]);
    }

    #[test]
    fn ids_and_retries_come_without_data_too() {
        let mut parser = EventParser::new(100);
        parser.feed(b"\xef\xbb\xbfid: 7\nretry: 250\n\nid: a\0b\nretry: soon\n\n").unwrap();
        assert_eq!((parser.last_id(), parser.retry_ms()), ("7", Some(250)));
        assert_eq!(parser.next_event(), None);
    }

    #[test]
    fn an_event_has_a_bound() {
        let mut parser = EventParser::new(10);
        assert!(parser.feed(b"data: 0123456789\n\n").is_ok());
        assert_eq!(
            parser.feed(b"data: 012345\ndata: 6789a\n").unwrap_err().code(),
            Code::AGENT_PROTOCOL
        );
        let mut parser = EventParser::new(10);
        assert!((0..100).any(|_| parser.feed(b"endless").is_err()));
        // Many short ones are none of its business.
        let mut parser = EventParser::new(10);
        assert!((0..100).all(|_| parser.feed(b"data: x\n\n").is_ok()));
    }

    proptest! {
        #[test]
        fn pieces_and_line_ends_make_no_difference(
            lines in prop::collection::vec(
                prop_oneof![
                    "data:[ a-zé]{0,6}", "event: ?[a-z]{0,4}", "id: ?[0-9]{0,3}", ":[ -~]{0,5}",
                    Just(String::new()), "data", "retry: ?[0-9a]{0,3}", "[a-z]{0,5}:?[a-z]{0,3}",
                ],
                0..24,
            ),
            ends in prop::collection::vec(prop_oneof![Just("\n"), Just("\r"), Just("\r\n")], 24),
            cuts in prop::collection::vec(0..200_usize, 0..8),
            mark in any::<bool>(),
        ) {
            let plain = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let mut mixed = if mark { "\u{feff}".to_owned() } else { String::new() };
            for (line, end) in lines.iter().zip(&ends) {
                // A carriage return before an empty line's line feed would be one end, not two.
                let end = if *end == "\r" { "\r\n" } else { end };
                mixed.push_str(line);
                mixed.push_str(end);
            }
            let returns = plain.replace('\n', "\r");
            let expected = events_in(&[plain.as_bytes()]);
            prop_assert_eq!(&events_in(&[returns.as_bytes()]), &expected);
            let mut rest = mixed.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(&events_in(&pieces), &expected);
            let single: Vec<&[u8]> = mixed.as_bytes().chunks(1).collect();
            prop_assert_eq!(&events_in(&single), &expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut parser = EventParser::new(50);
            let _ = parser.feed(&bytes);
            while let Some(event) = parser.next_event() {
                // A replacement character has three bytes for one that was not UTF-8.
                prop_assert!(event.data.len() <= 150);
            }
        }
    }
}
