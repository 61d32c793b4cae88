//! Policies, entities and requests made up at random, over names so few that they meet.

use std::fmt::Write as _;

use proptest::prelude::*;
use sutazai_core::security::authz::{
    Context, EngineOptions, Entities, EntityUid, PolicyEngine, PolicySet, Request,
};

use super::corpus::cedar_request;
use super::peer::{Peer, Said};

const TYPES: [&str; 3] = ["User", "Group", "Org::Unit"];

fn uid() -> impl Strategy<Value = String> {
    (prop::sample::select(&TYPES[..]), 0..4_u8).prop_map(|(ty, id)| format!("{ty}::\"{id}\""))
}

fn action() -> impl Strategy<Value = String> {
    (0..4_u8).prop_map(|id| format!("Action::\"{id}\""))
}

/// What a scope asks of its principal or resource.
fn side(name: &'static str) -> impl Strategy<Value = String> {
    let ty = || prop::sample::select(&TYPES[..]);
    prop_oneof![
        2 => Just(name.to_owned()),
        3 => uid().prop_map(move |uid| format!("{name} == {uid}")),
        3 => uid().prop_map(move |uid| format!("{name} in {uid}")),
        1 => ty().prop_map(move |ty| format!("{name} is {ty}")),
        2 => (ty(), uid()).prop_map(move |(ty, uid)| format!("{name} is {ty} in {uid}")),
    ]
}

fn act() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("action".to_owned()),
        action().prop_map(|uid| format!("action == {uid}")),
        action().prop_map(|uid| format!("action in {uid}")),
        prop::collection::vec(action(), 0..4)
            .prop_map(|uids| format!("action in [{}]", uids.join(", "))),
    ]
}

fn condition() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "",
            "",
            "when { true }",
            "when { context.n > 1 }",
            "unless { context.n > 1 }",
            "when { principal.n == resource.n }",
            "when { principal has n && principal.n < 3 } unless { resource has n && resource.n == 2 }",
            "when { context.n }",
            "when { context.n + 9223372036854775807 > 0 }",
            "when { principal in resource }",
            "when { principal in [Group::\"1\", Group::\"2\"] } when { context.missing }",
            "unless { action in Action::\"1\" }",
            "when { ip(context.address).isLoopback() }",
        ][..],
    )
}

fn policy() -> impl Strategy<Value = String> {
    (any::<bool>(), side("principal"), act(), side("resource"), condition()).prop_map(
        |(permit, principal, action, resource, condition)| {
            let effect = if permit { "permit" } else { "forbid" };
            format!("{effect} ({principal}, {action}, {resource}) {condition};\n")
        },
    )
}

/// Who is in whom, always in one of a higher number: no circles.
type Parents = Vec<(usize, usize)>;

fn entities(parents: &Parents, present: u16, attributes: u16) -> String {
    let uid = |at: usize| {
        if at < 12 {
            format!(r#"{{"type": "{}", "id": "{}"}}"#, TYPES[at / 4], at % 4)
        } else {
            format!(r#"{{"type": "Action", "id": "{}"}}"#, at - 12)
        }
    };
    let mut json = String::from("[");
    for at in (0..16).filter(|at| present & (1 << at) != 0) {
        let all: Vec<String> = parents
            .iter()
            .map(|(one, two)| (one.min(two), one.max(two)))
            // Actions are in actions only.
            .filter(|(child, parent)| {
                **child == at && child != parent && (**child < 12) == (**parent < 12)
            })
            .map(|(_, parent)| uid(*parent))
            .collect();
        let attributes = if at < 12 && attributes & (1 << at) != 0 {
            format!(r#""n": {}"#, at % 5)
        } else {
            String::new()
        };
        let comma = if json.len() > 1 { "," } else { "" };
        let parents = all.join(",");
        let uid = uid(at);
        write!(
            json,
            r#"{comma}{{"uid": {uid}, "attrs": {{{attributes}}}, "parents": [{parents}]}}"#
        )
        .unwrap();
    }
    json.push(']');
    json
}

fn request() -> impl Strategy<Value = (String, String, String, u8)> {
    (uid(), action(), uid(), 0..4_u8)
}

fn made((principal, action, resource, context): &(String, String, String, u8)) -> Request {
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let context = match context {
        0 => serde_json::json!({}),
        1 => serde_json::json!({"n": 0, "address": "127.0.0.1"}),
        2 => serde_json::json!({"n": 2, "address": "nowhere"}),
        _ => serde_json::json!({"n": 2, "missing": true}),
    };
    Request::new(uid(principal), uid(action), uid(resource))
        .with_context(Context::from_json(context).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if super::archive::long() { 20_000 } else { 128 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn decisions_are_cedars(
        policies in prop::collection::vec(policy(), 0..40),
        links in prop::collection::vec((uid(), uid()), 0..4),
        parents in prop::collection::vec((0..16_usize, 0..16_usize), 0..24),
        present in any::<u16>(),
        attributes in any::<u16>(),
        requests in prop::collection::vec(request(), 1..12),
        changed in prop::collection::vec((0..16_usize, 0..16_usize), 0..24),
        removed in prop::collection::vec(uid(), 0..3),
    ) {
        let template = "@id(\"t\") permit (principal in ?principal, action, resource is Group in ?resource);\n";
        let text = policies.concat();
        let mut builder = PolicySet::builder().cedar("random", &text).cedar("template", template);
        let mut theirs: cedar_policy::PolicySet = text.parse().unwrap();
        let id = |id: &str| cedar_policy::PolicyId::new(id);
        theirs.add_template(cedar_policy::Template::parse(Some(id("t")), template).unwrap()).unwrap();
        for (at, (principal, resource)) in links.iter().enumerate() {
            let name = format!("link{at}");
            builder = builder.link("t", &name,
                Some(&principal.parse().unwrap()), Some(&resource.parse().unwrap()));
            theirs.link(id("t"), id(&name), std::collections::HashMap::from([
                (cedar_policy::SlotId::principal(), principal.parse().unwrap()),
                (cedar_policy::SlotId::resource(), resource.parse().unwrap()),
            ])).unwrap();
        }
        let set = builder.build().unwrap();
        let json = entities(&parents, present, attributes);
        let ours = Entities::from_json(&json, None).unwrap();
        let engine = PolicyEngine::new(set.clone(), ours.clone());
        let mut options = EngineOptions::default();
        options.index = false;
        let plain = PolicyEngine::with_options(set, ours, options);
        let mut peer = Peer {
            policies: theirs,
            entities: cedar_policy::Entities::from_json_str(&json, None).unwrap(),
        };
        for turn in 0..3 {
            for request in &requests {
                let request = made(request);
                let said = Said::of(&engine.decide(&request));
                prop_assert_eq!(&said, &peer.ask(&cedar_request(&request)), "{} turn {}", request, turn);
                prop_assert_eq!(&said, &Said::of(&plain.decide(&request)));
                prop_assert_eq!(&said, &Said::of(&engine.decide(&request)));
            }
            // The entities change under the engine; for Cedar they are read anew.
            let uids: Vec<EntityUid> = removed.iter().map(|uid| uid.parse().unwrap()).collect();
            let more = entities(&changed, !present | 0x0f0f, !attributes);
            for engine in [&engine, &plain] {
                if turn == 0 {
                    prop_assume!(engine.upsert_entities(&more).is_ok());
                } else {
                    engine.remove_entities(&uids).unwrap();
                }
            }
            let now = engine.entities();
            peer.entities = cedar_policy::Entities::from_json_str(&now.to_json().unwrap(), None).unwrap();
        }
    }
}
