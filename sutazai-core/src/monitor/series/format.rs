//! How blocks and the journal are written on a shelf. Version 1.
//!
//! A block: `SHB1`, the CRC-32 (IEEE) of all that follows, then a [`Heading`], rows' number (`u32`), first and last
//! time (`i64`), the next number of the journal (`u64`), the times' length (`u32`), the times, the columns. A record
//! of the journal: `SHJ1`, the CRC-32, and entries: a heading, whether it makes void (`u8`) from which time
//! on (`i64`), rows' number (`u32`), words' number (`u32`), the words of the rows (`u64`). Integers are little-endian.

use super::block::{Block, Body, ROWS_MAX, Sealed};
use super::gorilla::Gorilla;
use super::level::News;

const BLOCK: [u8; 4] = *b"SHB1";
const JOURNAL: [u8; 4] = *b"SHJ1";

/// Whose rows follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) name: String,
    /// Nanoseconds of a tick.
    pub(super) tick_ns: u32,
    /// Ticks of a row; 0 for points.
    pub(super) step: i64,
}

/// A block that was read: one value a row, or six.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) heading: Heading,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) count: usize,
    /// The number that the journal's next record had when it was written.
    pub(super) number: u64,
    pub(super) sealed: Sealed,
}

/// An entry of the journal.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) heading: Heading,
    pub(super) void: Option<i64>,
    pub(super) count: usize,
    pub(super) words: Vec<u64>,
}

/// The bytes of a sealed block; nothing for another one.
pub(super) fn write_block<const N: usize>(
    heading: &Heading,
    block: &Block<N>,
    number: u64,
) -> Option<Vec<u8>> {
    let Body::Sealed(sealed) = &block.body else { return None };
    let mut out = begin(BLOCK);
    write_heading(&mut out, heading);
    out.extend(length(block.count));
    out.extend(block.first.to_le_bytes());
    out.extend(block.last.to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend(length(sealed.times.len()));
    out.extend(&*sealed.times);
    out.extend(&*sealed.values);
    end(&mut out);
    Some(out)
}

/// # Errors
/// Why the bytes are not a block.
pub(super) fn read_block(bytes: &[u8]) -> Result<Loaded, &'static str> {
    let mut rest = checked(bytes, BLOCK)?;
    let short = "a block ends early";
    let heading = read_heading(&mut rest).ok_or(short)?;
    let mut fields = || {
        let count = take_length(&mut rest)?;
        let (first, last) = (take_i64(&mut rest)?, take_i64(&mut rest)?);
        let number = u64::from_le_bytes(take(&mut rest)?);
        let times = take_length(&mut rest)?;
        let (times, values) = rest.split_at_checked(times)?;
        let sealed = Sealed { times: times.into(), values: values.into() };
        Some((count, first, last, number, sealed))
    };
    let (count, first, last, number, sealed) = fields().ok_or(short)?;
    if count == 0 || count > ROWS_MAX || first > last {
        return Err("a block's figures make no sense");
    }
    Ok(Loaded { heading, first, last, count, number, sealed })
}

/// A record of the journal without entries.
pub(super) fn begin_record() -> Vec<u8> {
    begin(JOURNAL)
}

/// Adds an entry to a record.
pub(super) fn add_entry<const N: usize>(out: &mut Vec<u8>, heading: &Heading, news: &News<N>) {
    write_heading(out, heading);
    out.push(u8::from(news.void.is_some()));
    out.extend(news.void.unwrap_or_default().to_le_bytes());
    out.extend(length(news.rows.len()));
    out.extend(length(news.rows.words().len()));
    out.extend(news.rows.words().iter().flat_map(|word| word.to_le_bytes()));
}

/// Adds an entry that says that no row of a series counts that earlier records have.
pub(super) fn add_void(out: &mut Vec<u8>, heading: &Heading) {
    write_heading(out, heading);
    out.push(1);
    out.extend(i64::MIN.to_le_bytes());
    out.extend(length(0));
    out.extend(length(0));
}

/// Ends a record.
pub(super) fn end_record(out: &mut [u8]) {
    end(out);
}

/// # Errors
/// Why the bytes are not a record of the journal.
pub(super) fn read_record(bytes: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let mut rest = checked(bytes, JOURNAL)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(read_entry(&mut rest).ok_or("a record of the journal ends early")?);
    }
    Ok(entries)
}

fn read_entry(rest: &mut &[u8]) -> Option<Entry> {
    let heading = read_heading(rest)?;
    let [is_void] = take(rest)?;
    let void = take_i64(rest)?;
    let (count, words) = (take_length(rest)?, take_length(rest)?);
    let (bytes, after) = rest.split_at_checked(words.checked_mul(8)?)?;
    *rest = after;
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Some(Entry { heading, void: (is_void != 0).then_some(void), count, words })
}

impl Entry {
    /// Its rows.
    pub(super) fn rows<const N: usize>(self) -> Gorilla<N> {
        Gorilla::from_words(self.words, self.count)
    }
}

fn write_heading(out: &mut Vec<u8>, heading: &Heading) {
    out.extend(heading.tick_ns.to_le_bytes());
    out.extend(heading.step.to_le_bytes());
    out.extend(length(heading.name.len()));
    out.extend(heading.name.as_bytes());
}

fn read_heading(rest: &mut &[u8]) -> Option<Heading> {
    let tick_ns = u32::from_le_bytes(take(rest)?);
    let step = take_i64(rest)?;
    let name = take_length(rest)?;
    let (name, after) = rest.split_at_checked(name)?;
    *rest = after;
    Some(Heading { name: String::from_utf8(name.to_vec()).ok()?, tick_ns, step })
}

fn begin(magic: [u8; 4]) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend([0; 4]);
    out
}

fn end(out: &mut [u8]) {
    if let Some((head, body)) = out.split_at_mut_checked(8)
        && let Some((_, place)) = head.split_last_chunk_mut::<4>()
    {
        *place = crc32fast::hash(body).to_le_bytes();
    }
}

fn checked(bytes: &[u8], magic: [u8; 4]) -> Result<&[u8], &'static str> {
    let mut rest = bytes;
    if take(&mut rest) != Some(magic) {
        return Err("not of this format and version");
    }
    let crc = take(&mut rest).map(u32::from_le_bytes);
    (crc == Some(crc32fast::hash(rest))).then_some(rest).ok_or("the checksum does not fit")
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(take(rest)?)).ok()
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    take(rest).map(i64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block() -> Vec<u8> {
        let mut rows = Gorilla::<1>::default();
        (0..100).for_each(|i| rows.push(i * 1000, [i as f64]));
        let heading = Heading { name: "cpu".to_owned(), tick_ns: 1_000_000, step: 0 };
        let sealed = Block::frozen(rows, None).unwrap().sealed().unwrap();
        write_block(&heading, &sealed, 7).unwrap()
    }

    #[test]
    fn blocks_come_back() {
        let read = read_block(&block()).unwrap();
        assert_eq!((read.first, read.last, read.count, read.number), (0, 99_000, 100, 7));
        assert_eq!(read.heading.name, "cpu");
        let block = Block::<1>::loaded(read.first, read.last, read.count, read.sealed);
        assert_eq!(block.rows().unwrap().last(), Some(&(99_000, [99.0])));
    }

    #[test]
    fn each_changed_byte_is_seen() {
        let good = block();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 0x10;
            assert!(read_block(&bad).is_err(), "byte {index}");
            assert!(read_block(&good[..index]).is_err(), "cut at {index}");
        }
    }

    proptest! {
        #[test]
        fn other_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 8..200), journal: bool) {
            bytes[..4].copy_from_slice(if journal { &JOURNAL } else { &BLOCK });
            end(&mut bytes);
            // The checksum fits: whatever they say, they end without a panic.
            let _ = read_block(&bytes).map(|l| Block::<6>::loaded(l.first, l.last, l.count, l.sealed).rows());
            for entry in read_record(&bytes).unwrap_or_default() {
                entry.rows::<6>().rows().for_each(drop);
            }
        }
    }
}
