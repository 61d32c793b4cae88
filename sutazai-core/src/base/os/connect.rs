//! Opening a TCP connection that may be given up meanwhile.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use crate::base::time::Moment;

/// Connects within `time`, and looks every `slice` whether that is still `wanted`; what is not is
/// [`io::ErrorKind::Interrupted`].
pub(crate) fn connect(
    address: SocketAddr,
    time: Duration,
    slice: Duration,
    wanted: impl Fn() -> bool,
) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let until = Moment::now() + time;
    loop {
        let left = until.since(Moment::now());
        if !wanted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let wait = Timespec::try_from(left.min(slice)).ok();
        match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], wait.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    rustix::net::sockopt::socket_error(&socket)??;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(TcpStream::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const SLICE: Duration = Duration::from_millis(5);

    #[test]
    fn what_listens_is_connected_to_and_what_does_not_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = connect(address, Duration::from_secs(5), SLICE, || true).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        drop((listener, stream));
        let error = connect(address, Duration::from_secs(5), SLICE, || true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn what_is_not_wanted_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = connect(address, Duration::from_secs(5), SLICE, || false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        let error = connect(address, Duration::ZERO, SLICE, || true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
