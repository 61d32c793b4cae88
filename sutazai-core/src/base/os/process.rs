//! Child processes that lead a process group of their own, so that they can be ended with all
//! their offspring.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

/// The leader of a process group. Its id is good until the child is reaped: a zombie keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader(Pid);

/// Starts the command as the leader of a new process group.
pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Leader)> {
    let child = command.process_group(0).spawn()?;
    let leader = Leader(Pid::from_child(&child));
    Ok((child, leader))
}

impl Leader {
    /// The process id, for people.
    pub(crate) fn id(self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }

    /// Asks the whole group to end (SIGTERM).
    pub(crate) fn terminate(self) {
        self.signal(Signal::TERM);
    }

    /// Ends the whole group (SIGKILL).
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// Blocks until the process has ended, and leaves it as a zombie, so that its group can still
    /// be named.
    pub(crate) fn await_exit(self) {
        loop {
            match waitid(WaitId::Pid(self.0), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Err(rustix::io::Errno::INTR) => {}
                // ECHILD: the host ignores SIGCHLD or reaped what is not its own; gone either way.
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn signal(self, signal: Signal) {
        // The group may be empty, or the child may have left it; then the child alone.
        if kill_process_group(self.0, signal).is_err() {
            let _ = kill_process(self.0, signal);
        }
    }
}
