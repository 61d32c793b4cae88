"""The typed dicts of the package say what the operations' schemas say."""

from __future__ import annotations

from typing import Any, NotRequired, get_args, get_origin, get_type_hints

import pytest
import sutazai
from sutazai import Kernel

# By operation and side: the typed dict of what it takes or gives, and those of the definitions in it.
REQUESTS: list[tuple[str, str | None, type]] = [
    ("agent.add_process", "ProcessSpec", sutazai.ProcessSpec),
    ("agent.add_process", "RestartPolicy", sutazai.ProcessRestart),
    ("agent.add_process", "AgentCard", sutazai.AgentCard),
    ("agent.add_process", "SkillCard", sutazai.SkillCard),
    ("agent.add_mcp", "McpSpec", sutazai.McpSpec),
    ("agent.add_mcp", "McpHttp", sutazai.McpHttp),
    ("agent.add_a2a", "A2aSpec", sutazai.A2aSpec),
    ("agent.add_openai", "OpenAiSpec", sutazai.OpenAiSpec),
    ("agent.add_openai", "FromEnv", sutazai.SecretFromEnv),
    ("agent.route_set_policy", "RoutePolicy", sutazai.RoutePolicy),
    ("agent.route_replay", "OwnedArm", sutazai.RouteArm),
    ("security.keyset_create", "Schedule", sutazai.KeySchedule),
    ("security.keyset_export", "Cost", sutazai.ExportCost),
    ("security.keyset_import", "Export", sutazai.KeysetExport),
    ("monitor.bottlenecks", "BottleneckPolicy", sutazai.BottleneckPolicy),
    ("monitor.state_resource", None, sutazai.ResourceFigures),
    ("monitor.exhaustion", "ExhaustionPolicy", sutazai.ExhaustionPolicy),
    ("monitor.health", "HealthPolicy", sutazai.HealthPolicy),
    ("monitor.health", "Ramp", sutazai.HealthRamp),
    ("recovery.guard_set", "LimitPolicy", sutazai.LimitPolicy),
    ("tune.add", "TuneSpec", sutazai.TuneSpec),
    ("tune.add", "TunedKnob", sutazai.TunedKnob),
    ("tune.add", "TunerPolicy", sutazai.TunerPolicy),
    ("tune.add", "GuardRail", sutazai.GuardRail),
    ("tune.add", "Measure", sutazai.Measure),
    ("tune.add", "Divisor", sutazai.MeasurePer),
    ("tune.report", "TunerSample", sutazai.TunerSample),
    ("tune.scale", "Scaling", sutazai.Scaling),
    ("tune.scale", "ScalePolicy", sutazai.ScalePolicy),
    ("security.oidc_set", "OidcIssuer", sutazai.OidcIssuer),
    ("security.policy_test", "PolicyCase", sutazai.PolicyCase),
    ("security.roles_set", "Role", sutazai.Role),
    ("security.roles_set", "Grant", sutazai.RoleGrant),
    ("security.roles_set", "Assignment", sutazai.RoleAssignment),
    ("security.what_may", "Pair", sutazai.Permitted),
    ("security.delegate", "Less", sutazai.LessToken),
    ("security.audit_check", "Evidence", sutazai.AuditEvidence),
    ("security.webauthn_set", "WebauthnPolicy", sutazai.WebauthnPolicy),
]
ANSWERS: list[tuple[str, str | None, type]] = [
    ("agent.add_mcp", None, sutazai.AddedMcp),
    ("agent.mcp_config", None, sutazai.McpConfig),
    ("agent.mcp_config", "Listed", sutazai.McpConfigServer),
    ("agent.ledger", None, sutazai.AgentLedger),
    ("agent.ledger", "AgentStats", sutazai.AgentStats),
    ("agent.ledger", "FailureStats", sutazai.FailureStats),
    ("agent.ledger", "LatencyStats", sutazai.LatencyStats),
    ("agent.ledger", "QualityStats", sutazai.QualityStats),
    ("agent.ledger", "RecentStats", sutazai.RecentStats),
    ("agent.ledger", "SkillStats", sutazai.SkillStats),
    ("agent.ledger", "Usage", sutazai.Usage),
    ("agent.get", None, sutazai.AgentView),
    ("agent.get", "LivenessView", sutazai.Liveness),
    ("agent.route_log", None, sutazai.RouteLog),
    ("agent.route_replay", "Decision", sutazai.RouteDecision),
    ("monitor.bottlenecks", None, sutazai.Bottlenecks),
    ("monitor.bottlenecks", "Bottleneck", sutazai.Bottleneck),
    ("monitor.bottlenecks", "Part", sutazai.BottleneckPart),
    ("monitor.bottlenecks", "StationView", sutazai.Station),
    ("monitor.bottlenecks", "WhatIf", sutazai.WhatIf),
    ("monitor.exhaustion", None, sutazai.Exhaustion),
    ("monitor.forecast", None, sutazai.SeriesForecast),
    ("monitor.forecast", "Interval", sutazai.ForecastInterval),
    ("monitor.forecast", "Share", sutazai.ForecastShare),
    ("monitor.health", None, sutazai.Health),
    ("monitor.health", "Cause", sutazai.HealthCause),
    ("monitor.health", "ComponentHealth", sutazai.ComponentHealth),
    ("monitor.query", None, sutazai.SeriesAnswer),
    ("monitor.query", "Reading", sutazai.SeriesReading),
    ("monitor.record", "Anomaly", sutazai.Anomaly),
    ("monitor.sample", None, sutazai.MonitorSample),
    ("monitor.series", "SeriesView", sutazai.SeriesView),
    ("monitor.series", "LevelView", sutazai.SeriesLevel),
    ("monitor.status", None, sutazai.MonitorStatus),
    ("monitor.status", "Away", sutazai.AwayMonitor),
    ("monitor.status", "HistoryStatus", sutazai.HistoryStatus),
    ("monitor.status", "SeriesFamily", sutazai.SeriesFamily),
    ("security.api_key_make", None, sutazai.MadeApiKey),
    ("security.api_keys", "ApiKeyView", sutazai.ApiKey),
    ("security.approvals", "ApprovalView", sutazai.Approval),
    ("security.audit_check", None, sutazai.AuditProved),
    ("security.audit_check", "Record", sutazai.AuditRecord),
    ("security.audit_check", "Sealed", sutazai.AuditSealed),
    ("security.audit_checkpoint", None, sutazai.AuditCheckpoint),
    ("security.audit_export", None, sutazai.AuditLines),
    ("security.audit_export_file", None, sutazai.AuditExported),
    ("security.audit_personal", None, sutazai.AuditPersonal),
    ("security.audit_prove", None, sutazai.AuditEvidence),
    ("security.audit_query", None, sutazai.AuditPage),
    ("security.audit_query", "Found", sutazai.FoundAuditRecord),
    ("security.audit_verify", None, sutazai.AuditReport),
    ("security.audit_verify", "Finding", sutazai.AuditFinding),
    ("security.certificates", "CertificateView", sutazai.Certificate),
    ("security.decide", None, sutazai.PolicyAnswer),
    ("security.delegate", None, sutazai.DelegatedToken),
    ("security.delegate_verify", None, sutazai.Delegated),
    ("security.explain", None, sutazai.PolicyExplanation),
    ("security.explain", "NearMiss", sutazai.NearMiss),
    ("security.explain", "Miss", sutazai.PolicyMiss),
    ("security.key_public", "PublicView", sutazai.PublicKey),
    ("security.keyset", None, sutazai.KeysetInfo),
    ("security.keyset", "KeyInfo", sutazai.KeyInfo),
    ("security.keyset_create", None, sutazai.KeyEvent),
    ("security.login", "Offer", sutazai.LoginOffer),
    ("security.oidc_challenge", None, sutazai.OidcChallenge),
    ("security.oidc_links", "OidcLink", sutazai.OidcLink),
    ("security.passkey_challenge", None, sutazai.PasskeyChallenge),
    ("security.passkey_finish", "PasskeyView", sutazai.Passkey),
    ("security.passkey_register", None, sutazai.PasskeyRequest),
    ("security.passkeys", "PasskeyView", sutazai.Passkey),
    ("security.policies", None, sutazai.PoliciesView),
    ("security.policies", "PolicyName", sutazai.PolicyName),
    ("security.policy_check", None, sutazai.PolicyCheck),
    ("security.policy_set", None, sutazai.PolicyChanged),
    ("security.policy_test", None, sutazai.PolicyCasesReport),
    ("security.policy_test", "CaseFailure", sutazai.PolicyCaseFailure),
    ("security.principals", "DisabledView", sutazai.DisabledPrincipal),
    ("security.principals", "PrincipalView", sutazai.Principal),
    ("security.risk", None, sutazai.Risk),
    ("security.risk", "SignalView", sutazai.RiskSignal),
    ("security.roles", None, sutazai.Roles),
    ("security.shadow", None, sutazai.ShadowReport),
    ("security.shadow", "ShadowDifference", sutazai.ShadowDifference),
    ("security.status", None, sutazai.SecurityStatus),
    ("security.status", "AuditStatus", sutazai.AuditStatus),
    ("security.status", "EngineStatus", sutazai.EngineStatus),
    ("security.status", "LoginStatus", sutazai.LoginStatus),
    ("security.status", "RefreshStatus", sutazai.RefreshStatus),
    ("security.status", "RevocationStatus", sutazai.RevocationStatus),
    ("security.status", "RiskStatus", sutazai.RiskStatus),
    ("security.status", "TokenStatus", sutazai.TokenStatus),
    ("security.token_issue", None, sutazai.Tokens),
    ("security.token_verify", None, sutazai.VerifiedToken),
    ("security.totp_enrol", None, sutazai.TotpSecret),
    ("recovery.guard_list", "LimitView", sutazai.AdaptiveLimit),
    ("recovery.guard_list", "LimitChange", sutazai.LimitChange),
    ("tune.get", None, sutazai.TunerStatus),
    ("tune.get", "BrokenGuard", sutazai.BrokenGuard),
    ("tune.get", "Knob", sutazai.Knob),
    ("tune.get", "Proposal", sutazai.TuneProposal),
    ("tune.get", "Suggested", sutazai.TuneSuggestion),
    ("tune.get", "TrialRecord", sutazai.TrialRecord),
    ("tune.knobs", "KnobView", sutazai.KnobView),
    ("tune.report", None, sutazai.TunerReport),
    ("tune.scaled", "PoolSample", sutazai.PoolSample),
    ("tune.scaled", "RateForecast", sutazai.RateForecast),
    ("tune.scaled", "ScaleDecision", sutazai.ScaleDecision),
    ("tune.scaled", "ScaledPool", sutazai.ScaledPool),
    ("tune.scaled", "SizeProposal", sutazai.SizeProposal),
    ("security.what_may", None, sutazai.PermittedPage),
    ("security.who_may", None, sutazai.WhoMayPage),
]
STEPS = {
    "done": sutazai.LoginDone,
    "next": sutazai.LoginNext,
    "refused": sutazai.LoginRefused,
}
FINISHED = {"done": sutazai.PasskeyDone, "refused": sutazai.PasskeyRefused}
INPUTS = {
    "decide": sutazai.RouteDecide,
    "settled": sutazai.RouteSettled,
    "reward": sutazai.RouteReward,
}


def schema(kernel: Kernel, operation: str, side: str, definition: str | None) -> dict[str, Any]:
    found: dict[str, Any] = kernel.invoke("kernel.schema", operation=operation)[side]
    return found if definition is None else found["$defs"][definition]


def keys(typed: Any) -> set[str]:
    return set(get_type_hints(typed))


def required(typed: Any) -> set[str]:
    # `__required_keys__` takes all of a module whose annotations are texts for required.
    hints = get_type_hints(typed, include_extras=True)
    optional = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    return set(hints) - optional if typed.__total__ else set()


@pytest.mark.parametrize(("operation", "definition", "typed"), REQUESTS)
def test_of_requests(kernel: Kernel, operation: str, definition: str, typed: Any) -> None:
    given = schema(kernel, operation, "request", definition)
    assert keys(typed) == set(given["properties"])
    assert required(typed) == set(given.get("required", []))


@pytest.mark.parametrize(("operation", "definition", "typed"), ANSWERS)
def test_of_answers(
    kernel: Kernel, operation: str, definition: str | None, typed: Any
) -> None:
    given = schema(kernel, operation, "answer", definition)
    assert keys(typed) == set(given["properties"])
    if typed is not sutazai.RouteLog:  # one that is replayed need not say whether it is whole
        assert set(given.get("required", [])) <= required(typed)


@pytest.mark.parametrize("call", INPUTS)
def test_of_what_a_router_is_told(kernel: Kernel, call: str) -> None:
    told = schema(kernel, "agent.route_replay", "request", "Input")["oneOf"]
    [given] = [one for one in told if one["properties"]["call"]["const"] == call]
    typed: Any = INPUTS[call]
    assert keys(typed) == set(given["properties"])
    assert required(typed) == set(given["required"])


@pytest.mark.parametrize("step", STEPS)
def test_of_the_steps_of_a_login(kernel: Kernel, step: str) -> None:
    answers = schema(kernel, "security.login", "answer", None)["oneOf"]
    [given] = [one for one in answers if one["properties"]["step"]["const"] == step]
    tokens = schema(kernel, "security.token_issue", "answer", None)
    flat = tokens if "$ref" in given else {"properties": {}, "required": []}
    typed: Any = STEPS[step]
    assert keys(typed) == set(given["properties"]) | set(flat["properties"])
    assert set(given["required"]) | set(flat["required"]) <= required(typed)


@pytest.mark.parametrize("step", FINISHED)
def test_of_what_came_of_a_registration(kernel: Kernel, step: str) -> None:
    answers = schema(kernel, "security.passkey_finish", "answer", None)["oneOf"]
    assert len(answers) == len(FINISHED)
    [given] = [one for one in answers if one["properties"]["step"]["const"] == step]
    typed: Any = FINISHED[step]
    assert keys(typed) == set(given["properties"])
    assert required(typed) == set(given["required"])


def test_of_the_words_of_authenticators_and_issuers(kernel: Kernel) -> None:
    kinds = schema(kernel, "security.passkeys", "answer", "PasskeyKind")["oneOf"]
    assert [kind["const"] for kind in kinds] == list(get_args(sutazai.PasskeyKind))
    hints = get_type_hints(sutazai.OidcIssuer)
    issuer: Any = {"issuer": "https://id.example", "client": "c"}
    for issuer["algorithm"] in get_args(hints["algorithm"]):
        for issuer["principal"] in ["subject", "linked", {"claim": "email"}]:
            assert kernel.security.oidc.set([issuer], by="me") == 1
    [words, claim] = get_args(hints["principal"])
    assert get_args(words) == ("subject", "linked") and claim is sutazai.OidcClaim


def test_of_the_states_of_an_agent(kernel: Kernel) -> None:
    states = schema(kernel, "agent.get", "answer", "AgentState")["oneOf"]
    named = get_args(get_type_hints(sutazai.AgentView)["state"])
    assert [state["const"] for state in states] == list(named)


def test_of_an_explanation() -> None:
    with Kernel() as kernel:
        for name in "ada", "bob":
            kernel.agent(name=name, skills=["s"])(lambda _: None)
        ticket = kernel.submit("s")
        ticket.wait()
        explained = kernel.routing.explain(ticket)
    assert explained is not None
    assert explained.keys() == keys(sutazai.RouteExplanation)
    assert all(arm.keys() == keys(sutazai.RouteScore) for arm in explained["arms"])
