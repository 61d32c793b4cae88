//! Policies, schemas and entities, in both of their forms.

use sutazai_core::security::authz::{Entities, PolicyEngine, PolicySet, Request, Schema};

/// Reads the bytes as each of them; what loads is asked something.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let schema = [Schema::from_cedar("fuzz", text), Schema::from_json("fuzz", text)];
    let entities = Entities::from_json(text, None).unwrap_or_default();
    let sets = [PolicySet::from_cedar("fuzz", text), PolicySet::from_json("fuzz", text)];
    let request = Request::new(
        r#"User::"alice""#.parse().unwrap(),
        r#"Action::"view""#.parse().unwrap(),
        r#"Photo::"p""#.parse().unwrap(),
    );
    for set in sets {
        match set {
            Ok(set) => {
                let engine = PolicyEngine::new(set, entities.clone());
                let answer = engine.decide(&request);
                assert!(
                    answer.is_allowed() || answer.reasons().all(|policy| !policy.id().is_empty())
                );
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    for schema in schema.into_iter().flatten() {
        let _ = PolicySet::builder().schema(schema).cedar("fuzz", text).build();
    }
}

/// Policies in Cedar's language and as JSON, a template, a schema, entities.
pub fn seeds() -> Vec<Vec<u8>> {
    TEXTS.map(|text| text.as_bytes().to_vec()).into()
}

const TEXTS: [&str; 5] = [
    r#"@id("a") permit (principal in Group::"g", action in [Action::"view", Action::"edit"], resource is Photo in Album::"x")
       when { principal.age > 17 && context has ip && ip("10.0.0.1").isInRange(ip("10.0.0.0/8")) } unless { resource.private };"#,
    r#"@id("t") permit (principal == ?principal, action, resource in ?resource) when { decimal("1.5").lessThan(decimal("2.5")) };"#,
    r#"{"staticPolicies": {"a": {"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []}}, "templates": {}, "templateLinks": []}"#,
    r#"entity User in [Group] = { age: Long, name?: String }; entity Group; entity Photo; action view, edit appliesTo { principal: User, resource: Photo, context: { ip?: ipaddr } };"#,
    r#"[{"uid": {"type": "User", "id": "alice"}, "attrs": {"age": 3, "ip": {"__extn": {"fn": "ip", "arg": "::1"}}}, "parents": [{"type": "Group", "id": "g"}]}]"#,
];
