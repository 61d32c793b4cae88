//! Rows of the room `security`: policies and risks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use super::security_shape::Of;
use super::who::By;
use crate::security::authz::{
    AnswerView, CasesReport, Context, EntityUid, Explanation, PolicyCases, PolicySet, PolicyView,
    Request, Schema,
};
use crate::security::risk::{RiskSignal, RiskView};
use crate::security::{PoliciesView, PolicyChange, PolicyName, Security};
use crate::{Code, Result};

/// What changing what decides may answer with.
pub(super) const SETTING: &[Code] = &[
    Code::POLICY_INVALID,
    Code::POLICY_SCHEMA,
    Code::ENTITIES_INVALID,
    Code::ROLE_INVALID,
    Code::ACCESS_INVALID,
    Code::INVALID,
    Code::NOT_FOUND,
    Code::UNSUPPORTED,
    Code::STORE_FAILED,
    Code::AUDIT_FAILED,
    Code::AUDIT_FULL,
];

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.policy_set",
            "Takes other policies (Cedar), at once and as a whole, and says whether they decide about calls.",
            SETTING,
            policy_set,
        ),
        Operation::blocking(
            "security.policies",
            "The policies that decide, as they were set, with their schema and their names.",
            &[Code::NOT_RUNNING],
            policies,
        ),
        Operation::blocking(
            "security.policy_check",
            "Whether policies are valid and fit a schema, without setting them; every mistake with its place.",
            &[Code::POLICY_INVALID, Code::POLICY_SCHEMA],
            policy_check,
        ),
        Operation::blocking(
            "security.schema_set",
            "Takes another schema for the policies, roles and entities that there are, or none.",
            SETTING,
            schema_set,
        ),
        Operation::blocking(
            "security.entities_set",
            "Says what policies know of principals and resources, in place of all that they knew.",
            SETTING,
            entities_set,
        ),
        Operation::blocking(
            "security.decide",
            "Whether a request would be allowed, and by which policies.",
            &[Code::ACCESS_INVALID],
            decide,
        ),
        Operation::blocking(
            "security.explain",
            "Which policies decide about a request, and what would change that.",
            &[Code::ACCESS_INVALID],
            explain,
        ),
        Operation::blocking(
            "security.policy_test",
            "Runs cases against policies that need not be those that decide: these, or the present ones.",
            &[Code::POLICY_INVALID, Code::ACCESS_INVALID, Code::INVALID],
            policy_test,
        ),
        Operation::now(
            "security.risk",
            "How risky somebody looks, and why.",
            &[Code::NOT_RUNNING],
            risk,
        ),
        Operation::blocking(
            "security.risk_raise",
            "Raises somebody's risk by a signal.",
            &[Code::NOT_RUNNING, Code::INVALID, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            risk_raise,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PolicySetting {
    /// The policies, in Cedar's syntax.
    cedar: String,
    /// The schema that they must fit, in Cedar's syntax.
    schema: Option<String>,
    /// Whether policies decide about calls from now on; as before without it.
    authorise: Option<bool>,
    /// Who sets them.
    by: By,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Changed {
    /// Which state of policies and entities decides now.
    generation: u64,
    /// What is no mistake, but may not have been meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl From<(u64, Vec<String>)> for Changed {
    fn from((generation, warnings): (u64, Vec<String>)) -> Self {
        Self { generation, warnings }
    }
}

fn set(cedar: &str, schema: Option<&str>) -> Result<PolicySet> {
    let mut builder = PolicySet::builder();
    if let Some(schema) = schema {
        builder = builder.schema(Schema::from_cedar("schema", schema)?);
    }
    builder.cedar("policies", cedar).build()
}

fn policy_set(surface: &Surface, request: PolicySetting) -> Result<Changed> {
    let kernel = surface.kernel();
    let (security, now) = (kernel.security()?, kernel.runtime().timestamp());
    let PolicySetting { cedar, schema, authorise, by } = request;
    let change = PolicyChange::Policies { cedar, schema };
    Ok(security.change_policies_and(change, authorise, &by, now)?.into())
}

fn policies(surface: &Surface, _: Nothing) -> Result<PoliciesView> {
    Ok(surface.kernel().security()?.policies_view())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PolicyCheck {
    /// The policies, in Cedar's syntax.
    cedar: String,
    /// The schema that they must fit, in Cedar's syntax.
    schema: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Checked {
    /// What the policies are called.
    policies: Vec<PolicyName>,
    /// What is no mistake, but may not have been meant.
    warnings: Vec<String>,
}

fn policy_check(surface: &Surface, request: PolicyCheck) -> Result<Checked> {
    // It takes no room of the kernel's, but one that runs.
    surface.kernel().security()?;
    let set = set(&request.cedar, request.schema.as_deref())?;
    Security::check_policies(&set)?;
    let policies = set.policies();
    let name =
        |policy: PolicyView<'_>| PolicyName { id: policy.id().to_owned(), effect: policy.effect() };
    Ok(Checked { policies: policies.map(name).collect(), warnings: set.warnings().to_vec() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SchemaSetting {
    /// The schema, in Cedar's syntax; none without it.
    schema: Option<String>,
    /// Who sets it.
    by: By,
}

fn schema_set(surface: &Surface, request: SchemaSetting) -> Result<Changed> {
    let kernel = surface.kernel();
    let (security, now) = (kernel.security()?, kernel.runtime().timestamp());
    let change = PolicyChange::Schema(request.schema);
    Ok(security.change_policies(change, &request.by, now)?.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EntitySetting {
    /// The entities, in Cedar's JSON form.
    entities: Vec<Value>,
    /// Who sets them.
    by: By,
}

fn entities_set(surface: &Surface, request: EntitySetting) -> Result<Changed> {
    let kernel = surface.kernel();
    let (security, now) = (kernel.security()?, kernel.runtime().timestamp());
    let change = PolicyChange::Entities(request.entities);
    Ok(security.change_policies(change, &request.by, now)?.into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Who: `User::"ann"`.
    principal: String,
    /// What: `Action::"call"`.
    action: String,
    /// On what: `Skill::"translate"`.
    resource: String,
    /// What else is known: an object.
    #[serde(default)]
    context: Option<Value>,
}

fn asked(request: Asked) -> Result<Request> {
    let uid = |text: &str| text.parse::<EntityUid>();
    let (principal, action) = (uid(&request.principal)?, uid(&request.action)?);
    let asked = Request::new(principal, action, uid(&request.resource)?);
    match request.context {
        None => Ok(asked),
        Some(context) => Ok(asked.with_context(Context::from_json(context)?)),
    }
}

fn decide(surface: &Surface, request: Asked) -> Result<AnswerView> {
    let asked = asked(request)?;
    Ok(surface.kernel().security()?.policies().decide(&asked).view())
}

fn explain(surface: &Surface, request: Asked) -> Result<Explanation> {
    let asked = asked(request)?;
    Ok(surface.kernel().security()?.policies().explain(&asked))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Testing {
    /// The cases.
    cases: PolicyCases,
    /// The policies, in Cedar's syntax; those that decide without it.
    cedar: Option<String>,
}

fn policy_test(surface: &Surface, request: Testing) -> Result<CasesReport> {
    let engine = surface.kernel().security()?.policies();
    let policies = match &request.cedar {
        Some(cedar) => set(cedar, None)?,
        None => engine.policies(),
    };
    Ok(request.cases.run(&policies, &engine.entities()))
}

fn risk(surface: &Surface, request: Of) -> Result<RiskView> {
    let kernel = surface.kernel();
    Ok(kernel.security()?.risks().view(&request.principal, kernel.runtime().timestamp()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Raised {
    /// Whose.
    principal: String,
    /// By what.
    signal: RiskSignal,
    /// How strongly, 0 to 1; 1 without it.
    #[serde(default = "as_can_be")]
    strength: f64,
}

fn as_can_be() -> f64 {
    1.0
}

fn risk_raise(surface: &Surface, request: Raised) -> Result<RiskView> {
    let kernel = surface.kernel();
    let (security, now) = (kernel.security()?, kernel.runtime().timestamp());
    security.raise_risk(&request.principal, request.signal, request.strength, now)?;
    Ok(security.risks().view(&request.principal, now))
}
