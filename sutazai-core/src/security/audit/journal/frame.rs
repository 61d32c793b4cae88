//! How the journal's segments look inside.
//!
//! A segment begins with a header of 32 bytes: the magic word, the number of its first record (8 bytes),
//! its own sequence number (4), its length (4), the checksum of the frame before (4), all little-endian,
//! and a CRC-32 of these. Then
//! come frames: the length of the record (4 bytes), its class (1, then 3 zeros), the CRC-32 of the record
//! (4), and the chained CRC-32 (4), which begins where that of the frame before ended: a frame that is
//! missing, moved or changed breaks the chain. The record follows, with zeros up to a multiple of 8. A
//! segment that is full ends with the header of a frame of length 2³² − 1; zeros follow the last frame.

use crc32fast::Hasher;

use super::super::record::RECORD_MAX;

/// The length of a segment's header.
pub(in crate::security::audit) const HEADER: usize = 32;
/// The length of a frame's header.
pub(in crate::security::audit) const FRAME: usize = 16;

const MAGIC: &[u8; 8] = b"SZAUDIT1";
const SEAL: u32 = u32::MAX;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::security::audit) struct Head {
    pub first: u64,
    pub sequence: u64,
    pub bytes: u32,
    pub chain: u32,
}

impl Head {
    pub(in crate::security::audit) fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let parts: [&[u8]; 5] = [
            MAGIC,
            &self.first.to_le_bytes(),
            &(self.sequence as u32).to_le_bytes(),
            &self.bytes.to_le_bytes(),
            &self.chain.to_le_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
            *to = *from;
        }
        let (body, sum) = bytes.split_at_mut(HEADER - 4);
        sum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        bytes
    }

    pub(in crate::security::audit) fn read(bytes: &[u8]) -> Option<Self> {
        let head = Self {
            first: u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?),
            sequence: u64::from(u32::from_le_bytes(*bytes.get(16..)?.first_chunk()?)),
            bytes: u32::from_le_bytes(*bytes.get(20..)?.first_chunk()?),
            chain: u32::from_le_bytes(*bytes.get(24..)?.first_chunk()?),
        };
        (head.bytes() == *bytes.first_chunk::<HEADER>()?).then_some(head)
    }
}

/// How long a frame with a record of this length is.
#[inline]
pub(in crate::security::audit) const fn length(record: usize) -> usize {
    FRAME + record.next_multiple_of(8)
}

/// The header of the frame of a record, and the chain after it; `crc` is the record's.
#[inline]
pub(in crate::security::audit) fn header(
    chain: u32,
    length: u32,
    class: u8,
    crc: u32,
) -> ([u8; FRAME], u32) {
    let mut bytes = [0; FRAME];
    let (body, sum) = bytes.split_at_mut(FRAME - 4);
    let fields = (u128::from(crc) << 64) | (u128::from(class) << 32) | u128::from(length);
    for (to, from) in body.iter_mut().zip(fields.to_le_bytes()) {
        *to = from;
    }
    let mut hasher = Hasher::new_with_initial(chain);
    hasher.update(body);
    let chain = hasher.finalize();
    sum.copy_from_slice(&chain.to_le_bytes());
    (bytes, chain)
}

/// The header that says that the segment is full.
pub(in crate::security::audit) fn seal(chain: u32) -> ([u8; FRAME], u32) {
    header(chain, SEAL, u8::MAX, 0)
}

/// What stands at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::security::audit) enum Step<'a> {
    /// A record; the next frame begins at `next`, with this chain.
    Frame { class: u8, record: &'a [u8], next: usize, chain: u32 },
    /// The segment is full; the next one begins with this chain.
    Sealed { next: usize, chain: u32 },
    /// Nothing was written here.
    End,
    /// Something else, and why it is no frame.
    Torn(&'static str),
}

/// Reads what stands at `at`, where the frame before ended with `chain`.
pub(in crate::security::audit) fn read(bytes: &[u8], at: usize, chain: u32) -> Step<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(head) = rest.first_chunk::<FRAME>() else {
        let zeros = rest.iter().all(|&b| b == 0);
        return if zeros { Step::End } else { Step::Torn("the segment ends in a frame's header") };
    };
    if head.iter().all(|&b| b == 0) {
        return Step::End;
    }
    let mut fields = [0; 16];
    for (to, from) in fields.iter_mut().zip(head.iter().take(FRAME - 4)) {
        *to = *from;
    }
    let fields = u128::from_le_bytes(fields);
    let (size, class, crc) = (fields as u32, (fields >> 32) as u8, (fields >> 64) as u32);
    let (expected, after) = header(chain, size, class, crc);
    if expected != *head {
        return Step::Torn("the chained checksum is not that of the frame");
    }
    if size == SEAL {
        return Step::Sealed { next: at + FRAME, chain: after };
    }
    let size = size as usize;
    if size > RECORD_MAX {
        return Step::Torn("the frame is longer than a record may be");
    }
    let Some(body) = rest.get(FRAME..length(size)) else {
        return Step::Torn("the record goes beyond the segment");
    };
    let (record, padding) = body.split_at(size);
    if crc32fast::hash(record) != crc || padding.iter().any(|&b| b != 0) {
        return Step::Torn("the checksum is not that of the record");
    }
    Step::Frame { class, record, next: at + length(size), chain: after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_breaks_the_chain() {
        let head = Head { first: 5, sequence: 1, bytes: 4096, chain: 9 };
        let mut bytes = head.bytes().to_vec();
        let mut chain = head.chain;
        for record in [&b"one"[..], b"fourteen bytes"] {
            let (frame, after) = header(chain, record.len() as u32, 3, crc32fast::hash(record));
            chain = after;
            bytes.extend(frame);
            bytes.extend(record);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes.extend(seal(chain).0);
        let sealed = |bytes: &[u8]| {
            let Some(found) = Head::read(bytes).filter(|h| *h == head) else { return false };
            let (mut at, mut chain) = (HEADER, found.chain);
            loop {
                match read(bytes, at, chain) {
                    Step::Frame { next, chain: after, .. } => (at, chain) = (next, after),
                    Step::Sealed { .. } => return true,
                    Step::End | Step::Torn(_) => return false,
                }
            }
        };
        assert!(sealed(&bytes));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!sealed(&bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for short in 0..bytes.len() {
            assert!(!sealed(&bytes[..short]));
        }
    }
}
