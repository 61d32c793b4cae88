"""The security of a kernel, as it is written down."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import sutazai
from sutazai import Kernel, SecurityOptions

ANN = 'permit (principal == User::"ann", action, resource);'


def token(kernel: Kernel, who: str) -> str:
    issued: dict[str, str] = kernel.invoke("security.token_issue", principal=who, by="test")
    return issued["access"]


def test_policies_decide_from_the_start() -> None:
    options: SecurityOptions = {
        "authorise": True,
        "policies": [
            {"cedar": ANN},
            {"cedar": '@id("quiet") forbid (principal, action, resource == Skill::"shout");'},
        ],
    }
    with Kernel(security=options) as kernel:
        kernel.add_echo_agent("a", skill="echo")
        kernel.add_echo_agent("b", skill="shout")
        ann = token(kernel, "ann")
        assert kernel.call("echo", 7, token=ann) == 7
        with pytest.raises(sutazai.PermissionDenied, match="quiet"):
            kernel.call("shout", 7, token=ann)
        with pytest.raises(sutazai.PermissionDenied):
            kernel.call("echo", 7, token=token(kernel, "bob"))
        assert kernel.call("shout", 7) == 7, "from inside the process"


def test_nobody_inside_is_trusted_unless_it_says_so() -> None:
    with Kernel(security={"authorise": True, "trust_inside": False}) as kernel:
        kernel.add_echo_agent()
        with pytest.raises(sutazai.PermissionDenied):
            kernel.call("echo", 7)


def test_tokens_live_as_long_as_it_says() -> None:
    options: SecurityOptions = {"name": "fleet", "tokens": {"access_ms": 60_000}}
    with Kernel(security=options) as kernel:
        told = kernel.invoke("security.token_verify", token=token(kernel, "ann"))["attributes"]
    issued, expires = (
        datetime.fromisoformat(told[f"token.{key}"][:26]) for key in ("issued", "expires")
    )
    assert expires - issued == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"authorize": True}, "authorize"),
        ({"authorise": "yes"}, "authorise"),
        ({"name": "two words"}, "name"),
        ({"passwords": {"memory_kib": 8}}, "passwords"),
        ({"passwords": {"memory": 8}}, "passwords.memory"),
        ({"totp": {"digits": 5}}, "totp.digits"),
        ({"logins": {"tries": 0}}, "logins.tries"),
        ({"logins": {"throttle": {"wait": 1}}}, "logins.throttle.wait"),
        ({"webauthn": {"rp_id": "example.org", "origins": ["http://example.org"]}}, "webauthn"),
        ({"webauthn": {"rp_id": "example.org"}}, "webauthn"),
        ({"oidc": [{"issuer": "i#", "client": "c", "algorithm": "ES256"}]}, "oidc"),
        ({"oidc": [{"issuer": "i", "client": "c", "algorithm": "ES"}]}, "oidc[0].algorithm"),
        ({"tokens": {"access_ms": 5}}, "tokens.access_ms"),
        ({"tokens": {"refresh": {"idle_ms": 5}}}, "tokens.refresh.idle_ms"),
        ({"risk": {"signals": {"threat": {"weight": 2, "half_life_ms": 1}}}}, "risk.signals.threat.weight"),
        ({"audit": {"durability": {"action": "fsink"}}}, "audit.durability.action"),
        ({"audit": {"segments": 1}}, "audit.segments"),
        ({"policies": [{"cedar": ANN}, {"cedar": "permit"}]}, "policies[1]"),
        ({"policies": [{"file": "/no/such/file.cedar"}]}, "policies[0]"),
        ({"schema": {"cedar": "entity"}}, "schema"),
        ({"entities": {"json": [3]}}, "entities"),
        ({"roles": {"json": {}}}, "roles"),
        ({"master": {"env": "SUTAZAI_NOT_SET"}}, "master"),
        ({"master": {"passphrase_env": "SUTAZAI_NOT_SET"}}, "master"),
        ({"master": {"file": "/no/such/key"}}, "master"),
        ({"master": {"key": "AAAA"}}, "master"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(options: Any, field: str) -> None:
    with pytest.raises(sutazai.SutazaiError) as caught:
        Kernel(security=options)
    assert field in str(caught.value)


def test_what_is_none_is_refused() -> None:
    with pytest.raises(sutazai.SutazaiError):
        Kernel(security="open")


def test_master_key_and_policies_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_TEST_KEY", base64.b64encode(bytes(range(32))).decode())
    (tmp_path / "team.cedar").write_text(ANN)
    (tmp_path / "roles.json").write_text(
        '{"roles": [{"name": "r", "permits": [{"actions": ["Action::\\"call\\""]}]}],'
        ' "assignments": [{"principal": "User::\\"bob\\"", "role": "r"}]}'
    )
    options: SecurityOptions = {
        "authorise": True,
        "master": {"env": "SUTAZAI_TEST_KEY"},
        "policies": [{"file": str(tmp_path / "team.cedar")}],
        "roles": {"file": str(tmp_path / "roles.json")},
    }
    for _ in range(2):
        with Kernel(tmp_path / "data", security=options) as kernel:
            kernel.add_echo_agent()
            for who in "ann", "bob":
                assert kernel.call("echo", 7, token=token(kernel, who)) == 7
            with pytest.raises(sutazai.PermissionDenied):
                kernel.call("echo", 7, token=token(kernel, "eve"))
    assert not (tmp_path / "data" / "master.key").exists()
    monkeypatch.setenv("SUTAZAI_TEST_KEY", base64.b64encode(bytes(32)).decode())
    with pytest.raises(sutazai.SecurityError):
        Kernel(tmp_path / "data", security=options).start()


def test_a_manifest_says_it(tmp_path: Path) -> None:
    (tmp_path / "team.cedar").write_text(ANN)
    manifest = tmp_path / "sutazai.toml"
    manifest.write_text(
        'data_dir = ":memory:"\n[security]\nauthorise = true\n'
        "policies = [{ file = 'team.cedar' }]\n[security.tokens]\naccess = '1m'\n"
    )
    with Kernel(manifest=manifest) as kernel:
        kernel.add_echo_agent()
        assert kernel.call("echo", 7, token=token(kernel, "ann")) == 7
        with pytest.raises(sutazai.PermissionDenied):
            kernel.call("echo", 7, token=token(kernel, "bob"))
    with pytest.raises(ValueError, match=r"\[security\]"):
        Kernel(manifest=manifest, security={"authorise": False})
    manifest.write_text("data_dir = ':memory:'\n[security.tokens]\naccess = '5s'\n")
    with pytest.raises(sutazai.ConfigError) as caught:
        Kernel(manifest=manifest)
    assert caught.value.location is not None and caught.value.location.line == 3
    manifest.write_text("data_dir = ':memory:'\n")
    with Kernel(manifest=manifest, security={"authorise": True, "trust_inside": False}) as kernel:
        kernel.add_echo_agent()
        with pytest.raises(sutazai.PermissionDenied):
            kernel.call("echo", 7)


def test_policies_that_were_set_decide_again_unless_it_says_no(tmp_path: Path) -> None:
    with Kernel(tmp_path / "data") as kernel:
        kernel.security.policies.set(ANN, by="test")
    for restore in (True, False):
        with Kernel(tmp_path / "data", security={"restore_policies": restore}) as kernel:
            ids = [policy["id"] for policy in kernel.security.policies.get()["policies"]]
            assert ids == (["policy0"] if restore else [])


def test_who_else_says_who_somebody_is() -> None:
    options: SecurityOptions = {
        "webauthn": {"rp_id": "example.org", "origins": ["https://login.example.org"]},
        "oidc": [{"issuer": "https://id.example", "client": "c-1", "algorithm": "ES256"}],
    }
    with Kernel(security=options) as kernel:
        asked = kernel.security.passkeys.register("ann")["options"]["publicKey"]
        assert asked["rp"]["id"] == "example.org"
        assert kernel.security.oidc.challenge("https://id.example")["client"] == "c-1"


DEFINED: dict[str, Any] = {
    "PasswordPolicy": sutazai.PasswordPolicy,
    "TotpPolicy": sutazai.TotpPolicy,
    "LoginPolicy": sutazai.LoginPolicy,
    "ThrottlePolicy": sutazai.ThrottlePolicy,
    "WebauthnPolicy": sutazai.WebauthnPolicy,
    "OidcIssuer": sutazai.OidcIssuer,
    "TokenSpec": sutazai.TokenOptions,
    "RefreshSpec": sutazai.RefreshOptions,
    "RiskPolicy": sutazai.RiskPolicy,
    "SignalPolicy": sutazai.RiskSignalPolicy,
    "AuditSpec": sutazai.AuditOptions,
}


def test_the_types_have_what_the_schema_has(kernel: Kernel) -> None:
    """In the manifest's schema, where durations stand under their names without the unit."""
    schema = kernel.invoke("config.schema")
    whole = schema.get("schema", schema)

    def keys(typed: Any) -> set[str]:
        return {key.removesuffix("_ms") for key in get_type_hints(typed)}

    assert keys(SecurityOptions) == set(whole["properties"]["security"]["properties"])
    for name, typed in DEFINED.items():
        assert keys(typed) == set(whole["$defs"][f"security.{name}"]["properties"]), name


def test_the_words_of_the_types_are_those_of_the_kernel() -> None:
    def words(typed: Any, key: str) -> list[str]:
        [name, _] = get_args(get_type_hints(typed)[key])
        return list(get_args(name))

    signals = words(sutazai.RiskPolicy, "signals")
    classes = words(sutazai.AuditOptions, "durability")
    assert (len(signals), len(classes)) == (8, 9)
    options: Any = {
        "risk": {"signals": {name: {"weight": 0.5, "half_life_ms": 1} for name in signals}},
        "audit": {"durability": {name: "process" for name in classes}},
    }
    with Kernel(security=options) as kernel:
        assert kernel.invoke("security.status")["authorise"] is False
