"""Who may do what: policies (Cedar), roles, and a candidate set beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai._security_calls import Part

__all__ = [
    "DecisionCacheStatus",
    "EngineStatus",
    "NearMiss",
    "Permitted",
    "PermittedPage",
    "Policies",
    "PoliciesView",
    "PolicyAnswer",
    "PolicyCase",
    "PolicyCaseFailure",
    "PolicyCasesReport",
    "PolicyChanged",
    "PolicyCheck",
    "PolicyExplanation",
    "PolicyMiss",
    "PolicyName",
    "Role",
    "RoleAssignment",
    "RoleGrant",
    "Roles",
    "ShadowDifference",
    "ShadowReport",
    "WhoMayPage",
]


class PolicyName(TypedDict):
    """A policy."""

    id: str
    effect: Literal["permit", "forbid"]


class PoliciesView(TypedDict):
    """What decides at present."""

    authorise: bool
    """Whether policies decide about calls."""
    generation: int
    """Which state of policies and entities decides."""
    cedar: NotRequired[str]
    """The policies as they were set; absent where the program has set others in Rust."""
    schema: NotRequired[str]
    policies: list[PolicyName]
    """Those of roles among them."""
    entities: int


class PolicyChanged(TypedDict):
    """What a change of what decides has led to."""

    generation: int
    warnings: NotRequired[list[str]]
    """What is no mistake, but may not have been meant."""


class PolicyCheck(TypedDict):
    """Policies that were checked."""

    policies: list[PolicyName]
    warnings: list[str]


class PolicyAnswer(TypedDict):
    """A decision."""

    allowed: bool
    reasons: list[str]
    """The policies that decided; none when nothing permitted it."""
    errors: list[str]
    """The policies that could not be evaluated, each with what was wrong."""
    generation: int


class PolicyMiss(TypedDict):
    """A part of a policy that did not hold."""

    part: Literal["principal", "action", "resource", "when", "unless"]
    text: str
    """As it stands in the policy."""
    error: NotRequired[str]
    """Why it could not be evaluated, if that is why."""


class NearMiss(TypedDict):
    """A policy that nearly applied."""

    policy: str
    effect: Literal["permit", "forbid"]
    missed: list[PolicyMiss]
    """What of it did not hold. Were all of it otherwise, it would have applied."""


class PolicyExplanation(TypedDict):
    """A decision explained."""

    answer: PolicyAnswer
    permitted_by: list[str]
    """When a forbid denies it: the permits that would allow it if none forbade."""
    near: list[NearMiss]
    """The policies that would have changed it and missed by little, the nearest first."""
    more: int
    """How many there are beyond these."""


class PolicyCase(TypedDict):
    """A request, and how it is to be decided."""

    name: str
    principal: str
    """`User::"ann"`."""
    action: str
    resource: str
    context: NotRequired[Any]
    expect: Literal["allow", "deny"]
    reasons: NotRequired[list[str] | None]
    """The policies that are to decide; any without it."""
    errors: NotRequired[list[str]]
    """The policies that are to fail."""


class PolicyCaseFailure(TypedDict):
    """A case that did not pass."""

    name: str
    what: str
    answer: NotRequired[PolicyAnswer]


class PolicyCasesReport(TypedDict):
    """What came of a run of cases."""

    passed: int
    failed: list[PolicyCaseFailure]
    untested: list[str]
    """Policies that no case had among its reasons."""


class RoleGrant(TypedDict):
    """Something that a role permits."""

    actions: list[str]
    on: NotRequired[Literal["any"] | dict[Literal["type", "in", "only"], str]]
    """On what: `"any"` (the default), `{"type": "Page"}`, `{"in": 'Space::"wiki"'}` or `{"only": …}`."""


class Role(TypedDict):
    """A role."""

    name: str
    permits: NotRequired[list[RoleGrant]]
    inherits: NotRequired[list[str]]
    """The roles whose permissions it has as well."""


class RoleAssignment(TypedDict):
    """Somebody has a role."""

    principal: str
    """With a group, all that are in it."""
    role: str
    on: NotRequired[str | None]
    """On which resource, and all that is in it; everywhere without it."""


class Roles(TypedDict):
    """The roles, and who has them."""

    roles: list[Role]
    assignments: list[RoleAssignment]
    entity_type: str


class Permitted(TypedDict):
    """An action on a resource."""

    action: str
    resource: str


class PermittedPage(TypedDict):
    """What somebody may do."""

    found: list[Permitted]
    next: NotRequired[Permitted]
    """What was tried last, where there is more to try: `after` of the next page."""
    generation: int


class WhoMayPage(TypedDict):
    """Who may do something."""

    found: list[str]
    next: NotRequired[str]
    """Who was tried last, where there are more to try."""
    generation: int


class ShadowDifference(TypedDict):
    """A request that two sets answer differently."""

    request: str
    live: PolicyAnswer
    candidate: PolicyAnswer


class ShadowReport(TypedDict):
    """Where a candidate set differs from the one that decides."""

    compared: int
    would_allow: int
    would_deny: int
    other_reasons: int
    other_errors: int
    failed: int
    examples: list[ShadowDifference]
    """The first of the differences."""


class DecisionCacheStatus(TypedDict):
    """Figures of the decisions that are remembered."""

    capacity: int
    hits: int
    misses: int
    evicted: int


class EngineStatus(TypedDict):
    """Figures of policies."""

    generation: int
    policies: int
    entities: int
    cache: NotRequired[DecisionCacheStatus]


class Policies(Part):
    """A kernel's policies: `kernel.security.policies`. What is set here is kept in the store, and decides again after a
    restart. Principals, actions and resources are written as Cedar does: `User::"ann"`, `Action::"call"`,
    `Skill::"translate"`.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     policies = kernel.security.policies
    ...     _ = policies.set('permit (principal == User::"ann", action, resource);', by="ops")
    ...     ann = policies.decide('User::"ann"', 'Action::"call"', 'Skill::"echo"')
    ...     told = policies.explain('User::"bob"', 'Action::"call"', 'Skill::"echo"')
    >>> ann["allowed"], told["near"][0]["missed"][0]["text"]
    (True, 'principal == User::"ann"')
    """

    # ---- what decides ----

    def set(
        self,
        cedar: str,
        *,
        schema: str | None = None,
        authorise: bool | None = None,
        by: str,
    ) -> PolicyChanged:
        """Takes other policies, at once and as a whole, and says whether they decide about calls from now on. Roles
        stay."""
        answer = self._do("policy_set", cedar=cedar, schema=schema, authorise=authorise, by=by)
        return cast(PolicyChanged, answer)

    def get(self) -> PoliciesView:
        """The policies that decide."""
        return cast(PoliciesView, self._do("policies"))

    def check(self, cedar: str, *, schema: str | None = None) -> PolicyCheck:
        """Whether policies are valid and fit a schema, without setting them; raises `SecurityError` with every
        mistake."""
        return cast(PolicyCheck, self._do("policy_check", cedar=cedar, schema=schema))

    def set_schema(self, schema: str | None, *, by: str) -> PolicyChanged:
        """Takes another schema for the policies, roles and entities that there are, or none."""
        return cast(PolicyChanged, self._do("schema_set", schema=schema, by=by))

    def set_entities(
        self, entities: Sequence[Mapping[str, Any]], *, by: str
    ) -> PolicyChanged:
        """Says what policies know of principals and resources, in Cedar's JSON form, in place of all that they knew.
        Roles stay."""
        given = [dict(entity) for entity in entities]
        return cast(PolicyChanged, self._do("entities_set", entities=given, by=by))

    def set_roles(
        self,
        roles: Sequence[Role],
        assignments: Sequence[RoleAssignment] = (),
        *,
        entity_type: str | None = None,
        by: str,
    ) -> PolicyChanged:
        """Takes other roles, what they permit, and who has them; beside the policies, any of which may forbid."""
        answer = self._do(
            "roles_set",
            roles=list(roles),
            assignments=list(assignments),
            entity_type=entity_type,
            by=by,
        )
        return cast(PolicyChanged, answer)

    def roles(self) -> Roles:
        """The roles as they were set last, and who has them."""
        return cast(Roles, self._do("roles"))

    # ---- decisions ----

    def decide(
        self,
        principal: str,
        action: str,
        resource: str,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> PolicyAnswer:
        """Whether a request would be allowed, and by which policies."""
        return cast(
            PolicyAnswer, self._do("decide", **_asked(principal, action, resource, context))
        )

    async def adecide(
        self,
        principal: str,
        action: str,
        resource: str,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> PolicyAnswer:
        """As `decide`, awaited."""
        asked = _asked(principal, action, resource, context)
        return cast(PolicyAnswer, await self._ado("decide", **asked))

    def explain(
        self,
        principal: str,
        action: str,
        resource: str,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> PolicyExplanation:
        """Which policies decide about a request, and what would change that."""
        asked = _asked(principal, action, resource, context)
        return cast(PolicyExplanation, self._do("explain", **asked))

    def test(
        self, cases: Sequence[PolicyCase], *, cedar: str | None = None
    ) -> PolicyCasesReport:
        """Runs cases against these policies, or those that decide."""
        answer = self._do("policy_test", cases={"cases": list(cases)}, cedar=cedar)
        return cast(PolicyCasesReport, answer)

    def what_may(
        self,
        principal: str,
        *,
        actions: Sequence[str] | None = None,
        resources: Sequence[str] | None = None,
        context: Mapping[str, Any] | None = None,
        limit: int = 100,
        after: Permitted | None = None,
    ) -> PermittedPage:
        """What somebody may do, in order, page by page. Without `actions` and `resources` those are tried that schema,
        policies and entities name."""
        answer = self._do(
            "what_may",
            principal=principal,
            actions=None if actions is None else list(actions),
            resources=None if resources is None else list(resources),
            context=None if context is None else dict(context),
            limit=limit,
            after=after,
        )
        return cast(PermittedPage, answer)

    def who_may(
        self,
        action: str,
        resource: str,
        *,
        principals: Sequence[str] | None = None,
        context: Mapping[str, Any] | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> WhoMayPage:
        """Who may do something to a resource, in order, page by page."""
        answer = self._do(
            "who_may",
            action=action,
            resource=resource,
            principals=None if principals is None else list(principals),
            context=None if context is None else dict(context),
            limit=limit,
            after=after,
        )
        return cast(WhoMayPage, answer)

    # ---- a candidate ----

    def set_shadow(self, cedar: str, *, by: str) -> PolicyChanged:
        """Has every decision also made by a candidate set, and the differences counted; no answer changes."""
        return cast(PolicyChanged, self._do("shadow_set", cedar=cedar, by=by))

    def shadow(self) -> ShadowReport:
        """Where the candidate set differs from the one that decides; raises `NotFound` when there is none."""
        return cast(ShadowReport, self._do("shadow"))

    def promote_shadow(self, *, by: str) -> PolicyChanged:
        """Lets the candidate set decide."""
        return cast(PolicyChanged, self._do("shadow_promote", by=by))

    def drop_shadow(self, *, by: str) -> bool:
        """Ends the comparison; says whether there was a candidate."""
        return bool(self._do("shadow_drop", by=by)["dropped"])


def _asked(
    principal: str, action: str, resource: str, context: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "principal": principal,
        "action": action,
        "resource": resource,
        "context": None if context is None else dict(context),
    }
