//! Sending requests: [`HttpClient`].

use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::{Method, Request, Response, Uri, header};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _};

use super::call::HttpCall;
use super::failure;
use super::request::{HttpRequest, shown};
use super::resolve::Names;
use super::response::HttpResponse;
use super::socket::TcpOpener;
use super::tls::TlsOpener;
use crate::{Code, Error, Result};

/// Redirects that are followed, at most.
const REDIRECTS: u32 = 5;

/// Sends requests, and keeps connections for the next ones. Cheap to clone; the clones share them.
#[derive(Clone, Debug)]
pub struct HttpClient {
    agent: Agent,
}

impl HttpClient {
    /// A client without connections. Reads the proxies from the environment.
    pub fn new() -> Self {
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("sutazai/", env!("CARGO_PKG_VERSION")))
            // What a redirect or a refusal says is not waited for before the body is sent.
            .timeout_await_100(Some(Duration::ZERO))
            .max_response_header_size(60 << 10)
            .input_buffer_size(64 << 10)
            .output_buffer_size(16 << 10)
            .max_idle_connections(32)
            .max_idle_connections_per_host(8)
            .max_idle_age(Duration::from_secs(30))
            .build();
        // The deadline is in the connections: ureq's own is an allowance for each request.
        let connector =
            ().chain(ConnectProxyConnector::default()).chain(TcpOpener).chain(TlsOpener::default());
        Self { agent: Agent::with_parts(config, connector, Names::default()) }
    }

    /// Sends a request and reads status and headers of the answer, whatever the status is. Blocks
    /// until then, or until the call ends.
    ///
    /// # Errors
    /// [`Code::IO`] when there is no connection or it breaks; [`Code::AGENT_PROTOCOL`] when the answer
    /// is not HTTP; [`Code::DEADLINE_EXCEEDED`] and [`Code::CANCELLED`] when the call ends.
    pub fn send(&self, request: &HttpRequest, call: &HttpCall) -> Result<HttpResponse> {
        let mut request = request.clone();
        for _ in 0..=REDIRECTS {
            let response = self.exchange(&request, call)?;
            match next(&request, &response) {
                Some(to) => request = to,
                None => return Ok(HttpResponse::new(response, shown(&request.url), call)),
            }
        }
        Err(Error::new(Code::AGENT_PROTOCOL, "redirected too often")
            .operation("agent.http")
            .with("url", request.shown_url()))
    }

    fn exchange(&self, request: &HttpRequest, call: &HttpCall) -> Result<Response<ureq::Body>> {
        let url = request.shown_url();
        if call.cancelled() {
            return Err(crate::base::ticket::cancelled());
        }
        let mut made = Request::builder().method(request.method.clone()).uri(request.url.clone());
        if let Some(headers) = made.headers_mut() {
            headers.extend(request.headers.iter().cloned());
        }
        let sent = call.enter(None, || match &request.body {
            Some(body) => made.body(&**body).map(|made| self.agent.run(made)),
            None => made.body(()).map(|made| self.agent.run(made)),
        });
        let answer = sent.unwrap_or_else(|error| Err(error.into()));
        if call.cancelled() {
            return Err(crate::base::ticket::cancelled());
        }
        answer.map_err(|error| failure::of(error, &url))
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// What to ask next where an answer leads somewhere else, and may.
fn next(request: &HttpRequest, response: &Response<ureq::Body>) -> Option<HttpRequest> {
    let get = request.method == Method::GET;
    match response.status().as_u16() {
        307 | 308 => {}
        301..=303 if get => {}
        _ => return None,
    }
    let to = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let url = resolved(&request.url, to)?;
    let same = url.scheme() == request.url.scheme() && url.authority() == request.url.authority();
    if same {
        return Some(HttpRequest { url, ..request.clone() });
    }
    let worse = request.url.scheme_str() == Some("https") && url.scheme_str() != Some("https");
    // Elsewhere nobody has a right to what the headers hold.
    (get && !worse).then(|| HttpRequest { url, headers: Vec::new(), ..request.clone() })
}

/// A reference to another place, as seen from `base`: absolute, or a path within the same origin.
fn resolved(base: &Uri, to: &str) -> Option<Uri> {
    let absolute = if to.contains("://") {
        to.to_owned()
    } else {
        let (scheme, authority) = (base.scheme_str()?, base.authority()?);
        if let Some(rest) = to.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if to.starts_with('/') {
            format!("{scheme}://{authority}{to}")
        } else {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{to}")
        }
    };
    let absolute = absolute.split('#').next()?;
    HttpRequest::get(absolute).ok().map(|request| request.url)
}
