//! Blocking HTTP/1.1 with TLS, for connectors whose other side is a URL; through `ureq` and `rustls`.
//!
//! ```no_run
//! use std::time::Duration;
//! use sutazai_core::agent::connect::http::{HttpCall, HttpClient, HttpRequest};
//!
//! let client = HttpClient::new();
//! let call = HttpCall::within(Duration::from_secs(10));
//! let request = HttpRequest::post_json("https://example.com/echo", &serde_json::json!({"a": 1}))?;
//! let answer = client.send(&request, &call)?.success("example.echo")?;
//! let value: serde_json::Value = answer.json(1 << 20)?;
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! A request runs on the thread that sends it. [`HttpCall`] is its end as others may bring it about:
//! from another thread [`HttpCall::cancel`] shuts the connection down, and the thread that waits for it
//! goes on at once with [`Code::CANCELLED`](crate::Code::CANCELLED). Its deadline holds for all of it:
//! looking up the name, connecting, TLS, sending, and reading to the end. A name is looked up on a thread
//! `sutazai-dns` of its own, because nothing can interrupt that; at most 32 of a client live at once.
//!
//! Connections are kept and used again: at most 32, 8 to a host, for 30 s. Redirects are followed
//! within the same origin, and by a GET also to another one, but then without the request's own
//! headers, and never from `https` to `http`. Proxies come from the environment (`HTTPS_PROXY`,
//! `ALL_PROXY`, `NO_PROXY`, …), trusted roots from the system (`SSL_CERT_FILE` names others), which all clients
//! of a process read once.
//!
//! **Invariants.** Everything read is bounded: headers (60 KiB, 128 lines), a body and an event by what the caller
//! says. Values of headers given with [`HttpRequest::secret`] stand in no error, log or `Debug` output.

mod call;
mod client;
mod events;
mod failure;
mod request;
mod resolve;
mod response;
mod secret;
mod socket;
mod tls;

pub use call::HttpCall;
pub use client::HttpClient;
pub use events::{Event, EventParser, EventReader};
pub use request::HttpRequest;
pub use response::{HttpHead, HttpResponse};
pub use secret::Secret;

#[cfg(any(feature = "openai", feature = "a2a", feature = "mcp"))]
pub(crate) use response::cut;

#[cfg(any(feature = "openai", feature = "a2a", feature = "mcp"))]
mod beat;
#[cfg(any(feature = "openai", feature = "a2a", feature = "mcp"))]
pub(crate) use beat::{BEAT, beat, liveness};

/// Where in a trace a task stands, as the header `traceparent` says it (W3C Trace Context).
#[cfg(any(feature = "openai", feature = "a2a", feature = "mcp"))]
pub(crate) fn trace_parent(task: &crate::port::Task) -> Option<String> {
    let at = task.trace();
    (at.trace.0 != 0 && at.span.0 != 0).then(|| format!("00-{}-{}-01", at.trace, at.span))
}
