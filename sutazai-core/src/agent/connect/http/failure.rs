//! What goes wrong on the way, as an error of the library's.

use std::{fmt, io};

use ureq::Timeout;

use crate::base::ticket;
use crate::{Class, Code, Error};

/// Why a connection was given up here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The call was cancelled.
    Cancelled,
    /// Too many names are being looked up.
    Overloaded,
}

impl Ended {
    pub(super) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the call was cancelled",
            Self::Overloaded => "too many names are being looked up",
        })
    }
}

impl std::error::Error for Ended {}

impl From<Ended> for ureq::Error {
    fn from(ended: Ended) -> Self {
        Self::Io(ended.into_io())
    }
}

/// An error of reading a body.
pub(super) fn of_io(error: io::Error, url: &str) -> Error {
    of(ureq::Error::from(error), url)
}

/// An error of ureq's.
pub(super) fn of(error: ureq::Error, url: &str) -> Error {
    match error {
        ureq::Error::Io(error) => match ureq::Error::from(error) {
            // TLS hands on what the connection below it says, wrapped once more.
            ureq::Error::Io(error) => io_error(error, url),
            below => of(below, url),
        },
        ureq::Error::Timeout(timeout) => late(timeout, url),
        ureq::Error::HostNotFound => new(Code::IO, "the host's name has no address", url),
        ureq::Error::Protocol(error) => {
            new(Code::AGENT_PROTOCOL, "the answer is not HTTP", url).with("reason", error)
        }
        ureq::Error::LargeResponseHeader(_, most) => {
            new(Code::AGENT_PROTOCOL, "the answer's headers are longer than allowed", url)
                .with("bytes", most)
        }
        ureq::Error::ConnectProxyFailed(reason) => {
            new(Code::IO, "the proxy did not connect", url).with("reason", reason)
        }
        ureq::Error::BadUri(reason) => new(Code::INVALID, "not a URL", url).with("reason", reason),
        ureq::Error::Http(error) => {
            new(Code::INVALID, "not a request of HTTP", url).with("reason", error)
        }
        other => new(Code::IO, "the request failed", url).with("reason", other),
    }
}

fn io_error(error: io::Error, url: &str) -> Error {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<Ended>()) {
        Some(Ended::Cancelled) => return ticket::cancelled(),
        Some(Ended::Overloaded) => {
            return new(Code::OVERLOADED, "too many names are being looked up", url);
        }
        None => {}
    }
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls(error, url);
    }
    plain(error, url)
}

fn plain(error: io::Error, url: &str) -> Error {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing accepts connections there",
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "the connection was closed before the answer was whole",
        _ => "the connection failed",
    };
    new(Code::IO, message, url).because(error)
}

fn tls(error: &rustls::Error, url: &str) -> Error {
    let told = new(Code::IO, "the connection could not be secured", url).with("reason", error);
    match error {
        rustls::Error::InvalidCertificate(_) => told
            .classed(Class::Persistent)
            .advice("the server's certificate must be one that this system trusts; SSL_CERT_FILE names others"),
        _ => told,
    }
}

fn late(timeout: Timeout, url: &str) -> Error {
    let during = match timeout {
        Timeout::Resolve => "looking up the host's name",
        Timeout::Connect => "connecting",
        Timeout::SendRequest | Timeout::SendBody => "sending",
        Timeout::RecvBody => "reading the answer",
        _ => "waiting for the answer",
    };
    new(Code::DEADLINE_EXCEEDED, "no answer came before the deadline", url).with("during", during)
}

fn new(code: Code, message: &'static str, url: &str) -> Error {
    Error::new(code, message).operation("agent.http").with("url", url)
}
