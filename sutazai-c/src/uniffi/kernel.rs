//! The kernel: make, start, invoke, stop.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::base::ticket;
use sutazai_core::kernel::Phase;
use sutazai_core::surface::Surface;
use sutazai_core::{Code, Error};

use super::agent::{self, Agent, AsyncAgent};
use super::auth::{self, AuthProvider};
use super::error::KernelError;
use super::event::{self, Listener, Subscription};
use super::monitor::{HostMonitor, Measures};
use super::ticket::{Ticket, text};
use super::worker::{self, MessageWorker, Worker};
use crate::agent::card_of;
use crate::config;
use crate::fork::Home;

/// One operations kernel. Several may live in a process; each has threads, agents and state of its
/// own. Stop it when it is done: one that is let go of while it runs stops in the background.
#[derive(uniffi::Object)]
pub struct Kernel {
    home: Home,
    surface: Surface,
    /// Who listens until it is unsubscribed or the kernel stops: a collector must not decide that.
    listening: Mutex<Vec<Arc<Subscription>>>,
}

#[uniffi::export]
impl Kernel {
    /// Makes a kernel; starts no thread. `config` is JSON as `sutazai_kernel_new` has it: `manifest`
    /// or `manifest_text`, `data_dir`, `seed`, `clock` (`"real"` or `"virtual"`), `log`, `limits`, `security`;
    /// each may be left out, and so may the whole text.
    #[uniffi::constructor(default(config = ""))]
    pub fn new(config: String) -> Result<Self, KernelError> {
        let kernel = config::build(&config)?;
        Ok(Self { home: Home::here(), surface: Surface::new(&kernel), listening: Mutex::default() })
    }

    /// Starts the kernel's threads, components and agents; is done when all are ready. Does nothing
    /// when it runs already. A kernel starts once.
    pub async fn start(&self) -> Result<(), KernelError> {
        let kernel = self.here()?.kernel().clone();
        self.aside("sutazai-start", move || kernel.start()).await
    }

    /// Stops the kernel: no new calls; those under way may finish within `grace_ms` milliseconds, the
    /// rest are answered `base.cancelled`; agents, components, subscriptions and threads end. Takes at
    /// most about twice as long. Does nothing when it is stopped already. Throws `base.would_deadlock` in a
    /// worker's `run` or `handle`: have another thread stop it, and return.
    #[uniffi::method(default(grace_ms = 2000))]
    pub async fn stop(&self, grace_ms: u64) -> Result<(), KernelError> {
        let kernel = self.here()?.kernel().clone();
        kernel.may_stop_here()?;
        let stop = move || kernel.stop(Duration::from_millis(grace_ms));
        let stopped = self.aside("sutazai-stop", stop).await;
        let listening = std::mem::take(&mut *self.listening.lock());
        listening.iter().for_each(|subscription| subscription.end());
        stopped
    }

    /// Moves the clock of a kernel with `"clock": "virtual"` on by `ms` milliseconds, running on this
    /// thread what falls due on the way, and says how many pieces of work ran.
    pub fn advance(&self, ms: u64) -> Result<u64, KernelError> {
        let ran = self.here()?.kernel().advance(Duration::from_millis(ms))?;
        Ok(u64::try_from(ran).unwrap_or(u64::MAX))
    }

    /// Calls any operation of the kernel by name: `operation` is `room.verb`, `request` its JSON, and
    /// so is the answer. The operation `kernel.operations` lists them, `kernel.schema` describes one.
    /// `agent.call` calls an agent.
    #[uniffi::method(default(request = ""))]
    pub async fn invoke(&self, operation: String, request: String) -> Result<String, KernelError> {
        let ticket = self.here()?.invoke_waiting(&operation, &request);
        Ok(text(&ticket.await?))
    }

    /// As `invoke`, blocking this thread. Throws `base.would_deadlock` under virtual time, unless the
    /// operation answers at once.
    #[uniffi::method(default(request = ""))]
    pub fn invoke_wait(&self, operation: String, request: String) -> Result<String, KernelError> {
        let mut ticket = self.here()?.invoke_waiting(&operation, &request);
        Ok(text(&ticket.wait()?))
    }

    /// As `invoke`, with a ticket for the answer: to cancel the operation, or to look for its answer
    /// under virtual time.
    #[uniffi::method(default(request = ""))]
    pub fn submit(&self, operation: String, request: String) -> Result<Ticket, KernelError> {
        Ok(Ticket::new(self.here()?.invoke(&operation, &request)))
    }

    /// Registers an agent; in a kernel that runs it starts right away. `card` is JSON: `name`,
    /// `skills` (an array), and optionally `version`, `description`, `run` (`"pool"` or `"inline"`),
    /// `concurrency`, `timeout_ms`, `labels`. With `replace` it may take over from another version of its
    /// name, which stands by then; the operation `agent.switch` puts that in charge again.
    #[uniffi::method(default(replace = false))]
    pub fn add_agent(
        &self,
        card: String,
        agent: Box<dyn Agent>,
        replace: bool,
    ) -> Result<(), KernelError> {
        let kernel = self.here()?.kernel();
        let runtime = Arc::downgrade(kernel.runtime());
        Ok(agent::register(kernel, agent::blocking(card_of(&card)?, agent, runtime), replace)?)
    }

    /// Adds a factor to logins, before the start or while the kernel runs, for the attempts that come from then on.
    /// `scheme` is its name: 1 to 64 letters, digits, dashes, dots and underscores. A login may begin with it, unless
    /// `logins` of the configuration's `security` has it among the `second` factors. It is let go of when the kernel
    /// has stopped. Throws `base.already_exists` where there is a provider of the scheme.
    pub fn add_auth_provider(
        &self,
        scheme: String,
        provider: Box<dyn AuthProvider>,
    ) -> Result<(), KernelError> {
        let provider = Arc::new(auth::Provider { scheme, provider });
        Ok(self.here()?.kernel().add_shared_auth_provider(provider)?)
    }

    /// Adds a monitor, before the start or while the kernel runs: what it measures is part of each sample from then on.
    /// `name` has 1 to 64 bytes without control characters. It is let go of when the operation `monitor.remove` takes it
    /// away, and when the kernel has stopped. Throws `base.already_exists` where there is a monitor of the name.
    pub fn add_monitor(
        &self,
        name: String,
        monitor: Box<dyn HostMonitor>,
    ) -> Result<(), KernelError> {
        let monitor = Arc::new(Measures { name, monitor });
        Ok(self.here()?.kernel().add_shared_monitor(monitor)?)
    }

    /// Registers a loop for children of trees of supervisors, which name it (`does`). The operation
    /// `recovery.tree_add` adds a tree.
    pub fn add_worker(&self, name: String, worker: Box<dyn Worker>) -> Result<(), KernelError> {
        Ok(self.here()?.kernel().workers().add(&name, Arc::new(worker::looped(worker)))?)
    }

    /// Registers what children of trees do with messages. `mailbox` is JSON: `capacity`, `overflow`,
    /// `kills`, `poison_capacity`; each may be left out, and so may the whole text. The operation
    /// `recovery.mailbox_push` gives a child a message.
    #[uniffi::method(default(mailbox = ""))]
    pub fn add_message_worker(
        &self,
        name: String,
        worker: Box<dyn MessageWorker>,
        mailbox: String,
    ) -> Result<(), KernelError> {
        let policy = worker::policy(&mailbox)?;
        let worker = Arc::new(worker::messages(worker));
        Ok(self.here()?.kernel().workers().add_messages(&name, policy, worker)?)
    }

    /// As `add_agent`, for one whose tasks wait without a thread.
    #[uniffi::method(default(replace = false))]
    pub fn add_async_agent(
        &self,
        card: String,
        agent: Box<dyn AsyncAgent>,
        replace: bool,
    ) -> Result<(), KernelError> {
        let kernel = self.here()?.kernel();
        let runtime = Arc::downgrade(kernel.runtime());
        Ok(agent::register(kernel, agent::asynchronous(card_of(&card)?, agent, runtime), replace)?)
    }

    /// Subscribes to the subjects that match `pattern` (`*` is one token, `>` the rest), from when the
    /// kernel runs and until it stops, or until what this answers is unsubscribed; it need not be
    /// kept. `options` is JSON: `queue_group`, `capacity` (1,024), `overflow` (`"drop_oldest"`,
    /// `"drop_newest"` or `"close"`); each may be left out.
    #[uniffi::method(default(options = ""))]
    pub fn subscribe(
        &self,
        pattern: String,
        listener: Box<dyn Listener>,
        options: String,
    ) -> Result<Arc<Subscription>, KernelError> {
        let kernel = self.here()?.kernel();
        let subscription = Arc::new(event::subscribe(kernel, &pattern, &options, listener)?);
        let mut listening = self.listening.lock();
        let ended: Vec<_> = listening.extract_if(.., |other| !other.is_open()).collect();
        listening.push(Arc::clone(&subscription));
        drop(listening);
        drop(ended);
        Ok(subscription)
    }
}

impl Kernel {
    /// The table, unless this is another process than the one that made the kernel.
    fn here(&self) -> sutazai_core::Result<&Surface> {
        self.home.check()?;
        Ok(&self.surface)
    }

    /// Does what blocks on a thread made for it; in virtual time, where nothing blocks, right here.
    async fn aside(
        &self,
        name: &str,
        f: impl FnOnce() -> sutazai_core::Result<()> + Send + 'static,
    ) -> Result<(), KernelError> {
        if self.here()?.kernel().runtime().virtual_time().is_some() {
            return Ok(f()?);
        }
        let (done, reply) = ticket::pair();
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread
            .spawn(move || drop(reply.answer(f())))
            .map_err(|e| Error::new(Code::IO, "no thread could be started").because(e))?;
        Ok(done.await?)
    }
}

impl Drop for Kernel {
    /// A collector's thread must not wait, so that one that runs is stopped on a thread made for it.
    fn drop(&mut self) {
        if !self.home.is_here() {
            // With this handle left, nothing waits for threads that this process does not have.
            std::mem::forget(self.surface.clone());
            return;
        }
        let kernel = self.surface.kernel().clone();
        if kernel.phase() != Phase::Running {
            return;
        }
        let listening = std::mem::take(self.listening.get_mut());
        let thread = std::thread::Builder::new().name("sutazai-stop".to_owned());
        // Without the thread the core stops it, when its last handle goes.
        let _ = thread.spawn(move || {
            let _ = kernel.stop(DROP_GRACE);
            drop(listening);
            // What stands in the queue of a virtual one runs to its end; undone it would hold the
            // kernel.
            let _ = kernel.advance(Duration::ZERO);
        });
    }
}

/// How long the calls of a kernel that nobody stopped may take to finish.
const DROP_GRACE: Duration = Duration::from_secs(2);
