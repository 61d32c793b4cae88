//! Knobs that hang: the others are tuned on, and the kernel stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sutazai_core::Result;
use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::{Kernel, ShareMember, ShareSpec, TuneSpec, TunedKnob};
use sutazai_core::observe::LogQuery;
use sutazai_core::tune::{
    Adjust, Autonomy, KnobKind, KnobScale, KnobValue, TunerPolicy, TunerSample,
};

use super::world::{kernel, seconds, told};

/// Whoever sets it to eight, or reads it, waits until it is let go, once it hangs so.
struct Hangs {
    name: &'static str,
    value: AtomicI64,
    sets: AtomicBool,
    reads: AtomicBool,
    entered: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Hangs {
    /// The knob, what says that somebody waits, and what lets it go.
    fn new(name: &'static str) -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let ((entered, inside), (let_go, go)) = (channel(), channel());
        let (sets, reads) = (AtomicBool::new(false), AtomicBool::new(false));
        let (entered, go) = (Mutex::new(entered), Mutex::new(go));
        let knob = Self { name, value: AtomicI64::new(8), sets, reads, entered, go };
        (Arc::new(knob), inside, let_go)
    }

    fn wait(&self) {
        let _ = self.entered.lock().send(());
        let _ = self.go.lock().recv();
    }
}

impl Adjust for Hangs {
    fn name(&self) -> &str {
        self.name
    }
    fn kind(&self) -> KnobKind {
        KnobKind::Integer { low: 1, high: 64, scale: KnobScale::Log }
    }
    fn value(&self) -> Result<KnobValue> {
        if self.reads.swap(false, Ordering::SeqCst) {
            self.wait();
        }
        Ok(KnobValue::Integer(self.value.load(Ordering::SeqCst)))
    }
    fn set(&self, value: &KnobValue) -> Result<()> {
        if *value == KnobValue::Integer(8) && self.sets.swap(false, Ordering::SeqCst) {
            self.wait();
        }
        if let KnobValue::Integer(value) = value {
            self.value.store(*value, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[test]
fn a_knob_that_hangs_does_not_hold_up_the_stop() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let (knob, inside, let_go) = Hangs::new("hangs");
    kernel.add_knob(knob.clone()).unwrap();
    let spec = TuneSpec::new(vec![TunedKnob::new("hangs")], TunerPolicy::default());
    kernel.add_tuner("a", spec).unwrap();
    knob.value.store(9, Ordering::SeqCst);
    knob.sets.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let set = scope.spawn(|| kernel.set_knob("hangs", &KnobValue::Integer(8)));
        inside.recv().unwrap();
        // It returns, though the knob is still being set.
        let stopped = kernel.stop(seconds(1));
        let_go.send(()).unwrap();
        stopped.unwrap();
        drop(set.join().unwrap());
    });
    assert!(kernel.tuners().is_empty());
}

#[test]
fn a_roll_back_that_hangs_does_not_hold_up_the_stop() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let (knob, inside, let_go) = Hangs::new("hangs");
    kernel.add_knob(knob.clone()).unwrap();
    let mut policy = TunerPolicy::default();
    policy.autonomy = Autonomy::Act;
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 2_000, 0);
    kernel.add_tuner("a", TuneSpec::new(vec![TunedKnob::new("hangs")], policy)).unwrap();
    let sample = TunerSample { objective: Some(5.0), ..TunerSample::default() };
    for _ in 0..100 {
        kernel.report("a", &sample).unwrap();
        if knob.value.load(Ordering::SeqCst) != 8 {
            break;
        }
        kernel.advance(seconds(1)).unwrap();
    }
    assert_ne!(knob.value.load(Ordering::SeqCst), 8, "a trial");
    knob.sets.store(true, Ordering::SeqCst);
    let (done, stopped) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| done.send(kernel.stop(seconds(1))));
        inside.recv().unwrap();
        let stopped = stopped.recv_timeout(Duration::from_secs(30));
        let_go.send(()).unwrap();
        stopped.unwrap().unwrap();
    });
    let logged = kernel.log().recent(&LogQuery::default());
    assert!(logged.iter().any(|one| one.message.contains("a trial is not rolled back")));
}

#[test]
fn one_knob_that_hangs_leaves_the_others_tuned() {
    let kernel = Kernel::builder().seed(1).build().unwrap();
    kernel.start().unwrap();
    let mut events = kernel.bus().subscribe("tune.>").pull().unwrap();
    let ((stuck, inside, let_go), (free, ..)) = (Hangs::new("stuck"), Hangs::new("free"));
    for (name, knob) in [("a", &stuck), ("b", &free)] {
        kernel.add_knob(knob.clone()).unwrap();
        let members = [ShareMember::knob(knob.name()), ShareMember::host()];
        let members = ["one", "other"].map(str::to_owned).into_iter().zip(members);
        let mut spec = ShareSpec::new(16, members);
        (spec.every_ms, spec.autonomy) = (100, Autonomy::Act);
        kernel.share_out(name, spec).unwrap();
    }
    stuck.reads.store(true, Ordering::SeqCst);
    inside.recv().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    told(&mut events);
    let (mut rounds, mut named) = (0, 0);
    while Instant::now() < end && (rounds < 3 || named == 0) {
        std::thread::sleep(Duration::from_millis(50));
        rounds += told(&mut events).iter().filter(|(_, event)| event["shares"] == "b").count();
        let logged = kernel.log().recent(&LogQuery::default());
        named = logged.iter().filter(|one| one.message.contains("is not tuned meanwhile")).count();
    }
    let_go.send(()).unwrap();
    assert!(rounds >= 3 && named == 1, "{rounds} rounds of the other, named {named} times");
    kernel.stop(seconds(5)).unwrap();
}
