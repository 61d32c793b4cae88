//! What has been acknowledged and is not in the tree yet: a sequence of segments that are only
//! appended to, each of them allocated and zeroed before it is needed.

mod commit;
mod frame;
mod recover;

pub(super) use commit::Commit;
pub(super) use frame::{FRAME, HEADER, Head, Step, length, read as read_frame};
pub(super) use recover::{Cut, Found, recover};

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::files::{Files, Segment, SegmentFile};
use crate::base::os::append::Appender;

/// The folder of the segments.
pub(super) const FOLDER: &str = "journal";
/// The longest segment that is read.
pub(super) const SEGMENT_MAX: usize = 1 << 30;

/// The path of a segment.
pub(super) fn path(sequence: u64) -> String {
    format!("{FOLDER}/{sequence:012}.segment")
}

/// The sequence number of a segment, from its name.
pub(super) fn sequence_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".segment")?;
    (number.len() == 12).then(|| number.parse().ok())?
}

/// A segment that holds records which are still needed.
#[derive(Clone)]
struct Held {
    head: Head,
    file: Arc<SegmentFile>,
    /// The number of the record after its last; `None` while it is written.
    end: Option<u64>,
}

struct Active {
    appender: Appender,
    held: VecDeque<Held>,
    /// The segment after this one, where it is there already.
    spare: Option<Segment>,
    /// The sequence number of the next segment that is made.
    sequence: u64,
    /// The number of the next record.
    next: u64,
    chain: u32,
}

/// Why a record was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Another segment must be made first: [`Journal::prepare`].
    NeedsSegment,
}

/// Where a reader of the journal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub sequence: u64,
    pub at: usize,
    pub chain: u32,
    /// The number of the record there.
    pub index: u64,
}

/// See the module's documentation.
pub(super) struct Journal {
    files: Arc<dyn Files>,
    active: Mutex<Active>,
    /// Held while a segment is made, so that one is.
    making: Mutex<()>,
    segment_bytes: usize,
    segments_max: usize,
    /// Bytes appended since it was opened.
    bytes: AtomicU64,
}

impl Journal {
    /// A journal that goes on where `found` ends.
    pub(super) fn new(
        files: Arc<dyn Files>,
        found: Found,
        segment_bytes: usize,
        segments_max: usize,
    ) -> io::Result<Self> {
        let Found { held, appender, next, chain, sequence, .. } = found;
        let mut held = held;
        let mut sequence = sequence;
        let appender = match appender {
            Some(appender) => appender,
            None => {
                let segment = files.create_segment(&path(sequence), segment_bytes)?;
                let head = Head { first: next, sequence, bytes: segment.length(), chain };
                let (appender, file) = begin(segment, &head)?;
                held.push_back(Held { head, file: Arc::new(file), end: None });
                sequence += 1;
                appender
            }
        };
        let active = Active { appender, held, spare: None, sequence, next, chain };
        Ok(Self {
            files,
            active: Mutex::new(active),
            making: Mutex::new(()),
            segment_bytes,
            segments_max: segments_max.max(2),
            bytes: AtomicU64::new(0),
        })
    }

    /// Appends a record and answers its number, and whether there is something to do: a segment was just
    /// begun, or is half full. When this returns, it survives the process.
    #[inline]
    pub(super) fn append(&self, class: u8, record: &[u8]) -> Result<(u64, bool), Full> {
        let crc = crc32fast::hash(record);
        let size = record.len() as u32;
        let padding = record.len().next_multiple_of(8) - record.len();
        let mut active = self.active.lock();
        // Room for the seal is always left.
        let rolls = active.appender.room() < length(record.len()) + FRAME;
        if rolls {
            roll(&mut active)?;
        }
        let room = active.appender.room();
        let (header, chain) = frame::header(active.chain, size, class, crc);
        let padding = ZEROS.get(..padding).unwrap_or_default();
        if !active.appender.append(&[&header, record, padding]) {
            return Err(Full::NeedsSegment);
        }
        active.chain = chain;
        let index = active.next;
        active.next += 1;
        let half = self.segment_bytes / 2;
        let due = rolls || (room >= half && active.appender.room() < half);
        drop(active);
        self.bytes.fetch_add(length(record.len()) as u64, Ordering::Relaxed);
        Ok((index, due))
    }

    /// Makes the next segment ready; false when there are as many as there may be.
    pub(super) fn prepare(&self) -> io::Result<bool> {
        let _one = self.making.lock();
        let sequence = {
            let mut active = self.active.lock();
            if active.spare.is_some() {
                return Ok(true);
            }
            if active.held.len() >= self.segments_max {
                return Ok(false);
            }
            active.sequence += 1;
            active.sequence - 1
        };
        let made = self.files.create_segment(&path(sequence), self.segment_bytes);
        let mut active = self.active.lock();
        match made {
            Ok(segment) => active.spare = Some(segment),
            // Nobody else takes a number meanwhile.
            Err(error) => {
                active.sequence -= 1;
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Whether the next segment should be made before it is needed.
    pub(super) fn wants_spare(&self) -> bool {
        let active = self.active.lock();
        active.spare.is_none()
            && active.held.len() < self.segments_max
            && active.appender.room() < self.segment_bytes / 2
    }

    /// Whether half of the segments that there may be are in use.
    pub(super) fn is_half_full(&self) -> bool {
        self.active.lock().held.len() > self.segments_max / 2
    }

    /// The number of the next record.
    pub(super) fn next(&self) -> u64 {
        self.active.lock().next
    }

    /// Bytes appended since it was opened.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many segments are held.
    pub(super) fn segments(&self) -> usize {
        self.active.lock().held.len()
    }

    /// Makes durable what was appended before this call, where it is not (`synced` is), and answers up
    /// to which record.
    pub(super) fn sync(&self, synced: u64) -> io::Result<u64> {
        let (next, dirty) = {
            let active = self.active.lock();
            let dirty: Vec<_> = active
                .held
                .iter()
                .filter(|held| held.end.is_none_or(|end| end > synced))
                .map(|held| Arc::clone(&held.file))
                .collect();
            (active.next, dirty)
        };
        // In order: what is durable is always a beginning of the journal.
        for file in dirty {
            self.files.sync_segment(&file)?;
        }
        Ok(next)
    }

    /// The records from `cursor` on that had been appended before this call.
    pub(super) fn view(&self, cursor: Cursor) -> Tail {
        let active = self.active.lock();
        let held = active.held.iter().filter(|held| held.head.sequence >= cursor.sequence);
        Tail { held: held.cloned().collect(), end: active.next, cursor }
    }

    /// A cursor at the first record that is held.
    pub(super) fn start(&self) -> Option<Cursor> {
        let active = self.active.lock();
        let head = active.held.front()?.head;
        Some(Cursor { sequence: head.sequence, at: HEADER, chain: head.chain, index: head.first })
    }

    /// Removes the segments whose records are all below `index`.
    pub(super) fn forget(&self, index: u64) -> io::Result<()> {
        loop {
            let gone = {
                let mut active = self.active.lock();
                let gone =
                    active.held.front().is_some_and(|h| h.end.is_some_and(|end| end <= index));
                if gone { active.held.pop_front() } else { None }
            };
            match gone {
                Some(held) => self.files.remove(&path(held.head.sequence))?,
                None => return Ok(()),
            }
        }
    }
}

static ZEROS: [u8; 8] = [0; 8];

/// Goes over to the spare segment.
#[cold]
fn roll(active: &mut Active) -> Result<(), Full> {
    let Some(spare) = active.spare.take() else { return Err(Full::NeedsSegment) };
    let (seal, chain) = frame::seal(active.chain);
    let sequence = active.held.back().map_or(0, |held| held.head.sequence + 1);
    // There is room for the seal: `append` leaves it.
    let _sealed = active.appender.append(&[&seal]);
    let head = Head { first: active.next, sequence, bytes: spare.length(), chain };
    let Ok((appender, file)) = begin(spare, &head) else { return Err(Full::NeedsSegment) };
    if let Some(before) = active.held.back_mut() {
        before.end = Some(active.next);
    }
    active.appender = appender;
    active.chain = chain;
    active.held.push_back(Held { head, file: Arc::new(file), end: None });
    Ok(())
}

fn begin(segment: Segment, head: &Head) -> io::Result<(Appender, SegmentFile)> {
    let Segment { mut appender, file } = segment;
    if appender.append(&[&head.bytes()]) {
        Ok((appender, file))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "the segment is too short for its header"))
    }
}

/// A part of the journal, to read from front to back.
pub(super) struct Tail {
    held: VecDeque<Held>,
    /// The number of the record after the last.
    end: u64,
    cursor: Cursor,
}

impl Tail {
    /// The number of the record after the last.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Where it stands.
    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Gives the next record to `with`: its number, its class, its bytes. False at the end.
    ///
    /// # Errors
    /// Says why what was written reads as something else.
    pub(super) fn next<T>(
        &mut self,
        with: impl FnOnce(u64, u8, &[u8]) -> T,
    ) -> Result<Option<T>, &'static str> {
        while self.cursor.index < self.end {
            let Some(held) = self.held.front() else {
                return Err("a segment of the journal is missing");
            };
            if held.head.sequence < self.cursor.sequence {
                self.held.pop_front();
                continue;
            }
            if held.head.sequence > self.cursor.sequence {
                // The segment before was read up to its seal, and has been forgotten since.
                let sealed = frame::seal(self.cursor.chain).1;
                if (held.head.first, held.head.chain) != (self.cursor.index, sealed) {
                    return Err("a segment of the journal is missing");
                }
                self.cursor.sequence = held.head.sequence;
                self.cursor.at = HEADER;
                self.cursor.chain = held.head.chain;
            }
            match read_frame(held.file.bytes(), self.cursor.at, self.cursor.chain) {
                Step::Frame { class, record, next, chain } => {
                    let given = with(self.cursor.index, class, record);
                    self.cursor.at = next;
                    self.cursor.chain = chain;
                    self.cursor.index += 1;
                    return Ok(Some(given));
                }
                Step::Sealed { chain, .. } => {
                    self.held.pop_front();
                    self.cursor.sequence += 1;
                    self.cursor.at = HEADER;
                    self.cursor.chain = chain;
                }
                Step::End => return Err("the journal ends before its last record"),
                Step::Torn(why) => return Err(why),
            }
        }
        Ok(None)
    }
}
