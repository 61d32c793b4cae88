//! A block: rows that no row is added to any more. Encoded as they came until they are sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::column;
use super::gorilla::{Gorilla, Row};

/// Rows of a block, at most.
pub(super) const ROWS_MAX: usize = 4_096;

/// The first of a column's two bytes that say which earlier column it is the same as; `column` has the others.
const SAME: u8 = 4;
/// No record of the journal.
const NONE: u64 = u64::MAX;

/// Rows, from the first to the last.
#[derive(Debug)]
pub(super) struct Block<const N: usize> {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) count: usize,
    /// The first record of the journal that has some of the rows; [`NONE`] when none has.
    journal: AtomicU64,
    pub(super) body: Body<N>,
    /// Whether the shelf has it.
    stored: AtomicBool,
}

/// Where the rows are.
#[derive(Debug)]
pub(super) enum Body<const N: usize> {
    /// As they came; apart, since most blocks are not so for long.
    Frozen(Box<Gorilla<N>>),
    /// Compressed.
    Sealed(Sealed),
}

/// Compressed columns. Series that are measured together share their times.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) times: Arc<[u8]>,
    /// Each column's bytes after their number (`u32`, little-endian).
    pub(super) values: Box<[u8]>,
}

impl<const N: usize> Block<N> {
    /// What a head had; nothing when that was empty.
    pub(super) fn frozen(mut rows: Gorilla<N>, journal: Option<u64>) -> Option<Self> {
        rows.shrink();
        let (first, last) = rows.ends()?;
        let count = rows.len();
        Some(Self {
            first,
            last,
            count,
            journal: AtomicU64::new(journal.unwrap_or(NONE)),
            body: Body::Frozen(Box::new(rows)),
            stored: AtomicBool::new(false),
        })
    }

    /// What was read from the shelf.
    pub(super) fn loaded(first: i64, last: i64, count: usize, sealed: Sealed) -> Self {
        let (journal, stored) = (AtomicU64::new(NONE), AtomicBool::new(true));
        Self { first, last, count, journal, body: Body::Sealed(sealed), stored }
    }

    /// The same rows, compressed; nothing when they are already.
    pub(super) fn sealed(&self) -> Option<Self> {
        let Body::Frozen(rows) = &self.body else { return None };
        let mut times = Vec::with_capacity(self.count);
        let mut columns: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(self.count));
        for (time, values) in rows.rows() {
            times.push(time);
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        let mut values = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let bytes = match columns.iter().take(index).position(|other| same(other, column)) {
                // A counter's largest value is its last.
                Some(other) => vec![SAME, u8::try_from(other).unwrap_or(u8::MAX)],
                None => column::write_values(column),
            };
            values.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            values.extend(bytes);
        }
        let times = column::write_times(&times).into();
        let sealed = Sealed { times, values: values.into() };
        Some(Self {
            first: self.first,
            last: self.last,
            count: self.count,
            journal: AtomicU64::new(self.journal.load(Ordering::Acquire)),
            body: Body::Sealed(sealed),
            stored: AtomicBool::new(false),
        })
    }

    /// The rows; nothing when they are damaged.
    pub(super) fn rows(&self) -> Option<Vec<Row<N>>> {
        match &self.body {
            Body::Frozen(rows) => Some(rows.rows().collect()),
            Body::Sealed(sealed) => sealed.rows(self.count),
        }
    }

    /// Bytes of memory that are its own: the times of sealed ones are counted where they are shared.
    pub(super) fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::Frozen(rows) => size_of::<Gorilla<N>>() + rows.bytes(),
            Body::Sealed(sealed) => sealed.values.len(),
        };
        // The block, the counts of its `Arc`, and its place in the level's queue.
        body + size_of::<Self>() + 24
    }

    /// The first record of the journal that has some of the rows.
    pub(super) fn journal(&self) -> Option<u64> {
        Some(self.journal.load(Ordering::Acquire)).filter(|number| *number != NONE)
    }

    /// The journal's record `number` has some of the rows.
    pub(super) fn journalled(&self, number: u64) {
        self.journal.fetch_min(number, Ordering::AcqRel);
    }

    /// Whether the shelf has it.
    pub(super) fn is_stored(&self) -> bool {
        self.stored.load(Ordering::Acquire)
    }

    /// The shelf has it.
    pub(super) fn set_stored(&self) {
        self.stored.store(true, Ordering::Release);
    }
}

impl Sealed {
    fn rows<const N: usize>(&self, count: usize) -> Option<Vec<Row<N>>> {
        let times = column::read_times(&self.times, count)?;
        let mut rest = &*self.values;
        let mut rows: Vec<Row<N>> = times.into_iter().map(|time| (time, [0.0; N])).collect();
        for index in 0..N {
            let (length, after) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (column, after) = after.split_at_checked(length)?;
            rest = after;
            if let [SAME, other] = column {
                for row in &mut rows {
                    *row.1.get_mut(index)? = *row.1.get(usize::from(*other))?;
                }
                continue;
            }
            for (row, value) in rows.iter_mut().zip(column::read_values(column, count)?) {
                *row.1.get_mut(index)? = value;
            }
        }
        rest.is_empty().then_some(rows)
    }
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealing_keeps_the_rows() {
        let mut rows = Gorilla::<3>::default();
        (0..500)
            .for_each(|i| rows.push(i * 1000 + i % 7, [0.01 * i as f64, -0.0, 0.01 * i as f64]));
        let before: Vec<_> = rows.rows().collect();
        let frozen = Block::frozen(rows, Some(3)).unwrap();
        let sealed = frozen.sealed().unwrap();
        assert_eq!(sealed.rows().unwrap(), before);
        assert_eq!((sealed.first, sealed.last, sealed.count), (0, 499_002, 500));
        assert_eq!(sealed.journal(), Some(3));
        assert!(sealed.bytes() < frozen.bytes() / 4 && sealed.sealed().is_none());
        assert!(Block::frozen(Gorilla::<1>::default(), None).is_none());
    }
}
