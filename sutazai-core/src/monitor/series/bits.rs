//! A bit string: written at the end, read anywhere.

/// Bits, the first of a word being its highest.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    /// Bits that are written.
    len: usize,
}

impl Bits {
    /// From whole words; the last may hold fewer bits than it has.
    pub(super) fn from_words(words: Vec<u64>) -> Self {
        let len = words.len().saturating_mul(64);
        Self { words, len }
    }

    /// Writes the lowest `count` bits of `value`, 1 to 64; the bits above must be zero.
    #[inline]
    pub(super) fn push(&mut self, value: u64, count: u32) {
        let free = (self.words.len() * 64 - self.len) as u32;
        self.len += count as usize;
        match self.words.last_mut() {
            Some(last) if count <= free => *last |= value << (free - count),
            Some(last) if free > 0 => {
                let rest = count - free;
                *last |= value >> rest;
                self.words.push(value << (64 - rest));
            }
            _ => self.words.push(value << (64 - count)),
        }
    }

    /// Reads `count` bits, 1 to 64, from bit `at`; nothing beyond the last word.
    #[inline]
    pub(super) fn read(&self, at: usize, count: u32) -> Option<u64> {
        let (word, offset) = (at / 64, (at % 64) as u32);
        let high = self.words.get(word)? << offset;
        let mut bits = high >> (64 - count);
        if offset + count > 64 {
            bits |= self.words.get(word + 1)? >> (128 - offset - count);
        }
        Some(bits)
    }

    /// The words that hold the bits.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Bytes of memory that it has.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * 8
    }

    /// Gives back the memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.words.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bits;

    proptest! {
        #[test]
        fn reads_what_was_written(parts in prop::collection::vec((any::<u64>(), 1..=64_u32), 0..200)) {
            let mut bits = Bits::default();
            for &(value, count) in &parts {
                bits.push(value >> (64 - count), count);
            }
            let mut at = 0;
            for &(value, count) in &parts {
                prop_assert_eq!(bits.read(at, count), Some(value >> (64 - count)));
                at += count as usize;
            }
            prop_assert_eq!(bits.read(bits.words().len() * 64, 1), None);
        }
    }
}
