//! A knob of the kernel's own, with a guard-rail, under a load of calls: no trial leaves the safety envelope.

use std::sync::Arc;

use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::{CallsTo, TuneSpec, TunedKnob};
use sutazai_core::port::Task;
use sutazai_core::recovery::GuardPolicy;
use sutazai_core::tune::{
    Autonomy, Direction, GuardRail, GuardSide, KnobKind, KnobScale, KnobValue, TunerPolicy,
    TunerSample,
};

use super::world::{Server, kernel, ms, seconds};

const KNOB: &str = "guard/agent:server/bulkhead/concurrency";

#[test]
fn throughput_is_raised_and_no_trial_leaves_the_envelope() {
    let runtime = Arc::new(Manual::new());
    let (kernel, _events) = kernel(&runtime);
    // It serves 8 at once in 50 ms: with more they wait, 17 or more for longer than 100 ms.
    let server = Server::new("server", &runtime, 8, ms(50));
    let desk = Arc::clone(&server.desk);
    kernel.add_agent(server).unwrap();
    let guard: GuardPolicy =
        serde_json::from_value(serde_json::json!({"bulkhead": {"concurrency": 2, "queue": 64}}))
            .unwrap();
    kernel.guard(CallsTo::Agent("server".to_owned()), guard).unwrap();
    let kind = KnobKind::Integer { low: 1, high: 64, scale: KnobScale::Log };
    let mut knob = TunedKnob::new(KNOB).kind(kind);
    knob.max_step = 0.17;
    let mut policy = TunerPolicy::default();
    (policy.autonomy, policy.direction) = (Autonomy::Act, Direction::Maximise);
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (500, 2_000, 0);
    policy.guards =
        vec![GuardRail { metric: "p99_ms".to_owned(), side: GuardSide::AtMost, bound: 101.0 }];
    kernel.add_tuner("server", TuneSpec::new(vec![knob], policy)).unwrap();

    let mut calls = Vec::new();
    let (mut beyond, mut most) = (0_u64, 0_i64);
    for _ in 0..4 * 600 {
        while calls.len() < 40 {
            calls.push(kernel.call(Task::new("serve", 1).timeout(seconds(20))));
        }
        kernel.advance(ms(250)).unwrap();
        calls.retain(|call| !call.is_done());
        let mut took = std::mem::take(&mut desk.lock().unwrap().took);
        took.sort_by(f64::total_cmp);
        let objective = Some(took.len() as f64 / 0.25);
        let mut sample = TunerSample { objective, ..TunerSample::default() };
        let p99 = took.get((took.len() * 99 / 100).min(took.len().saturating_sub(1)));
        if let Some(p99) = p99 {
            sample.guards.insert("p99_ms".to_owned(), *p99);
            beyond += u64::from(*p99 > 101.0);
        }
        kernel.report("server", &sample).unwrap();
        let knob = kernel.knobs().into_iter().find(|knob| knob.name == KNOB).unwrap();
        let Some(KnobValue::Integer(value)) = knob.value else { panic!("{knob:?}") };
        most = most.max(value);
    }
    let view = kernel.tuner("server").unwrap().view;
    assert!(view.trials >= 10, "{}", view.trials);
    assert_eq!(
        view.broken,
        0,
        "{:?}",
        view.history.iter().filter(|t| t.broken.is_some()).collect::<Vec<_>>()
    );
    assert_eq!(beyond, 0, "{beyond} samples beyond the rail; at most {most} at once");
    assert!(most <= 16, "{most}");
    // From 40 a second to nearly the most that there is, 160.
    let KnobValue::Integer(concurrency) = view.incumbent[KNOB] else { panic!() };
    let rate = view.level.unwrap();
    assert!((7..=16).contains(&concurrency) && rate >= 130.0, "{concurrency}, {rate} a second");
}
