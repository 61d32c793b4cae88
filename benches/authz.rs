//! Authorisation beside Cedar's own authorizer and casbin: 100 principals in 10 groups, 10 actions, 100 resources in 10
//! folders; requests and entities are made beforehand on all sides, 100,000 different ones, without a decision cache.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use casbin::{CoreApi as _, DefaultModel, Enforcer, MgmtApi as _, RbacApi as _};
use sutazai_core::security::authz::{
    Context, EngineOptions, Entities, EntityUid, PolicyEngine, PolicySet, Request,
};

const PRINCIPALS: usize = 100;
const GROUPS: usize = 10;
const ACTIONS: usize = 10;
const RESOURCES: usize = 100;
const FOLDERS: usize = 10;
const REQUESTS: usize = PRINCIPALS * ACTIONS * RESOURCES;

fn main() {
    let world = World::new();
    for (policies, goal) in [(10, 0.4), (100, 0.05), (1_000, 0.005), (10_000, 0.001)] {
        let sides = world.sides(&few_candidates(policies));
        // What Cedar's authorizer takes grows with the policies; each round takes some milliseconds.
        sides.compare(&format!("security.authz{policies}"), goal, 40_000 / policies);
        world.compare_casbin(&format!("security.authz{policies}_casbin"), &sides.ours, policies);
    }
    // 1,000 policies, of which 100 have a scope that holds: nothing is skipped but what can be.
    let tenth: String = (0..1_000)
        .map(|at| {
            let group = at % GROUPS;
            format!(
                "permit (principal in Group::\"g{group}\", action, resource) when {{ context.risk < {} }};\n",
                at % 100
            )
        })
        .collect();
    world.sides(&tenth).compare("security.authz_10pct", 1.0, 40);
    // All of 100 policies have a scope that holds.
    let all: String = (0..100)
        .map(|at| format!("permit (principal, action, resource) when {{ context.risk < {at} }};\n"))
        .collect();
    world.sides(&all).compare("security.authz_worst", 1.1, 400);

    let sides = world.sides(&few_candidates(1_000));
    let engine = PolicyEngine::new(sides.ours.policies(), sides.ours.entities());
    let hot: Vec<&Request> = world.requests[..1_000].iter().cycle().take(100_000).collect();
    bar::alone("security.authz_cached", "ns", 100.0, &mut || decide(&engine, hot.iter().copied()));
    let cache = engine.status().cache.unwrap();
    println!("    security.authz_cached: {} hits, {} misses", cache.hits, cache.misses);
}

/// Policies of which one or two have a scope that holds, whatever the request.
fn few_candidates(count: usize) -> String {
    let mut text = String::new();
    for at in 0..count - 1 {
        let (group, action, place) = (at % GROUPS, at / GROUPS % ACTIONS, at / (GROUPS * ACTIONS));
        let action = if count > GROUPS {
            format!("action == Action::\"a{action}\"")
        } else {
            "action".into()
        };
        let resource = match count {
            ..=100 => "resource".to_owned(),
            101..=1_000 => format!("resource in Folder::\"f{place}\""),
            _ => format!("resource == Page::\"p{place}\""),
        };
        writeln!(
            text,
            "permit (principal in Group::\"g{group}\", {action}, {resource}) when {{ context.risk < 80 && principal.level > 0 }};"
        )
        .unwrap();
    }
    text + "forbid (principal, action == Action::\"a0\", resource) when { context.risk > 95 };\n"
}

struct World {
    entities: String,
    requests: Vec<Request>,
    theirs: Vec<cedar_policy::Request>,
}

struct Sides<'w> {
    world: &'w World,
    ours: PolicyEngine,
    policies: cedar_policy::PolicySet,
    entities: cedar_policy::Entities,
}

impl World {
    fn new() -> Self {
        let users = (0..PRINCIPALS).map(|at| {
            format!(
                r#"{{"uid": {{"type": "User", "id": "u{at}"}}, "attrs": {{"level": {}}}, "parents": [{{"type": "Group", "id": "g{}"}}]}}"#,
                at % 7,
                at % GROUPS
            )
        });
        let pages = (0..RESOURCES).map(|at| {
            format!(
                r#"{{"uid": {{"type": "Page", "id": "p{at}"}}, "attrs": {{}}, "parents": [{{"type": "Folder", "id": "f{}"}}]}}"#,
                at % FOLDERS
            )
        });
        let entities = format!("[{}]", users.chain(pages).collect::<Vec<_>>().join(","));
        let names = |ty: &str, prefix: &str, count: usize| -> Vec<String> {
            (0..count).map(|at| format!("{ty}::\"{prefix}{at}\"")).collect()
        };
        let users = names("User", "u", PRINCIPALS);
        let actions = names("Action", "a", ACTIONS);
        let pages = names("Page", "p", RESOURCES);
        let (mut requests, mut theirs) = (Vec::new(), Vec::new());
        for at in 0..REQUESTS {
            // A stride without a common factor, so that neighbours have nothing in common.
            let at = at * 73_939 % REQUESTS;
            let user = &users[at % PRINCIPALS];
            let action = &actions[at / PRINCIPALS % ACTIONS];
            let page = &pages[at / (PRINCIPALS * ACTIONS)];
            let context = serde_json::json!({"risk": at % 101});
            let uid = |text: &str| text.parse::<EntityUid>().unwrap();
            requests.push(
                Request::new(uid(user), uid(action), uid(page))
                    .with_context(Context::from_json(context.clone()).unwrap()),
            );
            theirs.push(
                cedar_policy::Request::new(
                    user.parse().unwrap(),
                    action.parse().unwrap(),
                    page.parse().unwrap(),
                    cedar_policy::Context::from_json_value(context, None).unwrap(),
                    None,
                )
                .unwrap(),
            );
        }
        Self { entities, requests, theirs }
    }

    fn sides(&self, policies: &str) -> Sides<'_> {
        let set = PolicySet::from_cedar("bench", policies).unwrap();
        let entities = Entities::from_json(&self.entities, None).unwrap();
        let mut options = EngineOptions::default();
        options.cache = 0;
        Sides {
            world: self,
            ours: PolicyEngine::with_options(set, entities, options),
            policies: policies.parse().unwrap(),
            entities: cedar_policy::Entities::from_json_str(&self.entities, None).unwrap(),
        }
    }

    /// casbin has no conditions on attributes in this model: it has less to do.
    fn compare_casbin(&self, name: &str, ours: &PolicyEngine, policies: usize) {
        let enforcer = enforcer(policies);
        let requests: Vec<[String; 3]> = self
            .requests
            .iter()
            .map(|request| {
                [request.principal(), request.resource(), request.action()]
                    .map(|uid| uid.id().to_owned())
            })
            .collect();
        let mut at = 0;
        let count = (20_000 / policies).max(4);
        bar::compare(
            name,
            "us",
            1.0,
            &mut || decide(ours, self.requests.iter()),
            &mut [("casbin", &mut || {
                bar::timed(count as u64, || {
                    for _ in 0..count {
                        at = (at + 1) % REQUESTS;
                        let [principal, resource, action] = &requests[at];
                        black_box(enforcer.enforce((principal, resource, action)).unwrap());
                    }
                })
            })],
        );
    }
}

fn decide<'r>(
    engine: &PolicyEngine,
    requests: impl ExactSizeIterator<Item = &'r Request>,
) -> (Duration, u64) {
    bar::timed(requests.len() as u64, || {
        for request in requests {
            black_box(engine.decide(black_box(request)));
        }
    })
}

impl Sides<'_> {
    fn compare(&self, name: &str, goal: f64, peer_requests: usize) {
        let authorizer = cedar_policy::Authorizer::new();
        let ask = |at: usize| {
            authorizer.is_authorized(&self.world.theirs[at], &self.policies, &self.entities)
        };
        let mut allowed = 0;
        for at in (0..REQUESTS).step_by(REQUESTS / peer_requests.clamp(20, 200) - 1) {
            let (ours, theirs) = (self.ours.decide(&self.world.requests[at]), ask(at));
            assert_eq!(ours.is_allowed(), theirs.decision() == cedar_policy::Decision::Allow);
            assert_eq!(ours.reasons().count(), theirs.diagnostics().reason().count());
            allowed += usize::from(ours.is_allowed());
        }
        assert!(allowed > 0, "{name} compares refusals only");
        let mut at = 0;
        // Few policies: each side all requests; many: the peer a part of them each round.
        let ours = if peer_requests < 100 { 20_000 } else { REQUESTS };
        bar::compare(
            name,
            "us",
            goal,
            &mut || decide(&self.ours, self.world.requests[..ours].iter()),
            &mut [("cedar-policy", &mut || {
                bar::timed(peer_requests as u64, || {
                    for _ in 0..peer_requests {
                        at = (at + 1) % REQUESTS;
                        black_box(ask(black_box(at)));
                    }
                })
            })],
        );
    }
}

fn enforcer(policies: usize) -> Enforcer {
    const MODEL: &str = "
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
g2 = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && (p.act == '*' || r.act == p.act) && (p.obj == '*' || g2(r.obj, p.obj))
";
    // Nothing here ever waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        loop {
            if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return done;
            }
        }
    }
    let rules = (0..policies)
        .map(|at| {
            let (group, action, place) =
                (at % GROUPS, at / GROUPS % ACTIONS, at / (GROUPS * ACTIONS));
            let action = if policies > GROUPS { format!("a{action}") } else { "*".into() };
            let object = match policies {
                ..=100 => "*".to_owned(),
                101..=1_000 => format!("f{place}"),
                _ => format!("p{place}"),
            };
            vec![format!("g{group}"), object, action]
        })
        .collect();
    now(async {
        let model = DefaultModel::from_str(MODEL).await.unwrap();
        let mut enforcer = Enforcer::new(model, casbin::MemoryAdapter::default()).await.unwrap();
        assert!(enforcer.add_policies(rules).await.unwrap());
        for at in 0..PRINCIPALS {
            let group = format!("g{}", at % GROUPS);
            enforcer.add_role_for_user(&format!("u{at}"), &group, None).await.unwrap();
        }
        for at in 0..RESOURCES {
            let folder = vec![format!("p{at}"), format!("f{}", at % FOLDERS)];
            enforcer.add_named_grouping_policy("g2", folder).await.unwrap();
        }
        enforcer
    })
}
