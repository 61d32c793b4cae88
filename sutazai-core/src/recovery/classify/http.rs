//! What HTTP statuses and headers say (RFC 9110, 6585, 4918, 8470, 7725; 520 to 530 are
//! Cloudflare's, 529 is also how Anthropic says that it is overloaded).

use super::evidence::{BROAD, CERTAIN, EXACT, Evidence, LOOSE};
use super::facts::Facts;
use crate::Class::{self, Critical, Persistent, Transient};

const STATUS: &str = "http.status";

/// What the status says; nothing for one that is no failure.
pub(super) fn status(status: u16) -> Option<Evidence> {
    let (weight, class, reason) = match status {
        300..=399 => (LOOSE, Persistent, "HTTP 3xx: it is somewhere else, or unchanged"),
        400 => (52, Persistent, "HTTP 400 Bad Request"),
        401 => (70, Persistent, "HTTP 401 Unauthorized: the credentials are missing or wrong"),
        402 => (82, Persistent, "HTTP 402 Payment Required"),
        403 => (LOOSE, Persistent, "HTTP 403 Forbidden"),
        404 => (EXACT, Persistent, "HTTP 404 Not Found"),
        405 => (EXACT, Persistent, "HTTP 405 Method Not Allowed"),
        406 => (EXACT, Persistent, "HTTP 406 Not Acceptable"),
        407 => (70, Persistent, "HTTP 407: the proxy wants authentication"),
        408 => (EXACT, Transient, "HTTP 408 Request Timeout"),
        // Statuses 409 and 424 are used for a lock that is held as well as for what is there already.
        409 => (40, Persistent, "HTTP 409 Conflict: the resource is in another state"),
        410 => (EXACT, Persistent, "HTTP 410 Gone"),
        411 | 416 | 417 | 418 | 426 | 428 | 431 => {
            (EXACT, Persistent, "the server does not take such a request (HTTP 4xx)")
        }
        412 => (EXACT, Persistent, "HTTP 412 Precondition Failed"),
        413 => (60, Persistent, "HTTP 413 Content Too Large"),
        414 => (EXACT, Persistent, "HTTP 414 URI Too Long"),
        415 => (EXACT, Persistent, "HTTP 415 Unsupported Media Type"),
        421 => (40, Transient, "HTTP 421 Misdirected Request: another connection may do"),
        422 => (62, Persistent, "HTTP 422 Unprocessable Content"),
        423 => (LOOSE, Transient, "HTTP 423 Locked: whoever holds it may let go"),
        424 => (40, Persistent, "HTTP 424 Failed Dependency"),
        425 => (EXACT, Transient, "HTTP 425 Too Early"),
        429 => (60, Transient, "HTTP 429 Too Many Requests"),
        440 | 451 | 494..=497 => (EXACT, Persistent, "refused for good (HTTP 4xx)"),
        444 | 460 => (60, Transient, "the connection was given up (HTTP 4xx)"),
        499 => (60, Persistent, "HTTP 499: the client closed the request"),
        _ if status / 100 == 4 => (BROAD, Persistent, "HTTP 4xx: the request is at fault"),
        500 => (BROAD, Transient, "HTTP 500 Internal Server Error"),
        501 => (EXACT, Persistent, "HTTP 501 Not Implemented"),
        502 => (60, Transient, "HTTP 502 Bad Gateway"),
        503 => (60, Transient, "HTTP 503 Service Unavailable"),
        504 => (EXACT, Transient, "HTTP 504 Gateway Timeout"),
        505 | 506 | 508 | 510 => (EXACT, Persistent, "the server cannot do that (HTTP 5xx)"),
        507 => (LOOSE, Critical, "HTTP 507 Insufficient Storage: the server's disk is full"),
        511 => (EXACT, Persistent, "HTTP 511 Network Authentication Required"),
        520..=524 | 527 | 598 | 599 => (60, Transient, "the gateway lost the origin (HTTP 5xx)"),
        525 | 526 => (70, Persistent, "HTTP 52x: TLS to the origin fails"),
        529 => (EXACT, Transient, "HTTP 529: overloaded"),
        530 => (40, Persistent, "HTTP 530: the gateway does not find the origin"),
        _ if status / 100 == 5 => (BROAD, Transient, "HTTP 5xx: the server failed"),
        _ => return None,
    };
    Some(Evidence::new(weight, class, STATUS, reason))
}

/// Some providers say outright whether to try again (OpenAI and Anthropic do).
pub(super) fn should_retry(facts: &Facts<'_>) -> Option<Evidence> {
    let said = facts.header("x-should-retry")?;
    let (class, reason): (Class, _) = match said.trim() {
        "true" => (Transient, "the server says to try again (x-should-retry)"),
        "false" => (Persistent, "the server says not to try again (x-should-retry)"),
        _ => return None,
    };
    Some(Evidence::new(CERTAIN - 2, class, "http.should_retry", reason))
}

/// A time to wait, or an allowance that is used up, on a response that is no success: it will pass.
/// GitHub answers 403 with these when a rate limit is hit, a proxy 413.
pub(super) fn asks_to_wait(facts: &Facts<'_>) -> Option<Evidence> {
    let rule = "http.retry_after";
    let says = |reason| Some(Evidence::new(62, Transient, rule, reason));
    let waits = ["retry-after", "retry-after-ms", "x-ms-retry-after-ms"];
    if facts.retry_after.is_some() || waits.iter().any(|name| facts.header(name).is_some()) {
        return says("the answer says when to try again (Retry-After)");
    }
    let limits = ["x-ratelimit-remaining", "ratelimit-remaining"];
    let refused = facts.http_status.is_some_and(|status| matches!(status, 403 | 429 | 503));
    let used_up = |name: &&str| facts.header(name).is_some_and(|left| left.trim() == "0");
    if refused && limits.iter().any(used_up) {
        return says("nothing is left of the rate limit (x-ratelimit-remaining: 0)");
    }
    None
}
