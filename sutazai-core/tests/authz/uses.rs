//! Explanations, reverse queries, roles, shadows.

use proptest::prelude::*;
use sutazai_core::Code;
use sutazai_core::security::authz::{
    Context, Entities, EntityUid, PolicyEngine, PolicyPart, PolicySet, Request, Reverse, Roles,
    Schema,
};

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

fn request(principal: &str, action: &str, resource: &str) -> Request {
    let of = |ty: &str, id: &str| EntityUid::new(ty, id).unwrap();
    Request::new(of("User", principal), of("Action", action), of("Page", resource))
}

fn json(value: serde_json::Value) -> Context {
    Context::from_json(value).unwrap()
}

const POLICIES: &str = r#"
@id("readers read")   permit (principal in Group::"readers", action == Action::"read", resource);
@id("grown ups edit") permit (principal, action == Action::"edit", resource)
                      when { context.age >= 18 } unless { context.tired };
@id("law is law")     forbid (principal, action == Action::"edit", resource == Page::"law");
@id("at night")       forbid (principal, action, resource) when { context has hour && context.hour > 22 };
"#;

fn engine() -> PolicyEngine {
    let entities = r#"[
        {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": [{"type": "Group", "id": "readers"}]},
        {"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Page", "id": "law"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Page", "id": "home"}, "attrs": {}, "parents": []}]"#;
    PolicyEngine::new(
        PolicySet::from_cedar("p", POLICIES).unwrap(),
        Entities::from_json(entities, None).unwrap(),
    )
}

#[test]
fn a_refusal_names_what_would_have_permitted_it() {
    let engine = engine();
    let told = engine.explain(&request("bob", "read", "home"));
    assert_eq!(told.near[0].policy, "readers read");
    assert_eq!(told.near[0].missed[0].part, PolicyPart::Principal);
    assert_eq!(told.near[0].missed[0].text, r#"principal in Group::"readers""#);

    let tired = request("bob", "edit", "home")
        .with_context(json(serde_json::json!({"age": 3, "tired": true})));
    let told = engine.explain(&tired);
    let parts: Vec<_> =
        told.near[0].missed.iter().map(|miss| (miss.part, miss.text.as_str())).collect();
    assert_eq!(
        parts,
        [
            (PolicyPart::When, "when { context.age >= 18 }"),
            (PolicyPart::Unless, "unless { context.tired }")
        ]
    );
    let failing = engine.explain(&request("bob", "edit", "home"));
    assert_eq!(failing.answer.errors.len(), 1);
    assert!(failing.near[0].missed[0].error.as_ref().unwrap().contains("age"), "{failing}");
}

#[test]
fn a_forbid_is_told_from_a_permit_that_is_missing() {
    let engine = engine();
    let awake = json(serde_json::json!({"age": 40, "tired": false}));
    let told = engine.explain(&request("bob", "edit", "law").with_context(awake.clone()));
    assert_eq!(
        (told.answer.reasons, told.permitted_by),
        (vec!["law is law".into()], vec!["grown ups edit".into()])
    );
    // Allowed: the forbids that were near.
    let told = engine.explain(&request("bob", "edit", "home").with_context(awake));
    assert!(told.answer.allowed);
    let near: Vec<_> = told.near.iter().map(|near| near.policy.as_str()).collect();
    assert_eq!(near, ["at night", "law is law"]);
    assert_eq!(told.near[1].missed[0].part, PolicyPart::Resource);
}

#[test]
fn an_explanation_is_bounded() {
    let text: String = (0..2_000)
        .map(|at| format!("permit (principal == User::\"u{at}\", action, resource);\n"))
        .collect();
    let engine = PolicyEngine::new(PolicySet::from_cedar("p", &text).unwrap(), Entities::empty());
    let told = engine.explain(&request("nobody", "read", "home"));
    assert_eq!((told.near.len(), told.more), (8, 1_992));
}

#[test]
fn a_shadow_counts_differences_and_changes_nothing() {
    let engine = engine();
    let candidate = POLICIES
        .replace("Group::\"readers\"", "Group::\"writers\"")
        .replace("law is law", "dura lex");
    engine.set_shadow(Some(PolicySet::from_cedar("candidate", &candidate).unwrap()));
    let awake = json(serde_json::json!({"age": 40, "tired": false}));
    for _ in 0..3 {
        assert!(engine.decide(&request("alice", "read", "home")).is_allowed());
    }
    assert!(
        !engine.decide(&request("bob", "edit", "law").with_context(awake.clone())).is_allowed()
    );
    assert!(engine.decide(&request("bob", "edit", "home").with_context(awake)).is_allowed());
    let report = engine.shadow_report().unwrap();
    // What the cache answers is not compared again.
    assert_eq!((report.compared, report.would_deny, report.other_reasons), (3, 1, 1), "{report:?}");
    assert_eq!(report.examples[0].live.reasons, ["readers read"]);
    // The candidate sees entities change as the live set does.
    let alice = r#"[{"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": [{"type": "Group", "id": "writers"}]}]"#;
    engine.upsert_entities(alice).unwrap();
    assert!(!engine.decide(&request("alice", "read", "home")).is_allowed());
    assert_eq!(engine.shadow_report().unwrap().would_allow, 1);
    for page in 0..100 {
        engine.decide(&request("alice", "read", &page.to_string()));
    }
    let report = engine.shadow_report().unwrap();
    assert_eq!((report.would_allow, report.examples.len()), (101, 32));
    engine.set_shadow(None);
    assert!(engine.shadow_report().is_none());
}

const ROLES: &str = r#"{"roles": [
    {"name": "reader", "permits": [{"actions": ["Action::\"read\""], "on": {"type": "Page"}}]},
    {"name": "editor", "permits": [{"actions": ["Action::\"edit\"", "Action::\"move\""]}], "inherits": ["reader"]},
    {"name": "clerk \"of\" law", "permits": [{"actions": ["Action::\"edit\""], "on": {"only": "Page::\"law\""}}]},
    {"name": "owner", "permits": [], "inherits": ["editor", "clerk \"of\" law"]}],
  "assignments": [
    {"principal": "User::\"alice\"", "role": "owner"},
    {"principal": "User::\"bob\"", "role": "owner", "on": "Space::\"wiki\""},
    {"principal": "Group::\"g\"", "role": "clerk \"of\" law", "on": "Page::\"law\""}]}"#;

#[test]
fn roles_are_inherited_scoped_and_taken_away() {
    let mut roles = Roles::from_json(ROLES).unwrap();
    let base = Entities::from_json(
        r#"[{"uid": {"type": "Page", "id": "home"}, "attrs": {}, "parents": [{"type": "Space", "id": "wiki"}]},
            {"uid": {"type": "User", "id": "carol"}, "attrs": {}, "parents": [{"type": "Group", "id": "g"}]},
            {"uid": {"type": "User", "id": "alice"}, "attrs": {"n": 3}, "parents": [{"type": "Group", "id": "h"}]}]"#,
        None,
    )
    .unwrap();
    let policies = |roles: &Roles| roles.policies(PolicySet::builder()).unwrap().build().unwrap();
    let engine = PolicyEngine::new(policies(&roles), roles.entities(&base).unwrap());
    let may =
        |who: &str, what: &str, page: &str| engine.decide(&request(who, what, page)).is_allowed();
    assert!(
        may("alice", "read", "home")
            && may("alice", "move", "other")
            && may("alice", "edit", "law")
    );
    assert!(may("bob", "read", "home") && may("bob", "edit", "home"));
    assert!(!may("bob", "read", "other") && !may("bob", "edit", "law"));
    assert!(may("carol", "edit", "law") && !may("carol", "read", "law"));
    let answer = engine.decide(&request("bob", "read", "home"));
    let reasons: Vec<_> = answer.reasons().map(|policy| policy.annotation("role")).collect();
    assert_eq!(reasons, [Some("reader")]);

    // Alice loses her role: put on entities that have it, by data alone.
    roles.assignments.remove(0);
    let before = engine.entities();
    engine.replace_entities(roles.entities(&before).unwrap());
    engine.swap(policies(&roles));
    assert!(!may("alice", "read", "home") && may("bob", "read", "home"));
    let now = engine.entities();
    assert!(now.is_in(&uid("User::\"alice\""), &uid("Group::\"h\"")), "what is not a role's stays");
    assert!(now.to_json().unwrap().contains("\"n\""), "attributes stay");
    // And an owner no longer edits.
    roles.assignments.push(
        serde_json::from_str(r#"{"principal": "User::\"alice\"", "role": "owner"}"#).unwrap(),
    );
    roles.roles[3].inherits.retain(|from| from != "editor");
    engine.replace_entities(roles.entities(&engine.entities()).unwrap());
    assert!(!may("alice", "move", "home") && may("alice", "edit", "law"));
    // A role that is gone takes along who was in it.
    roles.roles.pop();
    roles.assignments.clear();
    engine.replace_entities(roles.entities(&engine.entities()).unwrap());
    assert!(!may("alice", "edit", "law"));
    assert!(!engine.entities().contains(&uid("Role::\"owner\"")));
}

/// A role is data: nothing of it is read as a policy.
#[test]
fn the_type_that_a_role_is_for_is_a_type() {
    let of = |ty: &str| {
        let text = serde_json::json!({"roles": [{"name": "r", "permits": [
            {"actions": ["Action::\"call\""], "on": {"type": ty}}]}]});
        let roles = Roles::from_json(&text.to_string())?;
        roles.policies(PolicySet::builder())?.build()
    };
    assert_eq!(of("Shop::Page").unwrap().len(), 1);
    for bad in
        ["Skill); permit(principal, action, resource", "", "Page // ", "Page\n", "a b", "Page,"]
    {
        if let Ok(set) = of(bad) {
            assert_eq!(set.len(), 1, "{bad:?}");
        }
    }
}

#[test]
fn roles_in_a_circle_are_refused() {
    let error = Roles::from_json(
        r#"{"roles": [{"name": "a", "inherits": ["b"]}, {"name": "b", "inherits": ["c", "x"]},
            {"name": "c", "inherits": ["d", "b"]}, {"name": "d"}, {"name": "d"}],
            "assignments": [{"principal": "User::\"u\"", "role": "y"}]}"#,
    )
    .unwrap_err();
    assert_eq!(error.code(), Code::ROLE_INVALID);
    let said: Vec<_> =
        error.problems().iter().map(|problem| problem.message().to_owned()).collect();
    assert_eq!(said.len(), 4, "{error}");
    assert!(said[3].ends_with("b from c from b"), "{error}");
    assert!(Roles::from_json(r#"{"roles": [{"name": "a", "inherits": ["a"]}]}"#).is_err());
    // As deep as anybody may think of.
    let chain: Vec<_> = (0..20_000)
        .map(|at| serde_json::json!({"name": at.to_string(), "inherits": [((at + 1) % 20_000).to_string()]}))
        .collect();
    assert!(Roles::from_json(&serde_json::json!({"roles": chain}).to_string()).is_err());
}

#[test]
fn with_a_schema_reverse_queries_stay_within_it() {
    let schema = Schema::from_cedar(
        "s",
        "entity User; entity Page; entity Robot; action all; action read in [all] appliesTo { principal: [User], resource: [Page] };",
    )
    .unwrap();
    let set = PolicySet::builder()
        .schema(schema.clone())
        .cedar("p", "permit (principal, action, resource);");
    let entities = r#"[{"uid": {"type": "User", "id": "u"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Robot", "id": "r"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Page", "id": "p"}, "attrs": {}, "parents": []}]"#;
    let entities = Entities::from_json(entities, Some(&schema)).unwrap();
    let engine = PolicyEngine::new(set.build().unwrap(), entities);
    let what = engine.what_may(&uid("User::\"u\""), &Reverse::default());
    assert_eq!(what.found, [(uid("Action::\"read\""), uid("Page::\"p\""))]);
    let who = engine.who_may(&uid("Action::\"read\""), &uid("Page::\"p\""), &Reverse::default());
    assert_eq!((who.found, who.next), (vec![uid("User::\"u\"")], None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reverse_queries_find_what_trying_finds(
        rules in prop::collection::vec((0..3_u8, 0..5_u8, 0..4_u8, 0..5_u8), 1..24),
        parents in prop::collection::vec((0..8_usize, 0..4_usize), 0..12),
        limit in 1..5_usize,
        effort in 1..40_usize,
    ) {
        let text: String = rules.iter().map(|(effect, who, what, on)| {
            let effect = if *effect == 0 { "forbid" } else { "permit" };
            let side = |name: &str, prefix: &str, at: u8| match at {
                0 => name.to_owned(),
                1 | 2 => format!("{name} == {prefix}::\"{at}\""),
                _ => format!("{name} in Group::\"{}\"", at % 4),
            };
            let action = if *what == 0 { "action".to_owned() } else { format!("action == Action::\"{what}\"") };
            format!("{effect} ({}, {action}, {});\n", side("principal", "User", *who), side("resource", "Page", *on))
        }).collect();
        let entities: Vec<_> = (0..8).map(|at| {
            let (ty, id) = if at < 4 { ("User", at) } else { ("Page", at - 4) };
            let parents: Vec<_> = parents.iter().filter(|(child, _)| *child == at)
                .map(|(_, group)| serde_json::json!({"type": "Group", "id": group.to_string()})).collect();
            serde_json::json!({"uid": {"type": ty, "id": id.to_string()}, "attrs": {}, "parents": parents})
        }).collect();
        let entities = Entities::from_json(&serde_json::json!(entities).to_string(), None).unwrap();
        let engine = PolicyEngine::new(PolicySet::from_cedar("p", &text).unwrap(), entities.clone());
        let mut all: Vec<EntityUid> = entities.uids().collect();
        all.sort();
        let actions: Vec<_> = (1..4).map(|at| uid(&format!("Action::\"{at}\""))).collect();
        let allowed = |who: &EntityUid, what: &EntityUid, on: &EntityUid| {
            engine.decide(&Request::new(who.clone(), what.clone(), on.clone())).is_allowed()
        };
        for who in &all {
            let tried: Vec<_> = actions.iter().flat_map(|what| all.iter().map(move |on| (what, on)))
                .filter(|(what, on)| allowed(who, what, on))
                .map(|(what, on)| (what.clone(), on.clone())).collect();
            let mut query = Reverse::default();
            (query.limit, query.effort) = (limit, effort);
            query.actions = Some(actions.clone());
            let mut found = Vec::new();
            loop {
                let page = engine.what_may(who, &query);
                prop_assert!(page.found.len() <= limit);
                found.extend(page.found);
                query.after = page.next;
                if query.after.is_none() { break }
            }
            prop_assert_eq!(found, tried);
        }
        for (what, on) in actions.iter().flat_map(|what| all.iter().map(move |on| (what, on))) {
            let tried: Vec<_> = all.iter().filter(|who| allowed(who, what, on)).cloned().collect();
            let mut query = Reverse::default();
            (query.limit, query.effort) = (limit, effort);
            let mut found = Vec::new();
            loop {
                let page = engine.who_may(what, on, &query);
                found.extend(page.found);
                query.after = page.next;
                if query.after.is_none() { break }
            }
            prop_assert_eq!(found, tried);
        }
    }
}
