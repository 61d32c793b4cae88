//! Cedar's corpus as it is, and its policies thrown together.

use std::sync::atomic::{AtomicUsize, Ordering};

use sutazai_core::security::authz::{
    Context, EngineOptions, Entities, EntityUid, PolicyEngine, PolicySet, Request, Schema,
};

use super::archive::{Case, cases, long};
use super::peer::{Peer, Said};

fn engine(set: &PolicySet, entities: &Entities, index: bool) -> PolicyEngine {
    let mut options = EngineOptions::default();
    options.index = index;
    options.cache = if index { 64 } else { 0 };
    PolicyEngine::with_options(set.clone(), entities.clone(), options)
}

/// Runs `work` for every one of so many, on as many threads as there are processors.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            // Policies of the corpus nest deeply, and builds without optimisation have large frames.
            std::thread::Builder::new()
                .stack_size(16 << 20)
                .spawn_scoped(scope, || {
                    while let Some(at) =
                        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < count)
                    {
                        work(at);
                    }
                })
                .unwrap();
        }
    });
}

#[test]
fn every_case_of_the_corpus_is_decided_as_it_says() {
    let Some(cases) = cases() else { return };
    let (ran, requests) = (AtomicUsize::new(0), AtomicUsize::new(0));
    in_parallel(cases.len(), |at| {
        let case = &cases[at];
        let schema = case.schema();
        let set = PolicySet::from_cedar(&case.name, &case.policies).unwrap();
        // The corpus promises that a set is valid, never that it is not. Validation takes most of the time.
        if case.expected.should_validate && (long() || at % 16 == 0) {
            let checked = PolicySet::builder().cedar(&case.name, &case.policies);
            assert!(checked.schema(schema.clone()).build().is_ok(), "{}", case.name);
        }
        let entities = case.entities(&schema);
        let [with, without] = [true, false].map(|index| engine(&set, &entities, index));
        for (number, asked) in case.expected.requests.iter().enumerate() {
            let Some(request) = asked.request(&schema) else {
                // A request that does not fit is never decided, and the corpus says so.
                assert!(asked.decision == "deny" && asked.reason.is_empty(), "{}", case.name);
                continue;
            };
            let said = Said::of(&with.decide(&request));
            assert_eq!(said, Said::of(&without.decide(&request)), "{} {number}", case.name);
            assert_eq!(said, Said::of(&with.decide(&request)), "{} {number} again", case.name);
            assert_eq!(said.allowed, asked.decision == "allow", "{} {number}", case.name);
            assert_eq!(
                said.reasons,
                asked.reason.iter().cloned().collect(),
                "{} {number}",
                case.name
            );
            assert_eq!(
                said.failed(),
                asked.errors.iter().cloned().collect(),
                "{} {number}",
                case.name
            );
            requests.fetch_add(1, Ordering::Relaxed);
        }
        ran.fetch_add(1, Ordering::Relaxed);
    });
    let (ran, requests) = (ran.into_inner(), requests.into_inner());
    println!(
        "{ran} cases of the corpus with {requests} requests, index on, off, and from the cache"
    );
    assert_eq!(ran, cases.len());
}

/// The corpus's policies in one set, as ours and as Cedar's.
struct Merged {
    ours: PolicySet,
    policies: cedar_policy::PolicySet,
}

fn merge(cases: &[Case], mut seed: u64, wanted: usize) -> Merged {
    let mut builder = PolicySet::builder();
    let mut policies = cedar_policy::PolicySet::new();
    let mut count = 0;
    while count < wanted {
        let case = &cases[random(&mut seed) as usize % cases.len()];
        let set: cedar_policy::PolicySet = case.policies.parse().unwrap();
        for policy in set.policies() {
            let place: usize = policy.id().to_string()["policy".len()..].parse().unwrap();
            let id = cedar_policy::PolicyId::new(format!("policy{}", count + place));
            policies.add(policy.new_id(id)).unwrap();
        }
        count += set.num_of_policies() + set.num_of_templates();
        builder = builder.cedar(&case.name, &case.policies);
    }
    Merged { ours: builder.build().unwrap(), policies }
}

/// Splitmix64.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn merged_policies_are_decided_as_by_cedar() {
    let Some(cases) = cases() else { return };
    let seed: u64 = std::env::var("SUTAZAI_SEED").map_or(20_261_126, |seed| seed.parse().unwrap());
    let sizes: &[usize] = if long() {
        &[1, 10, 100, 1_000, 10_000, 10_000, 10_000, 10_000]
    } else {
        &[10, 100, 1_000, 10_000]
    };
    let (compared, allowed, failing) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    for (round, wanted) in sizes.iter().enumerate() {
        let seed = seed + round as u64;
        println!("{wanted} policies, seed {seed}");
        let merged = merge(&cases, seed, *wanted);
        let probes = (if long() { 4_000_000 } else { 80_000 } / wanted)
            .clamp(8, if long() { 400 } else { 200 });
        in_parallel(probes, |probe| {
            let mut state = seed ^ ((probe as u64) << 32);
            let case = &cases[random(&mut state) as usize % cases.len()];
            let schema = case.schema();
            let entities = case.entities(&schema);
            let peer = Peer {
                policies: merged.policies.clone(),
                entities: cedar_policy::Entities::from_json_str(
                    &case.entities,
                    Some(&case.schema.parse().unwrap()),
                )
                .unwrap(),
            };
            let [with, without] = [true, false].map(|index| engine(&merged.ours, &entities, index));
            let request = mixed_request(case, &schema, &entities, &mut state);
            let cedar = cedar_request(&request);
            let said = Said::of(&with.decide(&request));
            assert_eq!(said, peer.ask(&cedar), "{} {request} seed {seed}", case.name);
            assert_eq!(
                said,
                Said::of(&without.decide(&request)),
                "{} {request} seed {seed}",
                case.name
            );
            compared.fetch_add(1, Ordering::Relaxed);
            allowed.fetch_add(usize::from(said.allowed), Ordering::Relaxed);
            failing.fetch_add(usize::from(!said.errors.is_empty()), Ordering::Relaxed);
        });
    }
    let (compared, allowed, failing) =
        (compared.into_inner(), allowed.into_inner(), failing.into_inner());
    println!(
        "{compared} requests compared, {allowed} allowed, {failing} with policies that failed"
    );
    assert!(allowed > 0 && failing > 0, "the comparison sees too little");
}

/// A request of the case, or one made of its parts and entities.
fn mixed_request(case: &Case, schema: &Schema, entities: &Entities, state: &mut u64) -> Request {
    let asked = &case.expected.requests[random(state) as usize % case.expected.requests.len()];
    let nobody = || EntityUid::new("Nobody", "at all").unwrap();
    let request =
        asked.request(schema).unwrap_or_else(|| Request::new(nobody(), nobody(), nobody()));
    if random(state).is_multiple_of(2) {
        return request;
    }
    let mut uids: Vec<EntityUid> = entities.uids().collect();
    uids.sort();
    uids.extend([request.principal().clone(), request.action().clone(), nobody()]);
    let mut one = || uids[random(state) as usize % uids.len()].clone();
    let context =
        if uids.len().is_multiple_of(2) { request.context().clone() } else { Context::empty() };
    Request::new(one(), request.action().clone(), one()).with_context(context)
}

/// The same request for Cedar. A context comes over as JSON, which both read.
pub fn cedar_request(request: &Request) -> cedar_policy::Request {
    let uid = |uid: &EntityUid| uid.to_string().parse::<cedar_policy::EntityUid>().unwrap();
    let context = request.context().to_json().unwrap();
    cedar_policy::Request::new(
        uid(request.principal()),
        uid(request.action()),
        uid(request.resource()),
        cedar_policy::Context::from_json_value(context, None).unwrap(),
        None,
    )
    .unwrap()
}
