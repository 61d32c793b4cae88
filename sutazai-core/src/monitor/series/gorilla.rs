//! Points as they come: delta-of-delta times, XORed values.
//!
//! T. Pelkonen et al.: Gorilla: A Fast, Scalable, In-Memory Time Series Database, VLDB 2015. Times are
//! ticks of up to a nanosecond instead of seconds, so the classes of differences of differences are wider: 7
//! bits for jitter of ticks, 14 for microseconds, 22 for milliseconds, 32 for seconds, and all 64; and a row may have several values, each XORed with the one before it of its column. All arithmetic on
//! times wraps, so that any times come back as they were.

use super::bits::Bits;

/// Rows of `N` values, each at its time, encoded.
#[derive(Clone, Debug)]
pub(super) struct Gorilla<const N: usize> {
    bits: Bits,
    count: usize,
    first: i64,
    end: Cursor<N>,
}

/// Where a row ends, and what the next is encoded against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<const N: usize> {
    /// Bits before it.
    at: usize,
    /// Rows before it.
    rows: usize,
    time: i64,
    delta: i64,
    columns: [Column; N],
}

/// The last value of a column, and which of its bits the last difference had.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    value: u64,
    leading: u8,
    /// 0: no difference yet.
    width: u8,
}

/// A row: its time in ticks, its values.
pub(super) type Row<const N: usize> = (i64, [f64; N]);

impl<const N: usize> Cursor<N> {
    /// The beginning.
    pub(super) const START: Self = Self {
        at: 0,
        rows: 0,
        time: 0,
        delta: 0,
        columns: [Column { value: 0, leading: 0, width: 0 }; N],
    };

    /// Rows before it.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

impl<const N: usize> Default for Gorilla<N> {
    fn default() -> Self {
        Self { bits: Bits::default(), count: 0, first: 0, end: Cursor::START }
    }
}

impl<const N: usize> Gorilla<N> {
    /// What [`words`](Self::words) were written by another one of so many rows. Words that say something else
    /// make it end early.
    pub(super) fn from_words(words: Vec<u64>, count: usize) -> Self {
        let mut read = Self { bits: Bits::from_words(words), count, ..Self::default() };
        read.first = read.rows().next().map_or(0, |(time, _)| time);
        read
    }

    /// Adds a row. Any time and any values will do.
    #[inline]
    pub(super) fn push(&mut self, time: i64, values: [f64; N]) {
        let end = &mut self.end;
        if self.count == 0 {
            self.first = time;
            self.bits.push(time as u64, 64);
            for (column, value) in end.columns.iter_mut().zip(values) {
                column.value = value.to_bits();
                self.bits.push(column.value, 64);
            }
        } else {
            let delta = time.wrapping_sub(end.time);
            push_time(&mut self.bits, delta.wrapping_sub(end.delta));
            end.delta = delta;
            for (column, value) in end.columns.iter_mut().zip(values) {
                column.push(&mut self.bits, value.to_bits());
            }
        }
        end.time = time;
        self.count += 1;
    }

    /// The rows, in the order in which they came.
    pub(super) fn rows(&self) -> Rows<'_, N> {
        self.rows_after(Cursor::START)
    }

    /// The rows after a place that [`Rows::cursor`] told.
    pub(super) fn rows_after(&self, cursor: Cursor<N>) -> Rows<'_, N> {
        Rows { bits: &self.bits, left: self.count.saturating_sub(cursor.rows), cursor }
    }

    /// Rows that it has.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The first and the last time; nothing while it is empty.
    #[inline]
    pub(super) fn ends(&self) -> Option<(i64, i64)> {
        (self.count > 0).then_some((self.first, self.end.time))
    }

    /// The encoded rows.
    pub(super) fn words(&self) -> &[u64] {
        self.bits.words()
    }

    /// Bytes of memory that the rows have.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bits.bytes()
    }

    /// Gives back the memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.bits.shrink();
    }
}

/// Reads rows.
#[derive(Clone, Debug)]
pub(super) struct Rows<'a, const N: usize> {
    bits: &'a Bits,
    left: usize,
    cursor: Cursor<N>,
}

impl<const N: usize> Rows<'_, N> {
    /// The place after the last row that was read.
    pub(super) fn cursor(&self) -> Cursor<N> {
        self.cursor
    }

    fn bit(&mut self, count: u32) -> Option<u64> {
        let bits = self.bits.read(self.cursor.at, count)?;
        self.cursor.at += count as usize;
        Some(bits)
    }

    fn row(&mut self) -> Option<Row<N>> {
        let mut values = [0.0; N];
        if self.cursor.rows == 0 {
            self.cursor.time = self.bit(64)? as i64;
            for (index, value) in values.iter_mut().enumerate() {
                let bits = self.bit(64)?;
                self.cursor.columns.get_mut(index)?.value = bits;
                *value = f64::from_bits(bits);
            }
        } else {
            let change = self.time()?;
            self.cursor.delta = self.cursor.delta.wrapping_add(change);
            self.cursor.time = self.cursor.time.wrapping_add(self.cursor.delta);
            for (index, value) in values.iter_mut().enumerate() {
                *value = self.value(index)?;
            }
        }
        self.cursor.rows += 1;
        Some((self.cursor.time, values))
    }

    fn time(&mut self) -> Option<i64> {
        for width in CLASSES {
            if self.bit(1)? == 0 {
                return if width == 0 { Some(0) } else { self.signed(width) };
            }
        }
        self.signed(64)
    }

    fn signed(&mut self, width: u32) -> Option<i64> {
        let unused = 64 - width;
        Some(((self.bit(width)? << unused) as i64) >> unused)
    }

    fn value(&mut self, index: usize) -> Option<f64> {
        let mut column = *self.cursor.columns.get(index)?;
        if self.bit(1)? == 1 {
            if self.bit(1)? == 1 {
                column.leading = self.bit(5)? as u8;
                column.width = self.bit(6)? as u8 + 1;
            }
            let (leading, width) = (u32::from(column.leading), u32::from(column.width));
            // What was written never has these; other bytes may.
            if width == 0 || leading + width > 64 {
                return None;
            }
            column.value ^= self.bit(width)? << (64 - leading - width);
            *self.cursor.columns.get_mut(index)? = column;
        }
        Some(f64::from_bits(column.value))
    }
}

impl<const N: usize> Iterator for Rows<'_, N> {
    type Item = Row<N>;
    fn next(&mut self) -> Option<Row<N>> {
        self.left = self.left.checked_sub(1)?;
        self.row()
    }
}

/// Widths of the classes of differences of differences: `0`, `10…`, `110…`, `1110…`, `11110…`; `11111` is
/// followed by all 64 bits.
const CLASSES: [u32; 5] = [0, 7, 14, 22, 32];

#[inline]
fn push_time(bits: &mut Bits, change: i64) {
    if change == 0 {
        return bits.push(0, 1);
    }
    for (prefix, width) in (2..).zip(CLASSES.into_iter().skip(1)) {
        if (change << (64 - width)) >> (64 - width) == change {
            // As many ones as there are classes before, and a zero.
            let class = (1_u64 << prefix) - 2;
            return bits
                .push(class << width | (change as u64 & ((1 << width) - 1)), prefix + width);
        }
    }
    bits.push(0b11111, 5);
    bits.push(change as u64, 64);
}

impl Column {
    #[inline]
    fn push(&mut self, bits: &mut Bits, value: u64) {
        let change = self.value ^ value;
        self.value = value;
        if change == 0 {
            return bits.push(0, 1);
        }
        // Five bits tell the leading zeros.
        let (leading, trailing) = (change.leading_zeros().min(31), change.trailing_zeros());
        let (before, width) = (u32::from(self.leading), u32::from(self.width));
        if width > 0 && leading >= before && trailing >= 64 - before - width {
            bits.push(0b10, 2);
            return bits.push(change >> (64 - before - width), width);
        }
        let width = 64 - leading - trailing;
        bits.push(0b11 << 11 | u64::from(leading) << 6 | u64::from(width - 1), 13);
        bits.push(change >> trailing, width);
        (self.leading, self.width) = (leading as u8, width as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits<const N: usize>(row: Row<N>) -> (i64, [u64; N]) {
        (row.0, row.1.map(f64::to_bits))
    }

    fn agrees<const N: usize>(rows: &[Row<N>]) {
        let mut encoded = Gorilla::default();
        for (index, &(time, values)) in rows.iter().enumerate() {
            encoded.push(time, values);
            assert_eq!(encoded.len(), index + 1);
            let read: Vec<_> = encoded.rows().map(bits).collect();
            let written: Vec<_> = rows.iter().take(index + 1).copied().map(bits).collect();
            assert_eq!(read, written, "readable at every length");
        }
        let again = Gorilla::<N>::from_words(encoded.words().to_vec(), rows.len());
        assert!(again.rows().map(bits).eq(rows.iter().copied().map(bits)));
    }

    proptest! {
        #[test]
        fn any_rows_come_back(rows in prop::collection::vec((any::<i64>(), any::<u64>(), any::<u64>()), 0..60)) {
            let rows: Vec<_> = rows.iter()
                .map(|&(t, a, b)| (t, [f64::from_bits(a), f64::from_bits(b)])).collect();
            agrees(&rows);
        }

        #[test]
        fn usual_rows_come_back(steps in prop::collection::vec((-5000..5000_i64, -3..300_i32), 0..80)) {
            let mut time = 1_795_735_467_939;
            let rows: Vec<_> = steps.iter().map(|&(step, value)| {
                time += 1000 + step;
                (time, [f64::from(value) / 100.0])
            }).collect();
            agrees(&rows);
        }

        #[test]
        fn other_bytes_end_early(words in prop::collection::vec(any::<u64>(), 0..40), count in 0..10_000_usize) {
            let read = Gorilla::<6>::from_words(words, count);
            prop_assert!(read.rows().count() <= count);
        }
    }

    #[test]
    fn a_reading_goes_on_where_it_ended() {
        let mut encoded = Gorilla::<1>::default();
        (0..10).for_each(|i| encoded.push(i, [i as f64]));
        let mut rows = encoded.rows();
        rows.by_ref().take(10).for_each(drop);
        let mark = rows.cursor();
        assert_eq!(mark.rows(), 10);
        (10..20).for_each(|i| encoded.push(i * i, [0.1 * i as f64]));
        let rest: Vec<_> = encoded.rows_after(mark).collect();
        assert_eq!(rest, (10..20).map(|i| (i * i, [0.1 * i as f64])).collect::<Vec<_>>());
    }

    #[test]
    fn a_steady_series_takes_two_bits_a_point() {
        let mut encoded = Gorilla::<1>::default();
        (0..6_400).for_each(|i| encoded.push(i * 1000, [5.0]));
        assert!(encoded.words().len() <= 204, "{} words", encoded.words().len());
    }
}
