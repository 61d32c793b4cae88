//! Building a kernel.

use std::path::PathBuf;
use std::sync::Arc;

use super::handle::Kernel;
use super::limits::Limits;
use super::record::LogConfig;
use crate::Result;
#[cfg(feature = "agent")]
use crate::agent::discover::{DiscoveryPolicy, SourceSpec};
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::kernel::inject::Container;
#[cfg(feature = "agent")]
use crate::port::{Agent, DiscoverySource};
use crate::port::{Authenticator, Component, Guard, Policy, Recorder, Router};
use crate::store::Migrations;

/// Builds a [`Kernel`]. Everything has a default; [`build`](Self::build) starts no thread.
#[must_use = "a builder does nothing until `build`"]
#[derive(Default)]
pub struct Builder {
    pub(super) runtime: Option<Arc<dyn Runtime>>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) limits: Limits,
    pub(super) log: LogConfig,
    pub(super) seed: Option<u64>,
    pub(super) authenticator: Option<Arc<dyn Authenticator>>,
    pub(super) policy: Option<Arc<dyn Policy>>,
    pub(super) router: Option<Arc<dyn Router>>,
    #[cfg(feature = "agent")]
    pub(super) route_policy: Option<crate::agent::route::RoutePolicy>,
    pub(super) guard: Option<Arc<dyn Guard>>,
    #[cfg(feature = "security")]
    pub(super) security: Option<crate::security::SecurityOptions>,
    #[cfg(feature = "security")]
    pub(super) auth_providers: Vec<Arc<dyn crate::port::AuthProvider>>,
    #[cfg(feature = "monitor")]
    pub(super) watch: Option<crate::monitor::WatchPolicy>,
    #[cfg(feature = "monitor")]
    pub(super) sample_every: Option<std::time::Duration>,
    #[cfg(feature = "monitor")]
    pub(super) monitors: Vec<Arc<dyn crate::port::Monitor>>,
    #[cfg(feature = "tune")]
    pub(super) tuning: super::tuning::Plan,
    pub(super) recorders: Vec<Arc<dyn Recorder>>,
    pub(super) components: Vec<Arc<dyn Component>>,
    pub(super) migrations: Vec<Migrations>,
    pub(super) container: Container,
    #[cfg(feature = "recovery")]
    pub(super) guards: Vec<(super::CallsTo, crate::recovery::GuardPolicy)>,
    #[cfg(feature = "recovery")]
    pub(super) trees: Vec<(String, crate::recovery::supervise::SupervisorSpec)>,
    #[cfg(feature = "recovery")]
    pub(super) classification: crate::recovery::ClassifyPolicy,
    /// What is wrong with what was said so far; told when it is built.
    #[cfg(feature = "config")]
    pub(super) mistakes: Vec<crate::Error>,
    #[cfg(feature = "recovery")]
    pub(super) heal: super::heal::Plan,
    #[cfg(feature = "recovery")]
    pub(super) rollback: super::rollback::Given,
    #[cfg(feature = "agent")]
    pub(super) agents: Vec<Arc<dyn Agent>>,
    #[cfg(feature = "agent")]
    pub(super) sources: Vec<super::discovery::Planned>,
    #[cfg(feature = "agent")]
    pub(super) creation: super::creation::Plan,
}

impl Builder {
    /// Keeps state in this directory, which one kernel at a time owns. Without it everything is in
    /// memory and gone with the kernel.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Runs on this runtime. Without it: [`Threads`](crate::base::runtime::Threads) of the kernel's own.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Sets the bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Says where the log goes.
    pub fn log(mut self, log: LogConfig) -> Self {
        self.log = log;
        self
    }

    /// Makes identifiers, and whatever else is drawn by chance, follow from this seed. Without it
    /// each kernel draws its own.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Registers an agent; it is started with the kernel.
    #[cfg(feature = "agent")]
    pub fn agent(self, agent: impl Agent) -> Self {
        self.shared_agent(Arc::new(agent))
    }

    /// As [`agent`](Self::agent), for one that is shared.
    #[cfg(feature = "agent")]
    pub fn shared_agent(mut self, agent: Arc<dyn Agent>) -> Self {
        self.agents.push(agent);
        self
    }

    /// Adds a source of agents, as [`Kernel::add_shared_source`] does.
    #[cfg(feature = "agent")]
    pub fn source(mut self, source: Arc<dyn DiscoverySource>, policy: DiscoveryPolicy) -> Self {
        self.sources.push(super::discovery::Planned::Source(source, policy));
        self
    }

    /// Adds one of the sources of agents that are built in, as [`Kernel::add_source_of`] does.
    #[cfg(feature = "agent")]
    pub fn source_of(
        mut self,
        name: impl Into<String>,
        spec: SourceSpec,
        policy: DiscoveryPolicy,
    ) -> Self {
        let planned = super::discovery::Planned::Spec(name.into(), Box::new(spec), policy);
        self.sources.push(planned);
        self
    }

    /// Adds a template, as [`Kernel::add_template`] does.
    #[cfg(feature = "agent")]
    pub fn template(mut self, template: crate::agent::create::Template) -> Self {
        self.creation.templates.push(template);
        self
    }

    /// Adds a pool, as [`Kernel::add_pool`] does when the kernel has started. One that cannot be is logged then.
    #[cfg(feature = "agent")]
    pub fn pool(
        mut self,
        name: impl Into<String>,
        template: impl Into<String>,
        parameters: serde_json::Map<String, serde_json::Value>,
        policy: crate::agent::create::PoolPolicy,
    ) -> Self {
        self.creation.pools.push((name.into(), template.into(), parameters, policy));
        self
    }

    /// Adds a component: something that the kernel starts and stops, in order of their needs.
    pub fn component(mut self, component: impl Component) -> Self {
        self.components.push(Arc::new(component));
        self
    }

    /// As [`component`](Self::component), for one that is shared.
    pub fn shared_component(mut self, component: Arc<dyn Component>) -> Self {
        self.components.push(component);
        self
    }

    /// How the room `security` is set up; it is opened when the kernel starts. Without it: as
    /// [`SecurityOptions`](crate::security::SecurityOptions) says, so that everybody may call, what is done is on the
    /// audit record, and tokens are known that were issued here. [`SecuritySpec`](crate::security::SecuritySpec) makes
    /// options of what is written down.
    #[cfg(feature = "security")]
    pub fn security(mut self, options: crate::security::SecurityOptions) -> Self {
        self.security = Some(options);
        self
    }

    /// Adds a factor that the host has written, as [`Kernel::add_auth_provider`] does.
    #[cfg(feature = "security")]
    pub fn auth_provider(mut self, provider: impl crate::port::AuthProvider) -> Self {
        self.auth_providers.push(Arc::new(provider));
        self
    }

    /// How long measurements are kept, and where anomalies are looked for.
    #[cfg(feature = "monitor")]
    pub fn watch(mut self, policy: crate::monitor::WatchPolicy) -> Self {
        self.watch = Some(policy);
        self
    }

    /// Takes a sample of what the machine, this process and the kernel use every so often while it runs, 10 milliseconds to 24
    /// hours; a second is usual. Without it: only when asked
    /// ([`Kernel::sample`], [`Kernel::sample_every`]).
    #[cfg(feature = "monitor")]
    pub fn sample_every(mut self, every: std::time::Duration) -> Self {
        self.sample_every = Some(every);
        self
    }

    /// Adds something that takes measurements; they are part of each sample.
    #[cfg(feature = "monitor")]
    pub fn monitor(mut self, monitor: impl crate::port::Monitor) -> Self {
        self.monitors.push(Arc::new(monitor));
        self
    }

    /// Replaces the authenticate step. Default: tokens that were issued here are known, and a call without one
    /// is [`Local`](super::Local); without feature `security` only that.
    pub fn authenticator(mut self, step: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(step));
        self
    }

    /// Replaces the authorise step. Default: policies, where [`security`](Self::security) says that they decide;
    /// else [`AllowAll`](super::AllowAll).
    pub fn policy(mut self, step: impl Policy) -> Self {
        self.policy = Some(Arc::new(step));
        self
    }

    /// How agents are chosen, where the host does not replace the router. By
    /// [default](crate::agent::route::RoutePolicy) it learns who is best for what: from the scores that the host
    /// reports, and where it reports none, from who fails and how long calls take. Whoever wants load alone to
    /// decide takes [`Strategy::LeastLoaded`](crate::agent::route::Strategy::LeastLoaded).
    #[cfg(feature = "agent")]
    pub fn route_policy(mut self, policy: crate::agent::route::RoutePolicy) -> Self {
        self.route_policy = Some(policy);
        self
    }

    /// Replaces the route step. Default: an [`AdaptiveRouter`](crate::agent::route::AdaptiveRouter) that
    /// goes as [`route_policy`](Self::route_policy) says, with feature `agent`.
    pub fn router(mut self, step: impl Router) -> Self {
        self.router = Some(Arc::new(step));
        self
    }

    /// Replaces the guard step. Default: [`DeadlineOnly`](super::DeadlineOnly) with [`Limits::timeout`].
    pub fn guard(mut self, step: impl Guard) -> Self {
        self.guard = Some(Arc::new(step));
        self
    }

    /// Puts a guard around calls, as [`Kernel::guard`] does.
    #[cfg(feature = "recovery")]
    pub fn guard_calls(
        mut self,
        calls: super::CallsTo,
        policy: crate::recovery::GuardPolicy,
    ) -> Self {
        self.guards.push((calls, policy));
        self
    }

    /// Adds a tree of supervisors, as [`Kernel::supervise`] does. What its children do can be registered
    /// until the kernel starts.
    #[cfg(feature = "recovery")]
    pub fn supervise(
        mut self,
        name: impl Into<String>,
        spec: crate::recovery::supervise::SupervisorSpec,
    ) -> Self {
        self.trees.push((name.into(), spec));
        self
    }

    /// Says what the failures of guarded calls are, as [`Kernel::classification`] does. Without it: the
    /// built-in rules, and what came back 12 times over 2 minutes is persistent.
    #[cfg(feature = "recovery")]
    pub fn classification(mut self, policy: crate::recovery::ClassifyPolicy) -> Self {
        self.classification = policy;
        self
    }

    /// Adds to the record step; the kernel's own books are kept in any case.
    pub fn recorder(mut self, recorder: impl Recorder) -> Self {
        self.recorders.push(Arc::new(recorder));
        self
    }

    /// Contributes tables to the store.
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations.push(migrations);
        self
    }

    /// Fills the dependency injection container. Called here, once.
    pub fn inject(mut self, fill: impl FnOnce(&mut Container)) -> Self {
        fill(&mut self.container);
        self
    }

    /// Builds the kernel: opens the data directory and the store, checks the injection graph and
    /// the components. Starts no thread.
    ///
    /// # Errors
    /// What is wrong with its manifest's sections and with its providers, what the store says of the data directory
    /// (`store.*`), what its policies are wrong in, what the container says of its graph
    /// (`kernel.inject_*`), what the components say of theirs (`kernel.component_*`), and what the
    /// registry says of the agents' cards.
    #[cfg_attr(not(feature = "config"), allow(unused_mut, reason = "a manifest has mistakes"))]
    pub fn build(mut self) -> Result<Kernel> {
        #[cfg(feature = "config")]
        if let Some(error) = crate::Error::join(std::mem::take(&mut self.mistakes)) {
            return Err(error);
        }
        Kernel::build(self)
    }
}

/// A seed that differs from kernel to kernel and from process to process. Identifiers are not
/// secrets; the standard library's hasher keys are random enough.
pub(super) fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u64(Moment::now().as_nanos());
    hasher.finish()
}
