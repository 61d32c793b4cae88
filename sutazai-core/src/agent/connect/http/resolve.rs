//! Looking up names, on threads of their own: nothing can interrupt that.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

use super::call::{Current, HttpCall};
use super::failure::Ended;
use super::socket::SLICE;

/// Lookups at once, at most: one that hangs keeps its thread.
const MOST: usize = 32;
/// Addresses of a name that are tried, at most.
const ADDRESSES: usize = 8;

/// Looks names up as the system does.
#[derive(Debug, Default)]
pub(super) struct Names {
    under_way: Arc<AtomicUsize>,
}

/// A place among the lookups at once.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Names {
    fn place(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.under_way));
        (self.under_way.fetch_add(1, Ordering::AcqRel) < MOST).then_some(place)
    }

    fn look_up(&self, host: String, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let place = self.place().ok_or(Ended::Overloaded)?;
        let (found, answer) = crossbeam_channel::bounded(1);
        std::thread::Builder::new().name("sutazai-dns".into()).spawn(move || {
            let addresses = (host.as_str(), port).to_socket_addrs();
            let _ = found.send(addresses.map(Iterator::collect::<Vec<_>>));
            drop(place);
        })?;
        let call = HttpCall::current();
        loop {
            let left = call.as_ref().map_or(Duration::MAX, Current::left);
            if call.as_ref().is_some_and(|current| current.call.cancelled()) {
                return Err(Ended::Cancelled.into());
            }
            match answer.recv_timeout(left.min(SLICE)) {
                Ok(answer) => return Ok(answer?),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::HostNotFound),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    return Err(Error::Timeout(Timeout::Resolve));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or_else(|| Error::BadUri("no host".into()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.look_up(host.to_owned(), port)?,
        };
        let mut addresses = self.empty();
        for address in found.into_iter().take(ADDRESSES) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}
