//! The embedded database: one a data directory, or memory.
//!
//! A [`DataDir`] is owned by one kernel through an advisory lock. The [`Store`] on it is a SQLite
//! database in WAL mode (feature `store`; without it a map in memory with the same key-value face).
//! Each room contributes its tables as [`Migrations`]; their names carry the room's prefix.
//!
//! # Invariants
//!
//! - All writes go through one thread, `sutazai-store`, which commits what has queued up as one
//!   transaction (group commit). A write that fails is undone alone; its neighbours stand.
//! - No caller waits inside [`Store::put`] or a write: it gets a
//!   [`Ticket`](crate::base::ticket::Ticket), and a full queue answers
//!   [`Code::OVERLOADED`](crate::Code::OVERLOADED). Dropping a ticket may take back a write that has not
//!   run: `detach` it to let it go on unobserved.
//! - Nothing else in the process may open `state.db`: closing a second handle on the file drops
//!   SQLite's locks (see "How To Corrupt An SQLite Database File", sqlite.org, §2.2).
//!
//! ```
//! use sutazai_core::base::{payload::Payload, time::Timestamp};
//! use sutazai_core::store::{Durability, Store};
//! let store = Store::memory(&[])?;
//! store.put("plans", "monday", &Payload::from("rest"), Timestamp::now(), Durability::Process).wait()?;
//! let entry = store.get("plans", "monday")?.unwrap();
//! assert_eq!(entry.value, Payload::from("rest"));
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod dir;
mod durability;
mod entry;
#[cfg(not(feature = "store"))]
mod map;
mod migration;
mod options;
#[cfg(feature = "store")]
mod sqlite;
mod status;

pub use dir::DataDir;
pub use durability::Durability;
pub use entry::{Entry, KEY_MAX, LIST_MAX, NAMESPACE_MAX, VALUE_MAX};
#[cfg(not(feature = "store"))]
pub use map::Store;
pub use migration::{Migrations, Step};
pub use options::Options;
/// The SQLite binding that closures of [`Store::read`] and [`Store::write`] speak.
#[cfg(feature = "store")]
pub use rusqlite as sql;
#[cfg(feature = "store")]
pub use sqlite::{Store, Tx};
pub use status::Status;
