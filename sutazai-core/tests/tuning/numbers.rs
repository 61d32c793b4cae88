//! No late answer is taken for one to something else: numbers of trials and proposals go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sutazai_core::Code;
use sutazai_core::base::runtime::{Manual, Runtime};
use sutazai_core::kernel::{Kernel, ShareMember, ShareSpec, TuneSpec, TunedKnob};
use sutazai_core::tune::{
    Autonomy, KnobKind, KnobScale, KnobValue, TunerPhase, TunerPolicy, TunerSample,
};

use super::world::{kernel, ms, seconds};

fn add(kernel: &Kernel) {
    let kind = KnobKind::Integer { low: 1, high: 64, scale: KnobScale::Log };
    let value = Some(KnobValue::Integer(8));
    let knob = TunedKnob { value, ..TunedKnob::new("batch").kind(kind) };
    let mut policy = TunerPolicy::default();
    policy.autonomy = Autonomy::Approve;
    (policy.warm_up_ms, policy.window_ms, policy.cool_down_ms) = (0, 1_000, 0);
    kernel.add_tuner("ingest", TuneSpec::new(vec![knob], policy)).unwrap();
}

/// The number of the trial that is asked for next.
fn asked(kernel: &Kernel) -> u64 {
    for _ in 0..1_000 {
        let sample = TunerSample { objective: Some(5.0), ..TunerSample::default() };
        kernel.report("ingest", &sample).unwrap();
        if let Some(waiting) = kernel.tuner("ingest").unwrap().waiting {
            return waiting.trial;
        }
        kernel.advance(ms(500)).unwrap();
    }
    unreachable!("nothing is asked");
}

fn refused(kernel: &Kernel, trial: u64) {
    let error = kernel.answer_tuner("ingest", trial, true, "ann").unwrap_err();
    assert_eq!(error.code(), Code::INVALID, "{error}");
    assert_eq!(kernel.tuner("ingest").unwrap().view.phase, TunerPhase::Waiting);
}

#[test]
fn a_tuner_of_the_same_name_goes_on_with_the_next_number() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    add(&kernel);
    let first = asked(&kernel);
    assert_eq!(first, 1);
    kernel.answer_tuner("ingest", first, false, "ann").unwrap();
    let second = asked(&kernel);
    assert_eq!(second, 2);
    kernel.remove_tuner("ingest").unwrap();
    add(&kernel);
    let third = asked(&kernel);
    assert_eq!(third, 3);
    refused(&kernel, second);
    refused(&kernel, first);
    let status = kernel.tuner("ingest").unwrap();
    assert_eq!((status.view.trials, status.waiting.unwrap().trial), (1, 3), "one of its own");
    kernel.answer_tuner("ingest", third, true, "ann").unwrap();
}

fn process(dir: &Path) -> Kernel {
    let runtime: Arc<dyn Runtime> = Arc::new(Manual::new());
    let kernel = Kernel::builder().runtime(runtime).data_dir(dir).seed(1).build().unwrap();
    kernel.start().unwrap();
    kernel
}

#[test]
fn the_next_process_goes_on_with_the_next_number() {
    let dir = tempfile::tempdir().unwrap();
    let proposal = |kernel: &Kernel| {
        let members = ["a", "b"].map(|name| (name.to_owned(), ShareMember::host()));
        let mut spec = ShareSpec::new(10, members);
        (spec.autonomy, spec.every_ms) = (Autonomy::Approve, 1_000);
        kernel.share_out("tokens", spec).unwrap();
        for _ in 0..10 {
            kernel.report_benefits("tokens", &BTreeMap::from([("a".to_owned(), 1.0)])).unwrap();
            kernel.advance(seconds(1)).unwrap();
            if let Some(waiting) = kernel.shared_out()[0].waiting.clone() {
                return waiting.proposal;
            }
        }
        unreachable!("nothing is asked");
    };
    let (mut trial, mut share) = (0, 0);
    for _ in 0..3 {
        let kernel = process(dir.path());
        add(&kernel);
        let next = asked(&kernel);
        assert_eq!(next, trial + 1, "after a stop no number is left out");
        if trial > 0 {
            refused(&kernel, trial);
        }
        trial = next;
        let next = proposal(&kernel);
        assert_eq!(next, share + 1);
        share = next;
        kernel.stop(seconds(1)).unwrap();
    }
}
