//! A kernel in virtual time, and a server that takes so many tasks at once and lets the others wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sutazai_core::base::runtime::{Manual, Runtime};
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task};

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Serves `capacity` tasks at once, each in `service`, in order of coming.
pub struct Server {
    pub card: AgentCard,
    pub runtime: Arc<Manual>,
    pub desk: Arc<Mutex<Desk>>,
}

pub struct Desk {
    pub capacity: usize,
    pub service: Duration,
    pub busy: usize,
    pub waiting: VecDeque<(Moment, Reply<Outcome>)>,
    /// What each took from its coming to its answer, in milliseconds.
    pub took: Vec<f64>,
}

impl Server {
    pub fn new(name: &str, runtime: &Arc<Manual>, capacity: usize, service: Duration) -> Self {
        let desk = Desk { capacity, service, busy: 0, waiting: VecDeque::new(), took: Vec::new() };
        Self {
            card: AgentCard::new(name, ["serve"]).run(RunMode::Inline),
            runtime: Arc::clone(runtime),
            desk: Arc::new(Mutex::new(desk)),
        }
    }
}

impl Agent for Server {
    fn card(&self) -> AgentCard {
        self.card.clone()
    }

    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        self.desk.lock().unwrap().waiting.push_back((self.runtime.now(), reply));
        serve(&self.desk, &self.runtime);
    }
}

fn serve(desk: &Arc<Mutex<Desk>>, runtime: &Arc<Manual>) {
    loop {
        let mut open = desk.lock().unwrap();
        if open.busy >= open.capacity {
            return;
        }
        let Some((came, reply)) = open.waiting.pop_front() else { return };
        open.busy += 1;
        let end = runtime.now() + open.service;
        let (desk, runtime) = (Arc::clone(desk), Arc::clone(runtime));
        drop(open);
        let timer = Arc::clone(&runtime);
        timer.spawn_at(
            end,
            Box::new(move || {
                {
                    let mut open = desk.lock().unwrap();
                    open.busy -= 1;
                    open.took.push(runtime.now().since(came).as_secs_f64() * 1e3);
                }
                let _ = reply.send(Outcome::new(1));
                serve(&desk, &runtime);
            }),
        );
    }
}

/// What was told under these subjects since the last time.
pub fn told(events: &mut Subscription) -> Vec<(String, serde_json::Value)> {
    std::iter::from_fn(|| events.try_next().unwrap())
        .map(|delivery| {
            let payload = serde_json::Value::clone(&delivery.event.payload.value().unwrap());
            (delivery.event.subject.to_string(), payload)
        })
        .collect()
}

pub fn kernel(runtime: &Arc<Manual>) -> (Kernel, Subscription) {
    let own: Arc<dyn Runtime> = Arc::clone(runtime) as _;
    let kernel = Kernel::builder().runtime(own).seed(1).build().unwrap();
    kernel.start().unwrap();
    let events = kernel.bus().subscribe("tune.>").pull().unwrap();
    (kernel, events)
}
