//! What a supervisor starts, watches, stops and starts again: [`Child`].

use std::fmt;
use std::sync::Arc;

use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// One life of something that is supervised: a loop on a thread, a process, a connection. Every start
/// takes a new one from the [`Children`], so that what was given up cannot disturb what follows it.
///
/// Methods may run on any thread that may block, `kill` while `start` or `stop` still runs.
///
/// ```
/// use std::thread;
///
/// use parking_lot::Mutex;
/// use sutazai_core::Result;
/// use sutazai_core::base::time::Moment;
/// use sutazai_core::port::{Child, ChildExit, ChildReport, ChildStart};
/// use crossbeam_channel::{Sender, unbounded};
///
/// /// A thread that works until its channel is closed.
/// #[derive(Default)]
/// struct Worker(Mutex<Option<Sender<u32>>>);
///
/// impl Child for Worker {
///     fn start(&self, report: ChildReport, _deadline: Moment) -> Result<ChildStart> {
///         let (send, receive) = unbounded();
///         *self.0.lock() = Some(send);
///         thread::spawn(move || {
///             // A panic in here drops the report, which tells the supervisor.
///             for number in receive {
///                 println!("{}", 100 / number);
///             }
///             report.exited(ChildExit::Shutdown);
///         });
///         Ok(ChildStart::Running)
///     }
///     fn stop(&self, _deadline: Moment) -> Result<()> {
///         self.kill();
///         Ok(())
///     }
///     fn kill(&self) {
///         self.0.lock().take();
///     }
/// }
/// ```
pub trait Child: Send + Sync + 'static {
    /// Begins to live; may block. The next child starts when this one has. When it has not returned
    /// by `deadline` it is killed, and the start counts as failed.
    ///
    /// # Errors
    /// Anything; it does not live then, and must have let go of what it held.
    fn start(&self, report: ChildReport, deadline: Moment) -> Result<ChildStart>;

    /// Ends in order; may block. It counts as ended when this returns, or when it reports its exit.
    /// When neither has happened by `deadline` it is killed.
    ///
    /// # Errors
    /// Anything; it counts as ended, and the error is reported.
    fn stop(&self, deadline: Moment) -> Result<()>;

    /// Ends at once, without regard for what it does. Whatever it reports later is ignored. It counts
    /// as dead when this returns, or a second later when it does not. Called at most twice: again when a
    /// start comes to its end after all.
    fn kill(&self);
}

/// Where children come from.
pub trait Children: Send + Sync + 'static {
    /// Makes the child for a life that is about to begin. Called before every start, the first as
    /// the hundredth, on a thread that may block.
    ///
    /// # Errors
    /// Anything; it counts as a start that failed.
    fn child(&self, life: &ChildLife) -> Result<Arc<dyn Child>>;
}

impl<F> Children for F
where
    F: Fn(&ChildLife) -> Result<Arc<dyn Child>> + Send + Sync + 'static,
{
    fn child(&self, life: &ChildLife) -> Result<Arc<dyn Child>> {
        self(life)
    }
}

/// Which child it is, and which of its lives.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ChildLife {
    /// Its identifier within its supervisor.
    pub id: Arc<str>,
    /// The identifiers from the root to it, with `>` between them: `main>workers>reviewer`.
    pub path: Arc<str>,
    /// What it does: the name of a worker, or its own.
    pub does: Arc<str>,
    /// The number of this life.
    pub generation: Generation,
}

impl ChildLife {
    /// A life by its number, of a child that does what its name says.
    pub fn new(id: impl Into<Arc<str>>, path: impl Into<Arc<str>>, generation: Generation) -> Self {
        let id = id.into();
        Self { does: Arc::clone(&id), id, path: path.into(), generation }
    }

    /// Says what it does.
    #[must_use]
    pub fn does(self, does: impl Into<Arc<str>>) -> Self {
        Self { does: does.into(), ..self }
    }
}

/// The number of one life in a tree of supervisors: 1, 2, 3, …; never given twice.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What became of a start that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChildStart {
    /// It lives.
    Running,
    /// There is nothing for it to do, and it does not live; this is no failure (`ignore` in OTP).
    Ignored,
}

/// How a life came to its end by itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "exit", content = "error")]
pub enum ChildExit {
    /// It has done what it was for.
    Normal,
    /// It was told to end, by its supervisor or by somebody else. Counts as `Normal` does.
    Shutdown,
    /// Something went wrong.
    #[schemars(with = "serde_json::Value")]
    Failed(Error),
}

impl ChildExit {
    /// Whether it ended in order.
    pub const fn is_orderly(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// How a child tells that it has ended. Kept by the child as long as it lives: a report that is
/// dropped says that the child failed, with [`Code::ABANDONED`], or [`Code::PANIC`] when the thread that
/// drops it panics.
#[must_use = "dropping it tells the supervisor that the child has failed"]
pub struct ChildReport {
    generation: Generation,
    tell: Option<Tell>,
}

type Tell = Box<dyn FnOnce(ChildExit) + Send + Sync>;

impl ChildReport {
    /// A report that is made to `tell`, once.
    pub fn new(
        generation: Generation,
        tell: impl FnOnce(ChildExit) + Send + Sync + 'static,
    ) -> Self {
        Self { generation, tell: Some(Box::new(tell)) }
    }

    /// The life that it is about.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// It has ended. Ignored when the supervisor has given up on this life.
    pub fn exited(mut self, exit: ChildExit) {
        if let Some(tell) = self.tell.take() {
            tell(exit);
        }
    }
}

impl Drop for ChildReport {
    fn drop(&mut self) {
        let Some(tell) = self.tell.take() else { return };
        let (code, message) = if std::thread::panicking() {
            (Code::PANIC, "the child panicked")
        } else {
            (Code::ABANDONED, "the child let go of its report without saying how it ended")
        };
        tell(ChildExit::Failed(Error::new(code, message)));
    }
}

impl fmt::Debug for ChildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildReport").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    fn report() -> (ChildReport, Arc<Mutex<Vec<ChildExit>>>) {
        let heard: Arc<Mutex<Vec<ChildExit>>> = Arc::default();
        let ears = Arc::clone(&heard);
        (ChildReport::new(Generation(1), move |exit| ears.lock().push(exit)), heard)
    }

    fn code(heard: &Mutex<Vec<ChildExit>>) -> Code {
        match &heard.lock()[..] {
            [ChildExit::Failed(error)] => error.code(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_report_is_made_once_and_never_forgotten() {
        let (said, heard) = report();
        said.exited(ChildExit::Normal);
        assert_eq!(*heard.lock(), [ChildExit::Normal]);
        let (dropped, heard) = report();
        drop(dropped);
        assert_eq!(code(&heard), Code::ABANDONED);
        let (lost, heard) = report();
        let thread = std::thread::spawn(move || {
            let _lost = lost;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(thread.join().is_err());
        assert_eq!(code(&heard), Code::PANIC);
    }
}
