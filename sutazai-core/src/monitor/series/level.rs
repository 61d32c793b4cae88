//! One resolution of a series: blocks, and the head that rows are added to.

use std::collections::VecDeque;
use std::sync::Arc;

use super::block::{Block, ROWS_MAX};
use super::gorilla::{Cursor, Gorilla, Row};

/// Rows in order of time.
#[derive(Debug)]
pub(super) struct Level<const N: usize> {
    /// Ticks of a row; 0 for points.
    pub(super) step: i64,
    /// Ticks that one block holds.
    span: i64,
    /// Ticks that rows are kept.
    keep: i64,
    head: Gorilla<N>,
    /// The last time that the head takes.
    head_end: i64,
    blocks: VecDeque<Arc<Block<N>>>,
    /// Bytes of the blocks.
    block_bytes: usize,
    last: Option<i64>,
    /// What the journal has of the head.
    mark: Cursor<N>,
    /// The first record of the journal that has some of the head.
    journal: Option<u64>,
    /// Another number for each head.
    epoch: u64,
    /// Rows from there on were let go of, and the journal does not know.
    void: Option<i64>,
}

/// What the journal is to learn of a level.
#[derive(Debug)]
pub(super) struct News<const N: usize> {
    /// What it has of later times counts no more.
    pub(super) void: Option<i64>,
    pub(super) rows: Gorilla<N>,
    mark: Cursor<N>,
    epoch: u64,
}

/// Some of a level's rows, as they were at a moment.
#[derive(Debug)]
pub(super) struct Snapshot<const N: usize> {
    pub(super) blocks: Vec<Arc<Block<N>>>,
    head: Option<Gorilla<N>>,
}

impl<const N: usize> Level<N> {
    /// An empty one; all in ticks.
    pub(super) fn new(step: i64, span: i64, keep: i64) -> Self {
        Self {
            step,
            span: span.max(1),
            keep,
            head: Gorilla::default(),
            head_end: 0,
            blocks: VecDeque::new(),
            block_bytes: 0,
            last: None,
            mark: Cursor::START,
            journal: None,
            epoch: 0,
            void: None,
        }
    }

    /// Adds a row, whose time must be after [`last`](Self::last).
    #[inline]
    pub(super) fn push(&mut self, time: i64, values: [f64; N]) {
        if self.head.len() > 0 && (self.head.len() >= ROWS_MAX || time > self.head_end) {
            self.freeze();
        }
        if self.head.len() == 0 {
            self.head_end = self.block_end(time);
        }
        self.head.push(time, values);
        self.last = Some(time);
    }

    /// The last time of the block that a time belongs to.
    fn block_end(&self, time: i64) -> i64 {
        time.saturating_add(self.span - 1 - time.rem_euclid(self.span))
    }

    /// The head becomes a block.
    fn freeze(&mut self) {
        let head = std::mem::take(&mut self.head);
        let journal = self.journal.take();
        self.mark = Cursor::START;
        self.epoch += 1;
        if let Some(block) = Block::frozen(head, journal) {
            self.add(Arc::new(block));
        }
    }

    fn add(&mut self, block: Arc<Block<N>>) {
        self.block_bytes += block.bytes();
        self.blocks.push_back(block);
    }

    /// Ends a head that its block's time is over for.
    pub(super) fn freeze_old(&mut self, now: i64) {
        if self.head.len() > 0 && now > self.head_end {
            self.freeze();
        }
    }

    /// Takes a block that was read from the shelf, if it comes after what there is.
    pub(super) fn load(&mut self, block: Block<N>) -> bool {
        if self.last.is_some_and(|last| block.first <= last) {
            return false;
        }
        self.last = Some(block.last);
        self.add(Arc::new(block));
        true
    }

    /// Takes a row that was read from the journal's record `number`, if it comes after what there is.
    pub(super) fn replay(&mut self, time: i64, values: [f64; N], number: u64) {
        if self.last.is_none_or(|last| time > last) {
            self.push(time, values);
            self.journal.get_or_insert(number);
        }
    }

    /// After a replay: what there is in the head is in the journal.
    pub(super) fn replayed(&mut self) {
        let mut rows = self.head.rows();
        rows.by_ref().for_each(drop);
        self.mark = rows.cursor();
    }

    /// The oldest block if all of it is older than what is kept.
    pub(super) fn expire(&mut self, now: i64) -> Option<Arc<Block<N>>> {
        let oldest = self.blocks.front()?;
        (oldest.last < now.saturating_sub(self.keep)).then(|| self.drop_oldest()).flatten()
    }

    /// Lets go of the oldest block, or of the head if there is no other.
    pub(super) fn drop_oldest(&mut self) -> Option<Arc<Block<N>>> {
        if self.blocks.is_empty() {
            self.freeze();
        }
        let block = self.blocks.pop_front()?;
        self.block_bytes -= block.bytes();
        Some(block)
    }

    /// Lets go of all rows from `time` on; answers with the blocks that are no more.
    pub(super) fn truncate(&mut self, time: i64) -> Vec<Arc<Block<N>>> {
        if self.last.is_none_or(|last| last < time) {
            return Vec::new();
        }
        let mut gone = Vec::new();
        if self.head.ends().is_some_and(|(_, last)| last >= time) {
            self.head = before(self.head.rows(), time);
            self.mark = Cursor::START;
            self.epoch += 1;
        }
        while let Some(block) = self.blocks.pop_back_if(|block| block.last >= time) {
            self.block_bytes -= block.bytes();
            if block.first < time {
                let rows = before(block.rows().into_iter().flatten(), time);
                if let Some(block) = Block::frozen(rows, block.journal()) {
                    self.add(Arc::new(block));
                    break;
                }
            }
            gone.push(block);
        }
        let head = self.head.ends().map(|(_, last)| last);
        self.last = head.or_else(|| self.blocks.back().map(|block| block.last));
        self.void = Some(self.void.map_or(time, |void| void.min(time)));
        gone
    }

    /// What the journal has not.
    pub(super) fn news(&self) -> Option<News<N>> {
        let new = self.head.len() > self.mark.rows();
        (new || self.void.is_some()).then(|| {
            let mut rows = Gorilla::default();
            let mut read = self.head.rows_after(self.mark);
            read.by_ref().for_each(|(time, values)| rows.push(time, values));
            News { void: self.void, rows, mark: read.cursor(), epoch: self.epoch }
        })
    }

    /// The journal's record `number` has the news.
    pub(super) fn journalled(&mut self, news: &News<N>, number: u64) {
        if self.epoch == news.epoch {
            self.mark = news.mark;
            self.journal.get_or_insert(number);
        } else {
            // The head has become a block since, one of these.
            let unstored = self.blocks.iter().filter(|block| !block.is_stored());
            unstored.for_each(|block| block.journalled(number));
        }
        if self.void == news.void {
            self.void = None;
        }
    }

    /// The first record of the journal that has rows that the shelf has not in blocks.
    pub(super) fn oldest_record(&self) -> Option<u64> {
        let blocks = self.blocks.iter().filter(|block| !block.is_stored());
        let head = self.journal.filter(|_| self.head.len() > 0 || self.void.is_some());
        blocks.filter_map(|block| block.journal()).chain(head).min()
    }

    /// Blocks that are not compressed.
    pub(super) fn frozen(&self) -> impl Iterator<Item = &Arc<Block<N>>> {
        // The newest ones, unless something failed.
        self.blocks.iter().filter(|block| matches!(block.body, super::block::Body::Frozen(_)))
    }

    /// Blocks that are compressed, and not on the shelf.
    pub(super) fn unstored(&self) -> impl Iterator<Item = &Arc<Block<N>>> {
        self.blocks.iter().filter(|block| {
            !block.is_stored() && matches!(block.body, super::block::Body::Sealed(_))
        })
    }

    /// Puts the compressed form of a block in its place, if it is still there.
    pub(super) fn replace(&mut self, old: &Arc<Block<N>>, new: Block<N>) {
        if let Some(place) = self.blocks.iter_mut().find(|block| Arc::ptr_eq(block, old)) {
            self.block_bytes = self.block_bytes - old.bytes() + new.bytes();
            *place = Arc::new(new);
        }
    }

    /// The rows from `from` on and before `to`, with the whole blocks that they are in; with `before`, the block
    /// before, too.
    pub(super) fn snapshot(&self, from: i64, to: i64, before: bool) -> Snapshot<N> {
        let start = self.blocks.partition_point(|block| block.last < from);
        let start = if before { start.saturating_sub(1) } else { start };
        let blocks = self.blocks.iter().skip(start).take_while(|block| block.first < to);
        let head = self.head.ends().filter(|&(first, _)| first < to).map(|_| self.head.clone());
        Snapshot { blocks: blocks.cloned().collect(), head }
    }

    /// The time of the newest row there was; rows that are too old are remembered in it, too.
    #[inline]
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// The time of the oldest row.
    pub(super) fn oldest(&self) -> Option<i64> {
        let head = self.head.ends().map(|(first, _)| first);
        self.blocks.front().map(|block| block.first).or(head)
    }

    /// The end of the oldest block; the head's, if there is no other.
    pub(super) fn oldest_end(&self) -> Option<i64> {
        let head = self.head.ends().map(|(_, last)| last);
        self.blocks.front().map(|block| block.last).or(head)
    }

    /// Bytes of memory of its rows; not of the times of sealed blocks.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.head.bytes() + self.block_bytes
    }

    /// Blocks, and rows in all.
    pub(super) fn counts(&self) -> (usize, usize) {
        let rows = self.blocks.iter().map(|block| block.count).sum::<usize>();
        (self.blocks.len(), rows + self.head.len())
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.head.len() == 0
    }
}

impl<const N: usize> Snapshot<N> {
    /// The rows, block by block; how many blocks were damaged.
    pub(super) fn rows(&self, mut each: impl FnMut(Row<N>)) -> u64 {
        let mut damaged = 0;
        for block in &self.blocks {
            match block.rows() {
                Some(rows) => rows.into_iter().for_each(&mut each),
                None => damaged += 1,
            }
        }
        self.head.iter().flat_map(Gorilla::rows).for_each(each);
        damaged
    }
}

fn before<const N: usize>(rows: impl Iterator<Item = Row<N>>, time: i64) -> Gorilla<N> {
    let mut kept = Gorilla::default();
    rows.take_while(|row| row.0 < time).for_each(|(time, values)| kept.push(time, values));
    kept
}
