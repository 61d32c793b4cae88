//! The connections: TCP whose every wait ends with the call that it is for. TLS stands above.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

use super::call::{Current, HttpCall};
use super::failure::Ended;
use crate::base::time::Moment;

/// How long a wait that nothing can interrupt lasts before it is looked whether it is still wanted.
pub(super) const SLICE: Duration = Duration::from_millis(10);
/// The longest that a read or write waits before the deadline is looked at again.
const LONGEST: Duration = Duration::from_secs(600);

/// Opens TCP connections.
#[derive(Debug)]
pub(super) struct TcpOpener;

impl<In: Transport> Connector<In> for TcpOpener {
    type Out = Either<In, Tcp>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let stream = open(&details.addrs)?;
        stream.set_nodelay(true)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Tcp { stream: Arc::new(stream), buffers })))
    }
}

/// Tries the addresses in turn; each but the last gets a part of the time that is left.
fn open(addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let call = HttpCall::current();
    let mut failed = Error::HostNotFound;
    for (tried, address) in addresses.iter().enumerate() {
        let left = call.as_ref().map_or(LONGEST, Current::left).min(LONGEST);
        let more = tried + 1 < addresses.len();
        let time = if more { left / 2 } else { left };
        let wanted = || call.as_ref().is_none_or(|current| !current.call.cancelled());
        match connect(*address, time, wanted) {
            Ok(stream) => return Ok(stream),
            Err(_) if !wanted() => return Err(Ended::Cancelled.into()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                failed = Error::Timeout(Timeout::Connect);
            }
            Err(error) => failed = Error::Io(error),
        }
    }
    Err(failed)
}

#[cfg(unix)]
fn connect(
    address: SocketAddr,
    time: Duration,
    wanted: impl Fn() -> bool,
) -> io::Result<TcpStream> {
    crate::base::os::connect::connect(address, time, SLICE, wanted)
}

#[cfg(not(unix))]
fn connect(address: SocketAddr, time: Duration, _: impl Fn() -> bool) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, time.max(Duration::from_millis(1)))
}

/// A TCP connection.
pub(super) struct Tcp {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
}

/// Does `io` until it is done, fails, or the call ends; waits as long as that allows.
fn until_end<R>(
    stream: &Arc<TcpStream>,
    given: NextTimeout,
    set: impl Fn(&TcpStream, Option<Duration>) -> io::Result<()>,
    mut io: impl FnMut(&TcpStream) -> io::Result<R>,
) -> Result<R, Error> {
    let call = HttpCall::current();
    let until = Moment::now() + *given.after;
    loop {
        let left = call.as_ref().map_or(LONGEST, Current::left).min(until.since(Moment::now()));
        if left.is_zero() {
            return Err(Error::Timeout(given.reason));
        }
        // Less than a microsecond would be none at all to the system.
        set(stream, Some(left.min(LONGEST).max(Duration::from_micros(1))))?;
        let done = match &call {
            Some(current) => current.call.using(stream, || io(stream)),
            None => Some(io(stream)),
        };
        match done {
            None => return Err(Ended::Cancelled.into()),
            Some(Ok(done)) => return Ok(done),
            Some(Err(error)) => match error.kind() {
                io::ErrorKind::Interrupted
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut => {}
                _ => return Err(Error::Io(error)),
            },
        }
    }
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut rest = self.buffers.output().get(..amount).unwrap_or_default();
        while !rest.is_empty() {
            let set = TcpStream::set_write_timeout;
            let wrote = until_end(&self.stream, timeout, set, |mut stream| stream.write(rest))?;
            if wrote == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            rest = rest.get(wrote..).unwrap_or_default();
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let into = self.buffers.input_append_buf();
        let set = TcpStream::set_read_timeout;
        let read = until_end(&self.stream, timeout, set, |mut stream| stream.read(into))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // What is idle has nothing to say; whatever is there to read, its end included, makes it unfit.
        let mut one = [0];
        let idle = self.stream.set_nonblocking(true).is_ok()
            && matches!(self.stream.peek(&mut one), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        idle && self.stream.set_nonblocking(false).is_ok()
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("to", &self.stream.peer_addr().ok()).finish()
    }
}
