//! One process from start to end, and the threads that talk to it.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::dialect::Said;
use super::exit::ProcessExit;
use super::hear::CLOSED_INPUT;
use super::shared::{Phase, Shared};
use crate::base::os::pipe::{self, Interrupter, Sink, Source};
use crate::base::os::process::{self, Leader};
use crate::base::time::Moment;
use crate::port::Task;

pub(super) struct Life {
    child: Child,
    leader: Leader,
    interrupter: Interrupter,
    threads: Vec<JoinHandle<()>>,
}

impl Life {
    /// Starts the process and the threads that talk to it.
    pub(super) fn begin(shared: &Arc<Shared>) -> io::Result<Self> {
        let (interrupter, interrupt) = pipe::interrupt()?;
        let (sink, input) = Sink::pair(interrupt.clone())?;
        let mut command = shared.spec.to_command();
        command.stdin(Stdio::from(input)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, leader) = process::spawn(&mut command)?;
        // The child's ends, ours of which the command holds, are closed.
        drop(command);
        let output = child.stdout.take().map(OwnedFd::from);
        let errors = child.stderr.take().map(OwnedFd::from);
        let mut life = Self { child, leader, interrupter, threads: Vec::new() };
        shared.state.lock().leader = Some(leader);
        match life.start_threads(shared, sink, output, errors, interrupt) {
            Ok(()) => Ok(life),
            Err(error) => {
                life.end(shared);
                Err(error)
            }
        }
    }

    /// Ends what is left of the group, hears what is left to hear, and reaps the process.
    pub(super) fn end(mut self, shared: &Shared) -> ProcessExit {
        self.leader.kill();
        shared.state.lock().closed = true;
        shared.work.notify_all();
        drop(self.interrupter);
        for thread in self.threads {
            let _ = thread.join();
        }
        // From here on the number may belong to somebody else.
        shared.state.lock().leader = None;
        let status = self.child.wait().ok();
        let mut state = shared.state.lock();
        let reason = state.ending.take().map(|ending| ending.reason);
        let stderr = std::mem::take(&mut state.tail).into_lines();
        ProcessExit::new(status, reason, stderr)
    }

    fn start_threads(
        &mut self,
        shared: &Arc<Shared>,
        sink: Sink,
        output: Option<OwnedFd>,
        errors: Option<OwnedFd>,
        interrupt: pipe::Interrupt,
    ) -> io::Result<()> {
        let leader = self.leader;
        self.thread(shared, "sutazai-p-exit", move |shared| {
            leader.await_exit();
            shared.state.lock().exited = true;
            shared.change.notify_all();
        })?;
        if let Some(output) = output {
            let source = Source::new(output, interrupt.clone());
            self.thread(shared, "sutazai-p-out", move |shared| shared.listen(source))?;
        }
        if let Some(errors) = errors {
            let source = Source::new(errors, interrupt);
            self.thread(shared, "sutazai-p-err", move |shared| shared.listen_to_stderr(source))?;
        }
        self.thread(shared, "sutazai-p-in", move |shared| shared.write(sink))
    }

    fn thread(
        &mut self,
        shared: &Arc<Shared>,
        name: &str,
        body: impl FnOnce(&Shared) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            shared.adopt_thread();
            let _attended = Attended(&shared);
            body(&shared);
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

/// Ends the process when one of its threads ends by a panic: it would look ready, and nobody would
/// read what it says.
struct Attended<'a>(&'a Shared);

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end_soon("lost a thread of its host to a panic");
        }
    }
}

/// What there is to write.
enum Next {
    Control(Said),
    Task(u64, Box<Task>, Arc<str>),
}

impl Shared {
    /// Writes what there is to write until the process ends or is asked to.
    fn write(&self, mut sink: Sink) {
        while let Some(line) = self.next_line() {
            if sink.write_all(line.as_bytes()).is_err() {
                self.end_soon(CLOSED_INPUT);
                return;
            }
        }
    }

    /// Waits for the next message; `None` when there will be none.
    fn next_line(&self) -> Option<Said> {
        loop {
            let (id, task, input) = match self.next_message()? {
                Next::Control(line) => return Some(line),
                Next::Task(id, task, input) => (id, task, input),
            };
            let deadline = task.deadline();
            let timeout_ms = (deadline != Moment::FAR)
                .then(|| u64::try_from(deadline.since(self.now()).as_millis()).unwrap_or(u64::MAX));
            match self.dialect.task(id, &task, &input, timeout_ms) {
                Ok(line) => return Some(line),
                Err(error) => drop(self.answer(id, Err(error))),
            }
        }
    }

    fn next_message(&self) -> Option<Next> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(line) = state.control.pop_front() {
                return Some(Next::Control(line));
            }
            if state.asked {
                return None;
            }
            let ready = matches!(state.phase, Phase::Ready) && state.ending.is_none();
            if ready && let Some((id, task, input)) = state.calls.send(self.in_flight()) {
                return Some(Next::Task(id, Box::new(task), input));
            }
            state = self.work.wait(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::connect::process::ProcessSpec;
    use crate::port::AgentCard;
    use std::io::Read;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("broken");
        }
    }

    fn ending_after(body: impl FnOnce(&Shared)) -> Option<String> {
        let shared = Shared::new(AgentCard::new("a", ["s"]), ProcessSpec::new("p"));
        let _ = crate::base::contain::catch(|| {
            let _attended = Attended(&shared);
            body(&shared);
        });
        let state = shared.state.lock();
        state.ending.as_ref().map(|ending| ending.reason.clone())
    }

    #[test]
    fn a_process_that_lost_a_thread_is_ended() {
        let lost = Some("it lost a thread of its host to a panic".to_owned());
        assert_eq!(ending_after(|shared| shared.listen(Broken)), lost);
        assert_eq!(ending_after(|shared| shared.listen_to_stderr(Broken)), lost);
    }

    #[test]
    fn the_end_of_stderr_is_not_the_end() {
        assert_eq!(ending_after(|shared| shared.listen_to_stderr(io::empty())), None);
        let closed = Some("it closed its output".to_owned());
        assert_eq!(ending_after(|shared| shared.listen(io::empty())), closed);
    }

    #[test]
    fn one_that_is_gone_has_closed_its_output_whichever_is_noticed_first() {
        let both = |shared: &Shared| {
            shared.end_soon(CLOSED_INPUT);
            shared.listen(io::empty());
            shared.end_soon(CLOSED_INPUT);
        };
        assert_eq!(ending_after(both).as_deref(), Some("it closed its output"));
    }
}
