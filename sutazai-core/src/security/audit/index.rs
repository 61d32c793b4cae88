//! What is kept of each full bundle so that a query need not read it: when its records happened, of
//! which kinds they are, and a Bloom filter over who, what and which action.
//!
//! It is made from the bundle and can be made again; its bytes are the same each time, so that the
//! verification tool can compare. A filter of 1,024 bytes with 5 bits a name errs on about one name in
//! forty when all 768 names of a bundle differ, and hardly ever in practice (B. H. Bloom, 1970).

use super::query::Query;
use super::record::Skim;
use crate::port::AuditClass;

/// The length of an entry's bytes.
pub(super) const LENGTH: usize = 24 + FILTER;
const FILTER: usize = 1024;
const PROBES: u64 = 5;

/// What is known of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    earliest: i64,
    latest: i64,
    /// A bit a class, then a bit an outcome.
    kinds: u32,
    filter: Vec<u8>,
}

/// What a name is the name of.
#[derive(Clone, Copy)]
enum Name {
    Principal,
    Object,
    Action,
}

impl Default for Summary {
    fn default() -> Self {
        Self { earliest: i64::MAX, latest: i64::MIN, kinds: 0, filter: vec![0; FILTER] }
    }
}

impl Summary {
    /// Of a bundle's records; those that do not parse are left out.
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut summary = Self::default();
        for record in records.filter_map(Skim::of) {
            summary.add(&record);
        }
        summary
    }

    fn add(&mut self, record: &Skim<'_>) {
        let Some(at) = record.at() else { return };
        self.earliest = self.earliest.min(at);
        self.latest = self.latest.max(at);
        self.kinds |= kind(record.class) | 1 << (16 + record.outcome as u32);
        self.set(Name::Principal, &record.principal);
        self.set(Name::Action, &record.action);
        self.set(Name::Object, &record.object);
    }

    fn set(&mut self, name: Name, text: &str) {
        for bit in bits(name, text) {
            if let Some(byte) = self.filter.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    fn has(&self, name: Name, text: &str) -> bool {
        bits(name, text)
            .all(|bit| self.filter.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1))
    }

    /// Whether a record of the bundle may be one that is looked for.
    pub(super) fn may_match(&self, query: &Query) -> bool {
        query.from.is_none_or(|from| self.latest >= from.as_nanos())
            && query.until.is_none_or(|until| self.earliest < until.as_nanos())
            && query.class.is_none_or(|class| self.kinds & kind(class) != 0)
            && query.outcome.is_none_or(|o| self.kinds >> (16 + o as u32) & 1 == 1)
            && query.principal.as_deref().is_none_or(|p| self.has(Name::Principal, p))
            && query.object.as_deref().is_none_or(|o| self.has(Name::Object, o))
            && query.action.as_deref().is_none_or(|a| self.has(Name::Action, a))
    }

    /// As it is stored: earliest and latest (8 bytes each, little-endian), kinds (4), a CRC-32 of all
    /// the rest (4), the filter.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(self.earliest.to_le_bytes());
        bytes.extend(self.latest.to_le_bytes());
        bytes.extend(self.kinds.to_le_bytes());
        let mut sum = crc32fast::Hasher::new();
        sum.update(&bytes);
        sum.update(&self.filter);
        bytes.extend(sum.finalize().to_le_bytes());
        bytes.extend(&self.filter);
        bytes
    }

    /// `None` when the bytes are not a whole entry: it is made again then.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let summary = Self {
            earliest: i64::from_le_bytes(*bytes.first_chunk()?),
            latest: i64::from_le_bytes(*bytes.get(8..)?.first_chunk()?),
            kinds: u32::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
            filter: bytes.get(24..)?.to_vec(),
        };
        (summary.filter.len() == FILTER && summary.bytes() == bytes).then_some(summary)
    }
}

fn kind(class: AuditClass) -> u32 {
    AuditClass::ALL.iter().position(|&c| c == class).map_or(0, |at| 1 << at)
}

/// The bits of a name: double hashing (A. Kirsch and M. Mitzenmacher, 2006) over FNV-1a.
fn bits(name: Name, text: &str) -> impl Iterator<Item = usize> {
    let seed = 0xcbf2_9ce4_8422_2325_u64 ^ (name as u64);
    let mut hash = text
        .bytes()
        .fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // FNV's high bits hardly depend on the last bytes; spread them (the finaliser of MurmurHash3).
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    let (one, two) = (hash & 0xffff_ffff, (hash >> 32) | 1);
    (0..PROBES).map(move |n| (one.wrapping_add(n.wrapping_mul(two)) % (FILTER as u64 * 8)) as usize)
}
