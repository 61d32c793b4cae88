//! What the types of exceptions say: Python's own, those of its popular libraries, and, where they
//! stand in a text, those of other languages.
//!
//! Most names say it in words, and are read as such: `RateLimitError`, `ConnectTimeout`,
//! `UniqueViolation`. The table has those that do not, and those whose words mislead.

use super::evidence::{BROAD, CERTAIN, EXACT, Evidence, LOOSE, Scale, VAGUE};
use super::text::{self, Words};
use crate::Class::{self, Critical, Persistent, Transient};

const RULE: &str = "exception.type";

struct Row(&'static str, u8, Class, &'static str);

/// A mistake in a program: what the message quotes does not count.
const MISTAKE: u8 = 85;

/// By the last part of the name, sorted: of Python, of the DB-API (PEP 249, whose classes sort errors
/// by whose fault they are), of HTTP clients, gRPC and others; and of Java, .NET, JavaScript and Ruby,
/// where they stand in a text.
const TABLE: &[Row] = &[
    Row("APIError", 25, Transient, "an error of the API"),
    Row("Aborted", EXACT, Transient, "another transaction was in the way"),
    Row("ArgumentError", EXACT, Persistent, "an argument that is not valid"),
    Row("ArgumentException", EXACT, Persistent, "an argument that is not valid"),
    Row("ArgumentNullException", MISTAKE, Persistent, "a null reference"),
    Row("ArithmeticError", LOOSE, Persistent, "an arithmetic error"),
    Row("AssertionError", LOOSE, Persistent, "an assertion does not hold"),
    Row("AttributeError", MISTAKE, Persistent, "there is no such attribute"),
    Row("AutoReconnect", EXACT, Transient, "the connection was lost"),
    Row("BadData", EXACT, Persistent, "data of the wrong form"),
    Row("BadGzipFile", EXACT, Persistent, "not a gzip file"),
    Row("BadStatusLine", LOOSE, Transient, "the connection was lost"),
    Row("BadZipFile", EXACT, Persistent, "not a zip file"),
    Row("BlockingIOError", EXACT, Transient, "it would have to wait"),
    Row("BrokenProcessPool", CERTAIN, Critical, "a worker process died"),
    Row("CalledProcessError", VAGUE, Persistent, "a program failed"),
    Row("Cancelled", EXACT, Persistent, "it was cancelled"),
    Row("CancelledError", 80, Persistent, "it was cancelled"),
    Row("CannotSendRequest", EXACT, Persistent, "the connection is used in a wrong way"),
    Row("CardError", 82, Persistent, "the card was declined"),
    Row("ChildProcessError", LOOSE, Persistent, "there is no such child process"),
    Row("ChunkedEncodingError", EXACT, Transient, "the connection was lost"),
    Row("ClassCastException", MISTAKE, Persistent, "a value of the wrong type"),
    Row("ClientConnectorError", EXACT, Transient, "the connection failed"),
    Row("ClientOSError", LOOSE, Transient, "the connection failed"),
    Row("ClientPayloadError", EXACT, Transient, "the connection was lost"),
    Row("CloseError", LOOSE, Transient, "the connection failed"),
    Row("Conflict", 50, Persistent, "the resource is in another state"),
    Row("ConflictError", 40, Persistent, "the resource is in another state"),
    Row("ContentTypeError", EXACT, Persistent, "an answer of the wrong type"),
    Row("DataError", 74, Persistent, "the data does not fit"),
    Row("DatabaseError", VAGUE, Persistent, "an error of the database"),
    Row("EOFError", 42, Transient, "the data ended too early"),
    Row("Empty", LOOSE, Transient, "the queue is empty"),
    Row("FileExistsError", MISTAKE, Persistent, "the file exists"),
    Row("FileNotFoundError", MISTAKE, Persistent, "there is no such file"),
    Row("FloatingPointError", EXACT, Persistent, "an arithmetic error"),
    Row("FormatException", EXACT, Persistent, "data of the wrong form"),
    Row("Full", LOOSE, Transient, "the queue is full"),
    Row("IllegalArgumentException", EXACT, Persistent, "an argument that is not valid"),
    Row("IllegalStateException", 40, Persistent, "used in the wrong state"),
    Row("ImportError", MISTAKE, Persistent, "a module cannot be imported"),
    Row("IndentationError", MISTAKE, Persistent, "a syntax error"),
    Row("IndexError", MISTAKE, Persistent, "an index is out of range"),
    Row("IntegrityError", 74, Persistent, "the data breaks a constraint"),
    Row("InterfaceError", VAGUE + 2, Persistent, "an error of the database's interface"),
    Row("InternalError", VAGUE + 2, Persistent, "an internal error of the database"),
    Row("InterruptedError", EXACT, Transient, "interrupted by a signal"),
    Row("InvalidSchema", EXACT, Persistent, "not a URL that can be fetched"),
    Row("InvalidURL", EXACT, Persistent, "not a URL"),
    Row("IsADirectoryError", MISTAKE, Persistent, "it is a directory"),
    Row("JSONDecodeError", EXACT, Persistent, "not valid JSON"),
    Row("KeyError", MISTAKE, Persistent, "there is no such key"),
    Row("KeyboardInterrupt", 80, Persistent, "interrupted by the user"),
    Row("KilledWorker", LOOSE, Critical, "a worker process died"),
    Row("LengthFinishReasonError", 80, Persistent, "the answer does not fit the limit"),
    Row("LinAlgError", EXACT, Persistent, "there is no solution"),
    Row("LocalProtocolError", EXACT, Persistent, "the request breaks the protocol"),
    Row("LookupError", LOOSE, Persistent, "there is no such entry"),
    Row("MaxRetriesExceededError", LOOSE, Persistent, "every try failed"),
    Row("MaxRetryError", 30, Transient, "every try failed"),
    Row("MemoryError", CERTAIN, Critical, "out of memory"),
    Row("MissingSchema", EXACT, Persistent, "not a URL"),
    Row("ModuleNotFoundError", MISTAKE, Persistent, "there is no such module"),
    Row("MultipleResultsFound", EXACT, Persistent, "there are several such rows"),
    Row("NameError", MISTAKE, Persistent, "a name is not defined"),
    Row("NoMethodError", MISTAKE, Persistent, "there is no such method"),
    Row("NoRegionError", EXACT, Persistent, "no region is configured"),
    Row("NoResultFound", EXACT, Persistent, "there is no such row"),
    Row("NotADirectoryError", MISTAKE, Persistent, "it is not a directory"),
    Row("NotImplementedError", MISTAKE, Persistent, "not implemented"),
    Row("NotSupportedError", EXACT, Persistent, "not supported"),
    Row("NullPointerException", MISTAKE, Persistent, "a null reference"),
    Row("NullReferenceException", MISTAKE, Persistent, "a null reference"),
    Row("NumberFormatException", MISTAKE, Persistent, "not a number"),
    Row("OperationFailure", VAGUE, Persistent, "the database refused an operation"),
    Row("OperationalError", VAGUE + 4, Transient, "an error in the database's operation"),
    Row("OverflowError", EXACT, Persistent, "a number is too large"),
    Row("PendingRollbackError", EXACT, Persistent, "the transaction failed before"),
    Row("PermissionError", 80, Persistent, "not permitted"),
    Row("ProcessLookupError", EXACT, Persistent, "there is no such process"),
    Row("ProfileNotFound", EXACT, Persistent, "there is no such profile"),
    Row("ProgrammingError", 74, Persistent, "a mistake in the statement"),
    Row("ProtocolError", 50, Transient, "the protocol was broken"),
    Row("ProxyError", LOOSE, Transient, "the proxy failed"),
    Row("QueryCanceled", 50, Transient, "the query was cancelled"),
    Row("QueryCanceledError", 50, Transient, "the query was cancelled"),
    Row("RangeError", EXACT, Persistent, "a value is out of range"),
    Row("ReadError", LOOSE, Transient, "the connection was lost"),
    Row("RecursionError", MISTAKE, Persistent, "the recursion is too deep"),
    Row("ReferenceError", MISTAKE, Persistent, "a name is not defined"),
    Row("RemoteProtocolError", EXACT, Transient, "the connection was lost"),
    Row("ResponseError", 30, Persistent, "the server refused a command"),
    Row("RetryError", 30, Transient, "every try failed"),
    Row("RuntimeError", VAGUE, Persistent, "an error at run time"),
    Row("SSLEOFError", EXACT, Transient, "the connection was lost"),
    Row("SSLError", 40, Persistent, "TLS with the other side does not work out"),
    Row("SSLWantReadError", EXACT, Transient, "it would have to wait"),
    Row("SSLWantWriteError", EXACT, Transient, "it would have to wait"),
    Row("SSLZeroReturnError", EXACT, Transient, "the other side closed the connection"),
    Row("ServerError", 44, Transient, "the server failed"),
    Row("SoftTimeLimitExceeded", EXACT, Transient, "it took too long"),
    Row("StaleElementReferenceException", EXACT, Transient, "the page changed meanwhile"),
    Row("StopAsyncIteration", MISTAKE, Persistent, "there is nothing more"),
    Row("StopIteration", MISTAKE, Persistent, "there is nothing more"),
    Row("SyntaxError", MISTAKE, Persistent, "a syntax error"),
    Row("SystemError", 80, Critical, "the interpreter found an internal error"),
    Row("SystemExit", LOOSE, Persistent, "the program ended itself"),
    Row("TabError", MISTAKE, Persistent, "a syntax error"),
    Row("TemplateNotFound", EXACT, Persistent, "there is no such template"),
    Row("TimeLimitExceeded", EXACT, Transient, "it took too long"),
    Row("TypeError", MISTAKE, Persistent, "a value of the wrong type"),
    Row("URLError", 30, Transient, "the connection failed"),
    Row("UnboundLocalError", MISTAKE, Persistent, "a name is not defined"),
    Row("UnicodeDecodeError", MISTAKE, Persistent, "not text in this encoding"),
    Row("UnicodeEncodeError", MISTAKE, Persistent, "not text in this encoding"),
    Row("UnicodeError", MISTAKE, Persistent, "not text in this encoding"),
    Row("UnidentifiedImageError", EXACT, Persistent, "not an image"),
    Row("Unknown", VAGUE, Transient, "an error of an unknown kind"),
    Row("UnpicklingError", EXACT, Persistent, "not a pickle"),
    Row("UnsupportedProtocol", 80, Persistent, "not a URL that can be fetched"),
    Row("ValueError", 50, Persistent, "a value that is not valid"),
    Row("WatchError", EXACT, Transient, "a watched key changed"),
    Row("WorkerLostError", LOOSE, Critical, "a worker process died"),
    Row("WriteError", LOOSE, Transient, "the connection was lost"),
    Row("ZeroDivisionError", MISTAKE, Persistent, "a division by zero"),
    Row("gaierror", 30, Persistent, "a name cannot be resolved"),
];

/// Names that mean different things in different modules.
const QUALIFIED: &[Row] = &[
    Row("tarfile.ReadError", EXACT, Persistent, "not a tar file"),
    Row("zlib.error", EXACT, Persistent, "not compressed data"),
    Row("struct.error", EXACT, Persistent, "data of the wrong form"),
    Row("binascii.Error", EXACT, Persistent, "data of the wrong form"),
];

/// What the type of an exception says, or the nearest of its bases that says something.
pub(super) fn weigh<'n>(name: &str, bases: impl IntoIterator<Item = &'n str>, scale: &mut Scale) {
    let own = named(name);
    scale.add_some(own);
    if own.is_some_and(|own| own.weight >= BROAD) {
        return;
    }
    // A base says less than the type itself, and the nearer one more.
    let base = bases.into_iter().find_map(named);
    scale.add_some(base.map(|base| base.weighing(base.weight.saturating_sub(8))));
}

fn named(qualified: &str) -> Option<Evidence> {
    let bare = qualified.trim();
    let last = bare.rsplit(['.', ':']).next().unwrap_or(bare);
    let qualified = QUALIFIED.iter().find(|row| {
        bare.strip_suffix(row.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    let plain = || TABLE.get(TABLE.binary_search_by_key(&last, |row| row.0).ok()?);
    let listed = qualified.or_else(plain);
    if let Some(row) = listed {
        return Some(Evidence::new(row.1, row.2, RULE, row.3).seen(row.0));
    }
    // A type is broader than what a message says of the single case: a `RateLimitError` may say
    // "insufficient quota", a `ConnectionError` "certificate has expired".
    in_words(last, RULE).map(|found| found.weighing(found.weight.min(75)))
}

/// What a name says in words: a type's, or a provider's for a kind of error.
pub(super) fn in_words(name: &str, rule: &'static str) -> Option<Evidence> {
    let words = Words::of(name);
    let mut scale = Scale::default();
    text::weigh(&words, &mut scale, &mut None);
    let found = scale.heaviest()?;
    // A name was chosen with more care than a sentence, so that one weak word is enough in it.
    let weight = found.weight.max(if found.weight >= 50 { 68 } else { 60 });
    // Of `InvalidSessionTimeout` the first word counts.
    let judges = words.iter().next().is_some_and(|first| {
        matches!(first, b"invalid" | b"illegal" | b"bad" | b"missing" | b"unsupported" | b"unknown")
    });
    if judges && weight < 70 && found.class == Transient {
        let reason = "the request or its data is not valid";
        return Some(Evidence::new(60, Persistent, rule, reason));
    }
    Some(Evidence { weight, rule, ..found })
}

/// The name and the rest of a text that begins with the name of an exception, as the last line of a
/// traceback does: `pkg.mod.NameError: what it says`.
pub(super) fn in_text(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._:$".contains(c)));
    let head = text.get(..end.unwrap_or(text.len()))?;
    // The name's own colon, and the ones between modules of other languages.
    let name = head.trim_end_matches(':');
    if name.len() == head.len() && end.is_some() {
        return None;
    }
    let last = name.rsplit(['.', ':', '$']).next()?;
    let capital = last.starts_with(|c: char| c.is_ascii_uppercase());
    let kind = ["Error", "Exception", "Timeout", "Exit", "Interrupt", "Expired"];
    if !capital || !kind.iter().any(|ending| last.ends_with(ending)) {
        return None;
    }
    // What a browser's or Node.js's fetch throws when the network is at fault.
    let rest = text.get(head.len()..).unwrap_or_default().trim_start();
    let fetch = ["fetch failed", "Failed to fetch", "Load failed", "NetworkError"];
    if last == "TypeError" && fetch.iter().any(|begin| rest.starts_with(begin)) {
        return None;
    }
    Some(name)
}

/// The last line of a text, where programs say what ended them.
pub(super) fn last_line(text: &str) -> &str {
    // The lines of a process's standard error may be joined by bars.
    text.trim_end().rsplit(['\n', '|']).next().unwrap_or(text)
}

/// The part of a text that says what went wrong: of a Python traceback its last lines, or else all.
pub(super) fn of_traceback(text: &str) -> &str {
    let Some(frame) = text.rfind("  File \"") else { return text };
    let after = text.get(frame..).unwrap_or_default();
    let ends = after.match_indices(['\n', '|']).map(|(at, _)| at + 1);
    for begin in ends {
        let line = after.get(begin..).unwrap_or_default();
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return line;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, bases: &[&str]) -> Option<Class> {
        let mut scale = Scale::default();
        weigh(name, bases.iter().copied(), &mut scale);
        scale.heaviest().map(|found| found.class)
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn names_are_read_as_words() {
        assert_eq!(class("anthropic.RateLimitError", &[]), Some(Transient));
        assert_eq!(class("psycopg.errors.UniqueViolation", &[]), Some(Persistent));
        assert_eq!(class("torch.cuda.OutOfMemoryError", &[]), Some(Critical));
        assert_eq!(class("shop.Sold", &[]), None);
    }

    #[test]
    fn modules_tell_equal_names_apart() {
        assert_eq!(class("tarfile.ReadError", &[]), Some(Persistent));
        assert_eq!(class("httpx.ReadError", &[]), Some(Transient));
    }

    #[test]
    fn bases_speak_where_the_type_is_silent() {
        assert_eq!(class("shop.Gone", &["shop.Base", "ConnectionError"]), Some(Transient));
        assert_eq!(class("KeyError", &["TimeoutError"]), Some(Persistent));
    }

    #[test]
    fn a_text_may_begin_with_a_name() {
        assert_eq!(in_text("KeyError: 'x'"), Some("KeyError"));
        assert_eq!(in_text("java.net.ConnectException: no"), Some("java.net.ConnectException"));
        assert_eq!(in_text("Net::ReadTimeout"), Some("Net::ReadTimeout"));
        assert_eq!(in_text("TypeError: fetch failed"), None);
        for text in ["Error 111 connecting", "the end: nothing", "Error handling failed", ""] {
            assert_eq!(in_text(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_traceback_the_end_counts() {
        let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    \
                     run()\n  File \"b.py\", line 2, in run\n    raise E\nE: late\nmore";
        assert_eq!(of_traceback(trace), "E: late\nmore");
        let joined = "  File \"b.py\", line 2, in run |     raise E | E: late";
        assert_eq!(of_traceback(joined), "E: late");
        assert_eq!(of_traceback("plain"), "plain");
        assert_eq!(last_line("a | b\nE: late\n"), "E: late");
    }
}
