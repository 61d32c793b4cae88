"""Security from Python: logins, keys, policies, delegation, the audit log, and that nothing is left out."""

from __future__ import annotations

import asyncio
import base64
import hmac
import inspect
import json
import re
import struct
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sutazai
from sutazai import Kernel
from sutazai import (
    _security,
    _security_accounts,
    _security_audit,
    _security_delegate,
    _security_keys,
    _security_passkeys,
    _security_policies,
)

PARTS = [
    _security,
    _security_accounts,
    _security_audit,
    _security_delegate,
    _security_keys,
    _security_passkeys,
    _security_policies,
]
PASSWORD = "correct horse battery"
ANN, BOB = 'User::"ann"', 'User::"bob"'
CALL, ECHO = 'Action::"call"', 'Skill::"echo"'


def code_of(secret: str, at: float) -> str:
    """The code that an authenticator shows (RFC 6238, SHA-1, six digits, 30 seconds)."""
    counter = struct.pack(">Q", int(at) // 30)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4]) & 0x7FFFFFFF) % 10**6:06d}"


def test_every_operation_has_a_method(kernel: Kernel) -> None:
    names = set(kernel.invoke("kernel.operations")["operations"])
    wanted = {name.removeprefix("security.") for name in names if name.startswith("security.")}
    used: set[str] = set()
    for part in PARTS:
        used |= set(re.findall(r'self\._(?:a?do|file)\(\s*"(\w+)"', inspect.getsource(part)))
    assert used == wanted


# ---- who somebody is ----


def test_a_login_of_two_factors(kernel: Kernel) -> None:
    security = kernel.security
    security.password_set("ann", PASSWORD)
    # Enrolled with a code of the step before, so that the login's is not one that was used.
    secret = security.totp_enrol("ann")["secret"]
    security.totp_confirm("ann", code_of(secret, time.time() - 30))
    step = security.login("password", PASSWORD, principal="ann", origin="192.0.2.7")
    assert step["step"] == "next"
    assert "totp" in {offer["scheme"] for offer in step["offers"]}
    done = security.login_answer(step["login"], "totp", code_of(secret, time.time()))
    assert done["step"] == "done" and done["principal"] == "ann"
    assert security.token_verify(done["access"])["principal"] == "ann"
    again = security.token_refresh(done["refresh"])
    with pytest.raises(sutazai.SecurityError) as reused:
        security.token_refresh(done["refresh"])
    assert reused.value.name == "security.refresh_reused"
    with pytest.raises(sutazai.SecurityError):
        security.token_verify(again["access"])
    assert security.devices("ann") == 1 and security.devices_forget("ann") == 1
    assert security.totp_remove("ann") and security.password_remove("ann")
    assert security.login("password", PASSWORD, principal="ann")["step"] == "refused"
    assert security.risk("ann")["score"] > 0
    assert security.status()["logins"]["under_way"] == 0


def test_logins_are_awaited() -> None:
    async def main(kernel: Kernel) -> str:
        security = kernel.security
        await asyncio.to_thread(security.password_set, "ann", PASSWORD)
        step = await security.alogin("password", PASSWORD, principal="ann")
        assert step["step"] == "done"
        fresh = await security.atoken_refresh(step["refresh"])
        with pytest.raises(sutazai.SecurityError):
            await security.alogin_answer("nonsense", "totp", "1")
        return (await security.atoken_verify(fresh["access"]))["principal"]

    with Kernel() as kernel:
        assert asyncio.run(main(kernel)) == "ann"


def test_other_factors(kernel: Kernel) -> None:
    security = kernel.security
    codes = security.recovery_make("ann")
    assert security.recovery_left("ann") == len(codes) == 10
    key = security.api_key_make("ci", label="build", scopes=["echo"], lasts=timedelta(hours=1))
    assert [one["id"] for one in security.api_keys("ci")] == [key["id"]]
    assert security.api_key_revoke(key["id"])
    ends = datetime.now(timezone.utc) + timedelta(days=1)
    known = security.certificate_add("ann", certificate=b"0\x82not checked here", ends=ends)
    [listed] = security.certificates("ann")
    assert listed["fingerprint"] == known
    assert datetime.fromisoformat(listed["ends"]) == ends
    assert security.login("certificate", known)["step"] == "done"
    assert security.certificate_remove(known) and security.certificates() == []


def test_tokens_that_the_program_vouches_for(kernel: Kernel) -> None:
    security = kernel.security
    tokens = security.token_issue("ann", attributes={"team": "a"}, by="ops")
    assert security.token_verify(tokens["access"])["attributes"]["team"] == "a"
    security.token_revoke(principal="ann", by="ops")
    with pytest.raises(sutazai.SecurityError):
        security.token_verify(tokens["access"])
    assert security.risk_raise("ann", "threat", 0.5)["signals"][0]["signal"] == "threat"


# ---- keys ----


def test_keys_rotate_and_ciphertexts_follow(kernel: Kernel, tmp_path: Path) -> None:
    keysets = kernel.security.keysets
    first = keysets.create("notes", "encrypt", schedule={"active_s": None}, by="me")["key"]
    sealed = keysets.encrypt("notes", b"\x00buy milk", context="7")
    keysets.rotate("notes", by="me")
    assert keysets.decrypt("notes", sealed, context="7") == b"\x00buy milk"
    again = keysets.rewrap("notes", sealed, context="7")
    assert again is not None and keysets.rewrap("notes", again, context="7") is None
    keysets.destroy("notes", first, by="me")
    with pytest.raises(sutazai.SecurityError) as gone:
        keysets.decrypt("notes", sealed, context="7")
    assert gone.value.name == "security.key_state"
    assert [key["state"] for key in keysets.get("notes")["keys"]] == ["destroyed", "active"]

    plain, wrapped, back = (tmp_path / name for name in ("plain", "wrapped", "back"))
    plain.write_bytes(b"line\n" * 100_000)
    assert keysets.encrypt_file("notes", plain, wrapped, context="f") == 500_000
    assert b"line" not in wrapped.read_bytes()
    with pytest.raises(sutazai.SecurityError):
        keysets.decrypt_file("notes", wrapped, back, context="g")
    assert not back.exists()
    assert keysets.decrypt_file("notes", wrapped, back, context="f") == 500_000
    assert back.read_bytes() == plain.read_bytes()
    with pytest.raises(sutazai.AlreadyExists):
        keysets.encrypt_file("notes", plain, back)
    keysets.encrypt_file("notes", plain, back, replace=True)
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "wrapped", "back"}


def test_what_signs_does_not_encrypt(kernel: Kernel) -> None:
    keysets = kernel.security.keysets
    keysets.create("seal", "sign", by="me")
    with pytest.raises(sutazai.SecurityError) as wrong:
        keysets.encrypt("seal", b"x")
    assert wrong.value.name == "security.key_purpose"
    signature = keysets.sign("seal", b"m", context="mail")
    keysets.stage("seal", starts="2100-01-01T00:00:00Z", by="me")
    assert [key["state"] for key in keysets.public_keys("seal")] == ["active", "pre-active"]
    keysets.promote("seal", by="me")
    assert keysets.verify("seal", b"m", signature, context="mail")
    assert not keysets.verify("seal", b"n", signature, context="mail")
    keysets.create("tags", "mac", by="me")
    assert keysets.mac_verify("tags", b"m", keysets.mac("tags", b"m"))


def test_a_keyset_travels(kernel: Kernel) -> None:
    mine, other = kernel.security.keysets, Kernel()
    mine.create("notes", "encrypt", by="me")
    sealed = mine.encrypt("notes", b"hello")
    with other:
        theirs = other.security.keysets
        theirs.create("box", "wrap", algorithm="hpke-x25519", by="them")
        assert theirs.unwrap("box", theirs.wrap("box", b"secret")) == b"secret"
        [public] = theirs.public_keys("box")
        export = json.loads(json.dumps(mine.export("notes", recipient=public["public"], by="me")))
        theirs.import_(export, recipient="box", by="them")
        assert theirs.decrypt("notes", sealed) == b"hello"
        assert "notes" in {info["name"] for info in theirs.list()}
        theirs.remove("notes", by="them")


def test_the_kernels_own_keysets_are_nobody_elses(kernel: Kernel) -> None:
    keysets = kernel.security.keysets
    own = [info["name"] for info in keysets.list() if info["name"].startswith("sutazai.")]
    assert "sutazai.secrets" in own
    for name in own:
        for use in (
            lambda name: keysets.encrypt(name, b"x"),
            lambda name: keysets.remove(name, by="me"),
            lambda name: keysets.export(name, passphrase="x", by="me"),
            lambda name: keysets.destroy(name, "0" * 16, by="me"),
        ):
            with pytest.raises(sutazai.PermissionDenied):
                use(name)
    keysets.rotate("sutazai.tokens", by="me")


def test_bytes_are_bytes(kernel: Kernel) -> None:
    with pytest.raises(TypeError, match="bytes are wanted, not str"):
        kernel.security.keysets.encrypt("notes", "text")  # type: ignore[arg-type]


# ---- what they may do ----


def test_policies_outlive_the_kernel(tmp_path: Path) -> None:
    roles: list[sutazai.Role] = [
        {"name": "caller", "permits": [{"actions": [CALL], "on": {"type": "Skill"}}]}
    ]
    with Kernel(tmp_path / "data") as kernel:
        policies = kernel.security.policies
        policies.set(f"permit (principal == {ANN}, action, resource);", authorise=True, by="ops")
        policies.set_roles(roles, [{"principal": BOB, "role": "caller"}], by="ops")
        generation = policies.set_entities(
            [{"uid": {"type": "User", "id": "eve"}, "attrs": {}, "parents": []}], by="ops"
        )["generation"]
    with Kernel(tmp_path / "data") as kernel:
        policies = kernel.security.policies
        view = policies.get()
        assert view["authorise"] and view["generation"] == generation
        assert policies.roles()["assignments"] == [{"principal": BOB, "role": "caller"}]
        allowed = {
            who: policies.decide(who, CALL, ECHO)["allowed"] for who in (ANN, BOB, 'User::"eve"')
        }
        assert allowed == {ANN: True, BOB: True, 'User::"eve"': False}


def test_a_candidate_is_judged_and_let_decide(kernel: Kernel) -> None:
    policies = kernel.security.policies
    policies.set(f"permit (principal == {ANN}, action, resource);", by="ops")
    with pytest.raises(sutazai.NotFound):
        policies.shadow()
    policies.set_shadow(f"permit (principal == {BOB}, action, resource);", by="ops")
    assert not policies.decide(BOB, CALL, ECHO)["allowed"]
    assert policies.shadow()["would_allow"] == 1
    policies.promote_shadow(by="ops")
    assert policies.decide(BOB, CALL, ECHO)["allowed"]
    assert not policies.drop_shadow(by="ops")


def test_questions_about_policies(kernel: Kernel) -> None:
    policies = kernel.security.policies
    assert policies.check("permit (principal, action, resource);")["policies"][0]["id"] == "policy0"
    with pytest.raises(sutazai.SecurityError):
        policies.check("permit")
    policies.set(
        f"permit (principal == {ANN}, action == {CALL}, resource) when {{ context.level > 3 }};",
        by="ops",
    )
    near = policies.explain(ANN, CALL, ECHO, context={"level": 2})["near"]
    assert near[0]["missed"][0]["part"] == "when"
    assert asyncio.run(policies.adecide(ANN, CALL, ECHO, context={"level": 4}))["allowed"]
    page = policies.what_may(ANN, resources=[ECHO], context={"level": 4})
    assert page["found"] == [{"action": CALL, "resource": ECHO}] and "next" not in page
    who = policies.who_may(CALL, ECHO, principals=[ANN, BOB], context={"level": 4})
    assert who["found"] == [ANN]
    case: sutazai.PolicyCase = {
        "name": "bob may not",
        "principal": BOB,
        "action": CALL,
        "resource": ECHO,
        "expect": "deny",
    }
    assert policies.test([case])["passed"] == 1
    policies.set_schema(None, by="ops")


def test_a_call_waits_for_approval(kernel: Kernel) -> None:
    kernel.agent(name="echo", skills=["echo"])(lambda text: text)
    kernel.security.policies.set(
        '@approval("ops") permit (principal, action, resource);', authorise=True, by="me"
    )
    tokens = kernel.security.token_issue("ann", by="me")
    for number in range(2):
        ticket = kernel.begin("agent.call", skill="echo", input=number, token=tokens["access"])
        [waiting] = until(kernel.security.approvals)
        assert waiting["principal"] == "ann" and waiting["input"] == number
        if number == 0:
            kernel.security.approve(waiting["call"], by="ops")
            assert ticket.wait()["output"] == 0
        else:
            kernel.security.reject(waiting["call"], by="ops", why="no")
            with pytest.raises(sutazai.NotApproved):
                ticket.wait()


def until(look: Any) -> Any:
    """What it gives as soon as that is something."""
    end = time.monotonic() + 30
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.001)
    return found


# ---- delegation ----


def test_an_agent_acts_for_somebody(kernel: Kernel) -> None:
    delegations = kernel.security.delegations
    access = kernel.security.token_issue("ann", by="ops")["access"]
    handed = delegations.mint(
        access,
        lasts=600,
        to={
            "agent": "mailer",
            "skills": ["mail.send"],
            "arguments": {"count": {"range": {"least": 1, "most": 3}}},
        },
    )["token"]
    further = delegations.attenuate(handed, {"agent": "clerk", "depth": 0})
    held = delegations.verify(further, skill="mail.send", arguments={"count": 2})
    assert (held["principal"], held["actors"]) == ("ann", ["mailer", "clerk"])
    with pytest.raises(sutazai.SecurityError) as denied:
        delegations.verify(further, skill="mail.send", arguments={"count": 4})
    assert denied.value.name == "security.delegation_denied"
    delegations.revoke(handed, by="ops")
    with pytest.raises(sutazai.SecurityError) as revoked:
        delegations.verify(further)
    assert revoked.value.name == "security.token_revoked"
    assert delegations.vouch("bob", scopes=["mail.*"], lasts=60, by="ops")["token"]


# ---- the audit log ----


def test_the_record_is_proved_and_exported(tmp_path: Path) -> None:
    with Kernel(tmp_path / "data") as kernel:
        audit = kernel.security.audit
        index = audit.record(
            "configuration", "site.opened", "ann", details={"a": "b"}, personal={"ip": "192.0.2.7"}
        )
        assert audit.query(action="site.opened", kind="configuration")["records"][0]["index"] == index
        kept = audit.checkpoint()
        proved = audit.check(audit.prove(index), key=kept["key"])
        assert proved["record"]["action"] == "site.opened"
        report = audit.verify(kept["note"])
        assert report["findings"] == [] and report["continues"] == kept["records"]
        assert audit.personal(index, by="ops").get("personal") == {"ip": "192.0.2.7"}
        assert audit.erase("ann", by="ops")
        assert audit.personal(index, by="ops") == {"subject": "ann"}
        [line] = audit.export(first=index, limit=1)["lines"]
        assert json.loads(line)["details"] == {"a": "b"}
        assert audit.export(format="cef", first=index, limit=1)["lines"][0].startswith("CEF:0|")
        written = audit.export_file(tmp_path / "log.jsonl")
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert written == {"records": len(lines), "next": len(lines)}
        audit.set_durability("action", "fsync", by="ops")
        assert audit.durability()["action"] == "fsync"


def test_the_store_keeps_the_records_of_security_to_itself(kernel: Kernel) -> None:
    kernel.security.password_set("ann", PASSWORD)
    for operation in ("get", "delete"):
        with pytest.raises(sutazai.PermissionDenied):
            kernel.invoke(f"store.{operation}", namespace="security.password", key="ann")
    with pytest.raises(sutazai.PermissionDenied):
        kernel.invoke("store.list", namespace="security.password")
