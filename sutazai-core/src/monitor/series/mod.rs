//! What was measured: time series in memory, compressed, in several resolutions, kept across restarts.
//!
//! A [`History`] takes points as they come and keeps them for an hour; their minimum, maximum, sum, count and last
//! value of each ten seconds it keeps for a day, and of each minute for thirty days ([`HistoryPolicy`] says
//! otherwise). New rows are encoded one by one (Gorilla), whole blocks are compressed by pco when it is
//! [flushed](History::flush). Minimum, maximum, sum, count, mean, last and the rate of counters are as exact in a
//! coarse level as in the points, as far as windows begin and end where buckets do; quantiles there are only of
//! points.
//!
//! # Promises
//!
//! - Values are finite. They and their times come back as they were, bit by bit (times, unless the policy
//!   sets a coarser [tick](HistoryPolicy::tick_ns)).
//! - A point whose time is not after its series' newest is refused, and counted; a gap stays one. A series whose points
//!   come late, by as much each time, loses none by that. When [several](HistoryPolicy::set_back_after) points of
//!   [now](History::append) in a row are late and ascend, the clock was set back: what the series has from their first
//!   time on is let go of, and the newest of them is taken. Times that [were told](History::append_at) say nothing of
//!   a clock. A clock that jumps
//!   ahead makes a gap. One flush lets go of one block of a level as too old, so that one that jumps ahead
//!   and back again costs little.
//! - Memory is bounded, with the number of series and by a budget. Beyond that the series that takes most loses
//!   its oldest block.
//! - With a [`Shelf`], `kill -9` loses what came after the last flush; what is damaged on the shelf is let go of
//!   alone, and counted.
//! - Appending neither compresses nor waits for a reader that decodes, nor for the shelf.
//!
//! ```
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::monitor::series::{Aggregate, Appended, History, HistoryPolicy, Query};
//!
//! let history = History::new(HistoryPolicy::default())?;
//! let second = |s: i64| Timestamp::from_nanos(s * 1_000_000_000);
//! for s in 0..600 {
//!     let kept = history.append("requests_total", second(s), (3 * s) as f64);
//!     assert_eq!(kept, Appended::Kept);
//! }
//! history.flush(second(600))?;
//!
//! let query = Query::new("requests_total", second(60), second(180), Aggregate::Rate).step_ms(60_000);
//! let answer = history.query(&query)?;
//! assert_eq!(answer.windows.len(), 2);
//! assert_eq!(answer.windows[0].value, 3.0);
//! assert_eq!(history.append("requests_total", second(5), 1.0), Appended::Late);
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod bits;
mod block;
mod bucket;
mod budget;
mod column;
mod format;
mod gorilla;
mod history;
mod keep;
mod level;
mod load;
mod name;
mod policy;
mod query;
mod room;
mod shelf;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod times;
mod track;

pub(super) use history::is_counter;
pub use history::{Appended, Handle, History};
pub use name::NAME_MAX;
pub(crate) use name::check_name;
pub use policy::{HistoryPolicy, LevelPolicy, Overflow};
pub use query::{Aggregate, Answer, Query, Reading, WINDOWS_MAX};
pub use room::Forget;
pub(super) use room::Room;
pub use shelf::{MemoryShelf, Shelf};
pub use status::{HistoryStatus, LevelView, SeriesFamily, SeriesView};
pub use store::{MIGRATIONS, StoreShelf};
