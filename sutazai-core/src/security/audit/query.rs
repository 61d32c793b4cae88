//! Looking things up: newest first, without reading more of the log than the answer needs.

use std::sync::Arc;

use super::core::Core;
use super::index::{LENGTH, Summary};
use super::merkle::TILE;
use super::record::Record;
use super::tiles::{index_path, records};
use super::tree::{Published, Tree, read_error};
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditOutcome};

/// The most records on a page.
pub const PAGE_MAX: usize = 1000;
/// The most bundles that are looked at for one page.
const BUNDLES_MAX: usize = 4096;

/// A record's bytes, and its number.
type Numbered = (u64, Vec<u8>);

/// What is looked for. What is left out does not matter; names must be equal in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Who did it.
    pub principal: Option<String>,
    /// To what.
    pub object: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// What kind of thing.
    pub class: Option<AuditClass>,
    /// How it ended.
    pub outcome: Option<AuditOutcome>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before, and not at, this time.
    pub until: Option<Timestamp>,
    /// Only records before this one: [`Page::next`] of the page before.
    pub before: Option<u64>,
    /// The most records: 1 to [`PAGE_MAX`]; 0 stands for 100.
    pub limit: usize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Page {
    /// What was found, newest first.
    pub records: Vec<Found>,
    /// Where to go on, if there is more to look at: `before` of the next query. There may be, also
    /// when this page is empty: no query looks at more than a million records at once.
    pub next: Option<u64>,
}

/// A record and its place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Found {
    /// Its number in the log, from 0.
    pub index: u64,
    /// What it says.
    #[serde(flatten)]
    pub record: Record,
}

impl Query {
    pub(super) fn matches(&self, record: &Record) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        same(&self.principal, &record.principal)
            && same(&self.object, &record.object)
            && same(&self.action, &record.action)
            && self.class.is_none_or(|class| class == record.class)
            && self.outcome.is_none_or(|outcome| outcome == record.outcome)
            && self.from.is_none_or(|from| record.at >= from)
            && self.until.is_none_or(|until| record.at < until)
    }
}

impl Core {
    /// The records that are in the journal and not in `published`, in order.
    pub(super) fn tail(&self) -> (Option<Arc<Published>>, Vec<Numbered>) {
        // The journal first: what it has forgotten by the time that we ask for the tree is in the tree.
        let view = self.journal.start().map(|cursor| self.journal.view(cursor));
        let published = self.published.load_full();
        let size = published.as_ref().map_or(0, |p| p.tree.size());
        let mut tail = Vec::new();
        if let Some(mut view) = view {
            loop {
                let next = view.next(|index, _, bytes| {
                    if index >= size {
                        tail.push((index, bytes.to_vec()));
                    }
                });
                if !matches!(next, Ok(Some(()))) {
                    break;
                }
            }
        }
        (published, tail)
    }

    pub(super) fn query(&self, query: &Query) -> Result<Page> {
        let limit = if query.limit == 0 { 100 } else { query.limit.min(PAGE_MAX) };
        let mut found = Collect { query, limit, records: Vec::new() };
        let (published, tail) = self.tail();
        for (index, bytes) in tail.iter().rev() {
            if found.offer(*index, bytes) {
                return Ok(found.page(Some(*index)));
            }
        }
        let Some(published) = published else { return Ok(found.page(None)) };
        let tree = &published.tree;
        let tile = TILE as u64;
        let end = tree.size().min(query.before.unwrap_or(u64::MAX));
        for (looked, number) in (tree.first / tile..end.div_ceil(tile)).rev().enumerate() {
            if looked == BUNDLES_MAX {
                return Ok(found.page(Some((number + 1) * tile)));
            }
            if !self.may_match(tree, number, query)? {
                continue;
            }
            let bundle = tree.bundle(&*self.files, number)?;
            let all: Vec<_> = records(&bundle).collect();
            for (inside, bytes) in all.into_iter().enumerate().rev() {
                let index = number * tile + inside as u64;
                if bytes.is_some_and(|bytes| found.offer(index, bytes)) {
                    return Ok(found.page(Some(index).filter(|&index| index > tree.first)));
                }
            }
        }
        Ok(found.page(None))
    }

    /// Whether a bundle may hold what is looked for. An index that is missing or broken is made again.
    fn may_match(&self, tree: &Tree, number: u64, query: &Query) -> Result<bool> {
        if number >= tree.size() / TILE as u64 {
            return Ok(true);
        }
        let path = index_path(number);
        let stored = self.files.read(&path, LENGTH).unwrap_or_default();
        if let Some(summary) = stored.as_deref().and_then(Summary::read) {
            return Ok(summary.may_match(query));
        }
        let bundle = tree.bundle(&*self.files, number)?;
        let summary = Summary::of(records(&bundle).flatten());
        self.files.write(&path, &summary.bytes()).map_err(read_error)?;
        Ok(summary.may_match(query))
    }
}

struct Collect<'a> {
    query: &'a Query,
    limit: usize,
    records: Vec<Found>,
}

impl Collect<'_> {
    /// Takes the record if it is one of those; true when the page is full.
    fn offer(&mut self, index: u64, bytes: &[u8]) -> bool {
        if self.query.before.is_some_and(|before| index >= before) {
            return false;
        }
        match Record::parse(bytes) {
            Ok(record) if self.query.matches(&record) => {
                self.records.push(Found { index, record });
                self.records.len() == self.limit
            }
            _ => false,
        }
    }

    fn page(self, next: Option<u64>) -> Page {
        Page { records: self.records, next: next.filter(|&next| next > 0) }
    }
}
