//! What is asked: [`HttpRequest`].

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use ureq::http::{HeaderName, HeaderValue, Method, Uri};

use super::secret::Secret;
use crate::{Code, Error, Result};

/// A request, which may be sent more than once. Cheap to clone.
#[derive(Clone)]
pub struct HttpRequest {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<Arc<[u8]>>,
}

impl HttpRequest {
    /// A request with any method.
    ///
    /// # Errors
    /// [`Code::INVALID`] when it is no method, or no absolute URL of `http` or `https`.
    pub fn new(method: &str, url: &str) -> Result<Self> {
        let method = method.parse().map_err(|_| invalid("not a method of HTTP", method))?;
        let parsed: Uri = url.parse().map_err(|_| invalid("not a URL", &public(url)))?;
        let known = matches!(parsed.scheme_str(), Some("http" | "https"));
        if !known || parsed.host().is_none_or(str::is_empty) {
            return Err(invalid("not an absolute URL of http or https", &public(url)));
        }
        if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(invalid("a URL with a user's name or password in it", &public(url))
                .advice("give credentials in a header"));
        }
        Ok(Self { method, url: parsed, headers: Vec::new(), body: None })
    }

    /// A GET.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn get(url: &str) -> Result<Self> {
        Self::new("GET", url)
    }

    /// A POST of JSON.
    ///
    /// # Errors
    /// As [`new`](Self::new); also when the value has no JSON form.
    pub fn post_json<T: Serialize + ?Sized>(url: &str, body: &T) -> Result<Self> {
        let body = serde_json::to_vec(body)
            .map_err(|e| Error::new(Code::INVALID, "the value has no JSON form").because(e))?;
        Self::new("POST", url)?.body("application/json", body)
    }

    /// Sets the body and its type.
    ///
    /// # Errors
    /// As [`header`](Self::header).
    pub fn body(mut self, content_type: &str, body: impl Into<Arc<[u8]>>) -> Result<Self> {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    /// Sets a header, in place of one of the same name.
    ///
    /// # Errors
    /// [`Code::INVALID`] when name or value cannot stand in a header; it is not shown then.
    pub fn header(self, name: &str, value: &str) -> Result<Self> {
        self.set(name, value, false)
    }

    /// Sets a header whose value is not shown: a prefix (`Bearer `) and a secret.
    ///
    /// # Errors
    /// As [`header`](Self::header) and [`Secret::reveal`].
    pub fn secret(self, name: &str, prefix: &str, secret: &Secret) -> Result<Self> {
        let value = secret.reveal()?;
        self.set(name, &format!("{prefix}{}", value.trim()), true)
    }

    fn set(mut self, name: &str, value: &str, sensitive: bool) -> Result<Self> {
        let key: HeaderName = name.parse().map_err(|_| invalid("not a header's name", name))?;
        // The value is not named: it may be a key that was mistyped.
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| invalid("the header's value has characters that it may not have", name))?;
        value.set_sensitive(sensitive);
        self.headers.retain(|(given, _)| *given != key);
        self.headers.push((key, value));
        Ok(self)
    }

    /// Scheme, host and port: whom it is for.
    pub fn origin(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        let usual = if scheme == "https" { ":443" } else { ":80" };
        format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(authority))
            .to_ascii_lowercase()
    }

    /// The URL without its query, as errors name it.
    pub fn shown_url(&self) -> String {
        shown(&self.url)
    }
}

/// A URL as it may be shown: its query may hold a key.
pub(super) fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("http");
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{authority}{}", url.path())
}

/// As [`shown`], of what may not be a URL at all.
fn public(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

fn invalid(what: &'static str, given: &str) -> Error {
    let given: String = given.chars().take(200).collect();
    Error::new(Code::INVALID, what).operation("agent.http").with("given", given)
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: any header may hold a key.
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.shown_url())
            .field("headers", &headers)
            .field("bytes", &self.body.as_ref().map_or(0, |body| body.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_and_carry_no_credentials() {
        for url in ["/a", "ftp://h/a", "http://", "h", "", "http://u:secret@h/", "http://a b/"] {
            let error = HttpRequest::get(url).unwrap_err();
            assert_eq!(error.code(), Code::INVALID, "{url}");
            assert!(!format!("{error:#}").contains("secret"), "{error:#}");
        }
        let request = HttpRequest::get("https://[::1]:8080/a?key=secret").unwrap();
        assert_eq!(request.shown_url(), "https://[::1]:8080/a");
    }

    #[test]
    fn headers_replace_one_another_and_are_not_shown() {
        let request = HttpRequest::get("http://h/")
            .and_then(|r| r.header("X-Key", "one"))
            .and_then(|r| r.secret("x-key", "Bearer ", &"tw0".into()))
            .unwrap();
        assert_eq!(request.headers.len(), 1);
        assert!(!format!("{request:?}").contains("tw0"));
        let error = HttpRequest::get("http://h/")
            .and_then(|r| r.secret("x-key", "", &"se\ncret".into()))
            .unwrap_err();
        assert!(!format!("{error:#}").contains("cret"), "{error:#}");
    }
}
