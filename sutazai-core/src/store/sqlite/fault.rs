//! What SQLite reports, as [`Error`]s that say what to do.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::{Class, Code, Error};

impl From<rusqlite::Error> for Error {
    /// Maps SQLite's result codes; see [`Code::STORE_CORRUPT`], [`Code::STORE_READ_ONLY`],
    /// [`Code::STORE_LOCKED`]. A row that was expected and is not there is [`Code::NOT_FOUND`],
    /// SQL that the store does not permit [`Code::INVALID`], all else [`Code::STORE_FAILED`].
    fn from(error: rusqlite::Error) -> Self {
        let (code, class, message, advice) = explain(&error);
        let mut mapped = Self::new(code, message).because(error);
        if let Some(class) = class {
            mapped = mapped.classed(class);
        }
        match advice {
            Some(advice) => mapped.advice(advice),
            None => mapped,
        }
    }
}

type Explained = (Code, Option<Class>, &'static str, Option<&'static str>);

fn explain(error: &rusqlite::Error) -> Explained {
    let Some(code) = error.sqlite_error_code() else {
        return match error {
            rusqlite::Error::QueryReturnedNoRows => {
                (Code::NOT_FOUND, None, "the query found no row", None)
            }
            _ => (
                Code::STORE_FAILED,
                Some(Class::Persistent),
                "the query does not fit the database or its result",
                None,
            ),
        };
    };
    match code {
        ErrorCode::NotADatabase => (
            Code::STORE_CORRUPT,
            None,
            "the file is not a database",
            Some("move it away, or choose another data directory"),
        ),
        ErrorCode::DatabaseCorrupt => (
            Code::STORE_CORRUPT,
            None,
            "the database is damaged",
            Some(
                "restore it from a backup, or move it away to start anew; `sqlite3 state.db .recover` saves what can be read",
            ),
        ),
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => (
            Code::STORE_READ_ONLY,
            None,
            "the database cannot be opened for writing",
            Some("make the directory and its files writable for this user"),
        ),
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => (
            Code::STORE_LOCKED,
            Some(Class::Transient),
            "another program holds the database's lock",
            Some("end what has the database open (a shell, a backup, a viewer)"),
        ),
        ErrorCode::DiskFull => {
            (Code::STORE_FAILED, None, "the disk is full", Some("free some space on the disk"))
        }
        ErrorCode::ConstraintViolation => (
            Code::STORE_FAILED,
            Some(Class::Persistent),
            "the write violates a constraint of the table",
            None,
        ),
        ErrorCode::AuthorizationForStatementDenied => {
            (Code::INVALID, None, "the store does not permit this statement here", None)
        }
        ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::SchemaChanged
        | ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted => {
            (Code::STORE_FAILED, None, "the database refused an operation", None)
        }
        _ => (
            Code::STORE_FAILED,
            Some(Class::Persistent),
            "the database does not accept the statement",
            None,
        ),
    }
}

/// The same, for a failure to open the file at `path`.
pub(super) fn opening(path: &Path, error: rusqlite::Error) -> Error {
    Error::from(error).operation("store.open").with("path", path.display())
}
