//! The thread that starts the process, watches over it, ends it and starts it again.

use std::sync::Arc;

use super::exit::ProcessExit;
use super::life::Life;
use super::restart::{Restarts, Verdict};
use super::shared::{Ending, Phase, Shared, not_running};
use crate::base::time::Moment;
use crate::observe::Level;
use crate::{Code, Error};

/// Runs until the agent is stopped or its process has died too often.
pub(super) fn run(shared: &Arc<Shared>) {
    shared.adopt_thread();
    let mut restarts = Restarts::new(shared.spec.restart);
    let mut was_ready = false;
    let last = loop {
        let exit = match live(shared) {
            Lived::Stopped => break Phase::Stopped,
            Lived::Ended { ready: false, exit } if !was_ready && shared.dialect.again() => {
                let message = format!("the process ended, and is tried again: {}", exit.summary());
                shared.log.write(Level::Warn, &message);
                continue;
            }
            Lived::Ended { ready: false, exit } if !was_ready => {
                break Phase::Failed(never_ready(shared, &exit));
            }
            Lived::NotStarted(error) if !was_ready => {
                break Phase::Failed(cannot_start(shared, error));
            }
            Lived::Ended { exit, .. } => exit,
            Lived::NotStarted(error) => {
                ProcessExit::new(None, Some(format!("cannot be started: {error}")), Vec::new())
            }
        };
        was_ready = true;
        shared.log.write(Level::Warn, &format!("the process ended: {}", exit.summary()));
        shared.state.lock().last_exit = Some(exit.clone());
        let supervised = shared.host.get().is_some_and(|host| host.supervised);
        let verdict = match supervised {
            // Whoever starts another one in its place counts how often.
            true => Verdict::GiveUp,
            false => restarts.died(Moment::now()),
        };
        match verdict {
            Verdict::At(at) => {
                if !pause(shared, at) {
                    break Phase::Stopped;
                }
            }
            Verdict::GiveUp => {
                let error = match supervised {
                    true => exit.by_itself(&shared.card.name),
                    false => exit.too_often(&shared.card.name),
                };
                let error = error.operation(shared.dialect.operation());
                shared.log.write(Level::Error, &error.to_string());
                break Phase::Failed(error);
            }
        }
    };
    let error = match &last {
        Phase::Failed(error) => error.clone(),
        _ => not_running(),
    };
    let (replies, ended) = {
        let mut state = shared.state.lock();
        let ended = was_ready && matches!(last, Phase::Failed(_));
        state.phase = last;
        (state.calls.dismiss(), ended)
    };
    shared.change.notify_all();
    if ended && let Some(host) = shared.host.get() {
        host.ended(error.clone());
    }
    for reply in replies {
        let _ = reply.fail(error.clone());
    }
}

enum Lived {
    /// It ended because the agent is to stop.
    Stopped,
    /// It ended; `ready` when it had been.
    Ended { ready: bool, exit: ProcessExit },
    /// There was none.
    NotStarted(std::io::Error),
}

/// One process, from its start until it is reaped and its tasks are answered.
fn live(shared: &Arc<Shared>) -> Lived {
    {
        let mut state = shared.state.lock();
        if state.stop.is_some() {
            return Lived::Stopped;
        }
        state.phase = Phase::Starting;
        (state.exited, state.closed, state.ending) = (false, false, None);
        state.breaches_in_a_row = 0;
        state.control.clear();
        state.control.extend(shared.dialect.begin(Moment::now()));
    }
    let life = match Life::begin(shared) {
        Ok(life) => life,
        Err(error) => return Lived::NotStarted(error),
    };
    watch(shared);
    let exit = life.end(shared);
    let (lost, asked, ready, stopped) = {
        let mut state = shared.state.lock();
        let ready = matches!(state.phase, Phase::Ready);
        let stopped = state.stop.is_some();
        if ready && !stopped {
            state.phase = Phase::Pausing;
        }
        (state.calls.lose(), state.beat.take(), ready, stopped)
    };
    // It gave no sign of life any more.
    drop(asked);
    // Whoever hears that its call is lost may make the next one at once: by then that waits for another life.
    if ready
        && !stopped
        && let Some(host) = shared.host.get().filter(|host| host.supervised)
    {
        let error = exit.by_itself(&shared.card.name);
        host.ended(error.operation(shared.dialect.operation()));
    }
    if !lost.is_empty() {
        let error = exit.during_call(&shared.card.name).operation(shared.dialect.operation());
        for reply in lost {
            let _ = reply.fail(error.clone());
        }
    }
    if stopped {
        shared.log.write(Level::Debug, &format!("the process ended: {}", exit.summary()));
        shared.state.lock().last_exit = Some(exit);
        return Lived::Stopped;
    }
    Lived::Ended { ready, exit }
}

/// Waits until the process has ended, and ends it when there is a reason to.
fn watch(shared: &Shared) {
    let spec = &shared.spec;
    let ready_by = Moment::now() + spec.start_timeout;
    let (mut terminated, mut killed) = (false, false);
    let mut state = shared.state.lock();
    while !state.exited {
        let now = Moment::now();
        let starting = matches!(state.phase, Phase::Starting);
        let due = shared.dialect.due().filter(|_| starting).unwrap_or(Moment::FAR);
        if now >= due {
            drop(state);
            shared.act(shared.dialect.tick(now), &[]);
            state = shared.state.lock();
            continue;
        }
        if let Some(by) = state.stop {
            if !state.asked {
                state.asked = true;
                state.control.extend(shared.dialect.stop());
                shared.work.notify_all();
            }
            // A quarter of the time, at most, is for those who do not listen.
            let last = by - spec.kill_grace.min(by.since(now) / 4);
            // What has nothing to do need not be waited for.
            let idle = state.calls.is_idle();
            let terminate = if idle { last.min(now + spec.stop_grace) } else { last };
            let kill = if idle { by.min(terminate + spec.kill_grace) } else { by };
            let reason = || "the agent was stopped".to_owned();
            let ending =
                state.ending.get_or_insert_with(|| Ending { terminate, kill, reason: reason() });
            ending.kill = ending.kill.min(by);
        } else if starting && now >= ready_by {
            let reason = format!("it was not ready within {:?}", spec.start_timeout);
            shared.end(&mut state, reason, std::time::Duration::ZERO);
        } else if state.calls.give_up().is_some_and(|at| now >= at) {
            let Some(grace) = spec.cancel_grace else {
                let gone = state.calls.let_go(now);
                drop(state);
                drop(gone);
                shared.work.notify_one();
                state = shared.state.lock();
                continue;
            };
            let reason = format!("it held on to a cancelled task for longer than {grace:?}");
            shared.end(&mut state, reason, std::time::Duration::ZERO);
        }
        let mut next = match &state.ending {
            Some(ending) if now >= ending.kill => {
                if !killed && let Some(leader) = state.leader {
                    leader.kill();
                }
                killed = true;
                Moment::FAR
            }
            Some(ending) if now >= ending.terminate => {
                if !terminated && let Some(leader) = state.leader {
                    leader.terminate();
                }
                terminated = true;
                ending.kill
            }
            Some(ending) => ending.terminate.min(ending.kill),
            None => state.calls.give_up().unwrap_or(Moment::FAR),
        };
        if starting && state.ending.is_none() {
            next = next.min(ready_by).min(due);
        }
        if next == Moment::FAR {
            state = shared.change.wait(state);
        } else {
            (state, _) = shared.change.wait_for(state, next.since(now));
        }
    }
}

/// Waits until it is time to start again; false when the agent is to stop instead.
fn pause(shared: &Shared, until: Moment) -> bool {
    let mut state = shared.state.lock();
    state.phase = Phase::Pausing;
    loop {
        if state.stop.is_some() {
            return false;
        }
        let left = until.since(Moment::now());
        if left.is_zero() {
            state.restarts += 1;
            return true;
        }
        (state, _) = shared.change.wait_for(state, left);
    }
}

fn never_ready(shared: &Shared, exit: &ProcessExit) -> Error {
    exit.error(Code::AGENT_START, "the agent's process did not get ready", &shared.card.name)
        .operation(shared.dialect.operation())
        .with("program", shared.spec.program())
        .advice(shared.dialect.advice())
}

fn cannot_start(shared: &Shared, error: std::io::Error) -> Error {
    use std::io::ErrorKind;
    let spec = &shared.spec;
    let no_directory = spec.cwd.as_ref().filter(|directory| !directory.is_dir());
    let mut start = Error::new(Code::AGENT_START, "cannot start the agent's process")
        .operation(shared.dialect.operation())
        .with("agent", &shared.card.name)
        .with("program", spec.program());
    if let Some(directory) = &spec.cwd {
        start = start.with("cwd", directory.display());
    }
    let advice = match (no_directory, error.kind()) {
        (Some(_), _) => "its working directory does not exist, or is not a directory",
        (None, ErrorKind::NotFound) => {
            "install the program, name it by its path, or check PATH; for a script, check the \
             interpreter in its first line"
        }
        (None, ErrorKind::PermissionDenied) => "make the file executable: chmod +x",
        (None, ErrorKind::InvalidInput) => "a part of the command has a form that is not allowed",
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            "it is not a program for this machine; for a script, name its interpreter first"
        }
        _ => "see the cause",
    };
    start.advice(advice).because(error)
}
