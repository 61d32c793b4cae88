//! Talking to a process whose ends of the pipes may outlive it, or may never be read.
//!
//! A read of a pipe ends only when everybody who holds the other end has let go of it, which a
//! grandchild in a session of its own may never do; a write blocks as long as nobody reads. Both
//! are made here to end at once when an [`Interrupter`] is dropped.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Dropping it interrupts everything that was made with the [`Interrupt`] that came with it.
pub(crate) struct Interrupter {
    _held: io::PipeWriter,
}

/// What readers and writers watch beside their own pipe. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<io::PipeReader>);

/// A new interruption.
pub(crate) fn interrupt() -> io::Result<(Interrupter, Interrupt)> {
    let (read, write) = io::pipe()?;
    Ok((Interrupter { _held: write }, Interrupt(Arc::new(read))))
}

/// Most that is read after the interruption: more than any pipe holds, so that whatever was
/// written before it is seen, and a writer that goes on for ever is not listened to.
const DRAIN: usize = 1 << 20;

/// Reads until the end, or until interrupted and nothing is left to read.
pub(crate) struct Source {
    pipe: OwnedFd,
    interrupt: Interrupt,
    left: usize,
}

impl Source {
    pub(crate) fn new(pipe: OwnedFd, interrupt: Interrupt) -> Self {
        Self { pipe, interrupt, left: DRAIN }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (here, interrupted) = wait(&self.pipe, PollFlags::IN, &self.interrupt)?;
            if !here || (interrupted && self.left == 0) {
                return Ok(0);
            }
            match rustix::io::read(&self.pipe, &mut *buffer) {
                Ok(read) => {
                    if interrupted {
                        self.left = self.left.saturating_sub(read);
                    }
                    return Ok(read);
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Writes, or fails with [`io::ErrorKind::BrokenPipe`] when interrupted or when nobody reads any
/// more; never raises SIGPIPE, which would end a host that has not ignored it.
pub(crate) struct Sink {
    socket: OwnedFd,
    interrupt: Interrupt,
}

impl Sink {
    /// A sink, and the end that a child reads from: a socket pair, because only a socket can be
    /// written to without the risk of SIGPIPE.
    pub(crate) fn pair(interrupt: Interrupt) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // One way only: what the child writes to its input is lost here, as with a pipe.
        ours.shutdown(std::net::Shutdown::Read)?;
        Ok((Self { socket: ours.into(), interrupt }, theirs.into()))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let (here, interrupted) = wait(&self.socket, PollFlags::OUT, &self.interrupt)?;
            if interrupted || !here {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            match send(&self.socket, bytes) {
                Ok(written) => return Ok(written),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(target_vendor = "apple"))]
fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    rustix::net::send(socket, bytes, rustix::net::SendFlags::NOSIGNAL)
}

/// The standard library sets SO_NOSIGPIPE on the sockets that it makes on Apple's systems.
#[cfg(target_vendor = "apple")]
fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    rustix::io::write(socket, bytes)
}

/// Waits until the pipe is ready (also for an error or its end) or the interruption comes: which of
/// them is there.
fn wait(pipe: &OwnedFd, wanted: PollFlags, interrupt: &Interrupt) -> io::Result<(bool, bool)> {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(pipe.as_fd(), wanted),
            PollFd::from_borrowed_fd(interrupt.0.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {
                let [pipe, interrupt] = &fds;
                return Ok((!pipe.revents().is_empty(), !interrupt.revents().is_empty()));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_ends_a_read_that_nobody_else_would() {
        let (interrupter, interrupt) = interrupt().unwrap();
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"before").unwrap();
        let mut source = Source::new(read.into(), interrupt);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            source.read_to_end(&mut all).unwrap();
            all
        });
        drop(interrupter);
        assert_eq!(reader.join().unwrap(), b"before");
        drop(write);
    }

    #[test]
    fn a_writer_without_end_is_not_listened_to_after_the_interruption() {
        let (interrupter, interrupt) = interrupt().unwrap();
        let zero = std::fs::File::open("/dev/zero").unwrap();
        drop(interrupter);
        let mut source = Source::new(zero.into(), interrupt);
        let mut all = Vec::new();
        source.read_to_end(&mut all).unwrap();
        assert!(all.len() >= DRAIN && all.len() < 2 * DRAIN, "{}", all.len());
    }

    #[test]
    fn an_interruption_ends_a_write_that_nobody_reads() {
        let (interrupter, interrupt) = interrupt().unwrap();
        let (mut sink, _held) = Sink::pair(interrupt).unwrap();
        let writer = std::thread::spawn(move || sink.write_all(&vec![0; 64 << 20]));
        drop(interrupter);
        assert_eq!(writer.join().unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_went_away_is_an_error_and_no_signal() {
        let (_interrupter, interrupt) = interrupt().unwrap();
        let (mut sink, theirs) = Sink::pair(interrupt).unwrap();
        drop(theirs);
        assert!(sink.write_all(b"anybody?").is_err());
    }
}
