"""Accounts from Python: who is disabled, passkeys and security keys, and who somebody is elsewhere.

An authenticator and an issuer of ID tokens are played here, both with the RSA key of the core's tests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sutazai
from sutazai import Kernel

PASSWORD = "correct horse battery"
POLICY: sutazai.WebauthnPolicy = {"rp_id": "example.org", "origins": ["https://login.example.org"]}
ID = "https://id.example"
KEY = Path(__file__).parents[2] / "sutazai-core/src/security/token/jwt/rsa-2048-test.der"
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


def coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


# ---- an RSA key ----


def parts(der: bytes) -> list[bytes]:
    """The contents of the values that stand one after another (DER)."""
    found: list[bytes] = []
    while der:
        size, at = der[1], 2
        if size > 127:
            at += size - 128
            size = int.from_bytes(der[2:at])
        found.append(der[at : at + size])
        der = der[at + size :]
    return found


class Rsa:
    """A private key: PKCS #8 that holds PKCS #1."""

    def __init__(self) -> None:
        [outer] = parts(KEY.read_bytes())
        [inner] = parts(parts(outer)[2])
        self.n, self.e, self.d = (int.from_bytes(number) for number in parts(inner)[1:4])

    def sign(self, message: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017)."""
        digest = SHA256 + hashlib.sha256(message).digest()
        padded = b"\0\1" + b"\xff" * (253 - len(digest)) + b"\0" + digest
        return pow(int.from_bytes(padded), self.d, self.n).to_bytes(256)

    def jwks(self, kid: str) -> str:
        n, e = coded(self.n.to_bytes(256)), coded(self.e.to_bytes(3))
        return json.dumps({"keys": [{"kty": "RSA", "kid": kid, "alg": "RS256", "n": n, "e": e}]})

    def token(self, kid: str, claims: Mapping[str, Any]) -> str:
        header = {"alg": "RS256", "typ": "JWT", "kid": kid}
        text = ".".join(coded(json.dumps(part).encode()) for part in (header, claims))
        return f"{text}.{coded(self.sign(text.encode()))}"


# ---- an authenticator in a browser ----


def cbor(value: Any) -> bytes:
    """A value in CBOR (RFC 8949), as far as authenticators need it."""

    def head(major: int, number: int) -> bytes:
        if number < 24:
            return bytes([major << 5 | number])
        size = 1 if number < 256 else 2
        return bytes([major << 5 | 23 + size]) + number.to_bytes(size)

    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    pairs = (cbor(key) + cbor(one) for key, one in value.items())
    return head(5, len(value)) + b"".join(pairs)


class Device:
    """A browser with an authenticator that has one credential, counts, and verifies its user."""

    def __init__(self) -> None:
        self.key = Rsa()
        self.id = secrets.token_bytes(32)
        self.user = ""
        self.counter = 0
        self.origin = POLICY["origins"][0]

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`navigator.credentials.create`."""
        asked = options["publicKey"]
        assert -257 in {one["alg"] for one in asked["pubKeyCredParams"]}
        self.user = asked["user"]["id"]
        key = {1: 3, 3: -257, -1: self.key.n.to_bytes(256), -2: self.key.e.to_bytes(3)}
        shown = bytes(16) + len(self.id).to_bytes(2) + self.id + cbor(key)
        data = self.data(asked["rp"]["id"], 0x45) + shown
        return self.answer(
            attestationObject=coded(cbor({"fmt": "none", "attStmt": {}, "authData": data})),
            clientDataJSON=coded(self.client("webauthn.create", asked["challenge"])),
            transports=["internal"],
        )

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`navigator.credentials.get`."""
        asked = options["publicKey"]
        data = self.data(asked["rpId"], 0x05)
        client = self.client("webauthn.get", asked["challenge"])
        return self.answer(
            authenticatorData=coded(data),
            clientDataJSON=coded(client),
            signature=coded(self.key.sign(data + hashlib.sha256(client).digest())),
            userHandle=self.user,
        )

    def data(self, rp: str, flags: int) -> bytes:
        self.counter += 1
        return hashlib.sha256(rp.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4)

    def client(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(told).encode()

    def answer(self, **response: Any) -> dict[str, Any]:
        name = coded(self.id)
        whole = {"id": name, "rawId": name, "type": "public-key", "response": response}
        return {**whole, "clientExtensionResults": {}}


def registered(kernel: Kernel, kind: sutazai.PasskeyKind = "passkey") -> Device:
    """ann's, by a policy that is set here."""
    passkeys, device = kernel.security.passkeys, Device()
    passkeys.set(POLICY, by="ops")
    options = passkeys.register("ann", label="phone", kind=kind)["options"]
    done = passkeys.finish("ann", device.create(options))
    assert done["step"] == "done", done
    assert done["passkey"]["label"] == "phone" and done["passkey"]["kind"] == kind
    return device


# ---- who is disabled ----


def test_who_is_disabled_is_let_in_by_nothing(tmp_path: Path) -> None:
    with Kernel(tmp_path / "data") as kernel:
        security = kernel.security
        security.password_set("ann", PASSWORD)
        key = security.api_key_make("ann")["key"]
        step = security.login("password", PASSWORD, principal="ann")
        assert step["step"] == "done"
        handed = security.delegations.mint(step["access"], lasts=600)["token"]
        assert security.principals.disable("ann", "left the firm", by="ops")
        assert not security.principals.disable("ann", "left the firm", by="ops")
        with pytest.raises(sutazai.SecurityError) as revoked:
            security.token_verify(step["access"])
        assert revoked.value.name == "security.token_revoked"
        with pytest.raises(sutazai.SecurityError):
            security.token_refresh(step["refresh"])
        with pytest.raises(sutazai.SecurityError):
            security.delegations.verify(handed)
        with pytest.raises(sutazai.SecurityError) as disabled:
            security.token_issue("ann", by="ops")
        assert disabled.value.name == "security.principal_disabled"
        assert security.login("api-key", key)["step"] == "refused"
    with Kernel(tmp_path / "data") as kernel:
        security = kernel.security
        assert security.login("password", PASSWORD, principal="ann")["step"] == "refused"
        assert security.principals.enable("ann", by="ops")
        assert not security.principals.enable("ann", by="ops")
        assert security.login("api-key", key)["step"] == "done"
        with pytest.raises(sutazai.SecurityError):
            security.token_verify(step["access"])
        done = security.audit.query(action="principal.disable")["records"]
        assert [security.audit.personal(one["index"], by="ops")["personal"] for one in done] == [
            {"reason": "left the firm"}
        ] * len(done)


def test_principals_are_listed_page_by_page(kernel: Kernel) -> None:
    security = kernel.security
    assert security.principals.list() == []
    security.password_set("bob", PASSWORD)
    security.recovery_make("bob")
    security.api_key_make("ann")
    security.oidc.link("cid", ID, "7")
    security.principals.disable("dan", "who is that", by="ops")
    [ann, bob] = security.principals.list(limit=2)
    assert ann == {"principal": "ann", "factors": ["api-key"]}
    assert bob["factors"] == ["password", "recovery"]
    [cid, dan] = security.principals.list(after=bob["principal"])
    assert cid == {"principal": "cid", "factors": ["oidc"]}
    assert dan["factors"] == [] and dan["disabled"]["reason"] == "who is that"
    with pytest.raises(sutazai.Invalid):
        security.principals.disable("ann", "x" * 513, by="ops")
    with pytest.raises(sutazai.Invalid):
        security.principals.enable("", by="ops")


# ---- passkeys and security keys ----


def test_a_passkey_is_enough_alone(kernel: Kernel) -> None:
    security, passkeys = kernel.security, kernel.security.passkeys
    device = registered(kernel)
    for principal in (None, "ann"):
        answer = json.dumps(device.get(passkeys.challenge(principal)["options"]))
        done = security.login("passkey", answer)
        assert done["step"] == "done" and done["principal"] == "ann"
        assert security.login("passkey", answer)["step"] == "refused", "a challenge is good once"
    [listed] = passkeys.list("ann")
    assert listed["counter"] == device.counter == 3 and listed["transports"] == ["internal"]
    assert "used" in listed and not listed["backup_eligible"]
    device.counter = 0
    copied = device.get(passkeys.challenge()["options"])
    assert security.login("passkey", json.dumps(copied))["step"] == "refused"

    assert passkeys.rename("ann", listed["id"], "old phone")
    assert [one["label"] for one in passkeys.list("ann")] == ["old phone"]
    assert not passkeys.rename("bob", listed["id"], "mine")
    assert not passkeys.remove("bob", listed["id"]) and passkeys.remove("ann", listed["id"])
    assert passkeys.list("ann") == []
    device.counter = 10
    gone = device.get(passkeys.challenge()["options"])
    assert security.login("passkey", json.dumps(gone))["step"] == "refused"


def test_a_security_key_is_a_second_factor(kernel: Kernel) -> None:
    security = kernel.security
    device = registered(kernel, "security_key")
    security.password_set("ann", PASSWORD)
    alone = device.get(security.passkeys.challenge()["options"])
    assert security.login("passkey", json.dumps(alone))["step"] == "refused"
    step = security.login("password", PASSWORD, principal="ann")
    assert step["step"] == "next"
    [offer] = [one for one in step["offers"] if one["scheme"] == "webauthn"]
    answer = device.get(json.loads(offer["parameters"]["options"]))
    done = security.login_answer(step["login"], "webauthn", json.dumps(answer))
    assert done["step"] == "done"
    assert security.principals.list()[0]["factors"] == ["password", "webauthn"]


def test_a_registration_holds_or_is_refused(kernel: Kernel) -> None:
    passkeys = kernel.security.passkeys
    device = registered(kernel)
    options = passkeys.register("bob", display="Bob")["options"]
    assert options["publicKey"]["user"]["displayName"] == "Bob"
    device.id, device.origin = secrets.token_bytes(32), "https://example.net"
    for _ in range(2):  # the second time the challenge has been used
        refused = passkeys.finish("bob", device.create(options))
        assert refused["step"] == "refused" and refused["why"]
    device.origin = POLICY["origins"][0]
    other = passkeys.register("ann")["options"]
    assert passkeys.finish("bob", device.create(other))["step"] == "refused"
    assert passkeys.list("bob") == []
    with pytest.raises(sutazai.Invalid):
        passkeys.finish("bob", {"id": 7})


def test_without_a_relying_party_there_are_none(kernel: Kernel) -> None:
    passkeys = kernel.security.passkeys
    device = registered(kernel)
    options = passkeys.challenge()["options"]
    with pytest.raises(sutazai.Invalid):
        passkeys.set({**POLICY, "origins": ["https://example.net"]}, by="ops")
    passkeys.set(None, by="ops")
    for ask in (
        lambda: passkeys.register("ann"),
        lambda: passkeys.challenge(),
        lambda: passkeys.finish("ann", device.create({"publicKey": CREATE})),
    ):
        with pytest.raises(sutazai.SecurityError) as off:
            ask()
        assert off.value.name == "security.factor_off"
    answer = json.dumps(device.get(options))
    assert kernel.security.login("passkey", answer)["step"] == "refused"
    assert len(passkeys.list("ann")) == 1


CREATE = {
    "challenge": "AAAA",
    "pubKeyCredParams": [{"alg": -257}],
    "rp": {"id": "example.org"},
    "user": {"id": "AAAA"},
}


# ---- who somebody is elsewhere ----


def issuer(**more: Any) -> sutazai.OidcIssuer:
    whole: Any = {"issuer": ID, "client": "client-1", "algorithm": "RS256", **more}
    named: sutazai.OidcIssuer = whole
    return named


def log_in(kernel: Kernel, **changed: Any) -> sutazai.LoginStep:
    """With what comes back from the issuer, with these claims changed."""
    asked = kernel.security.oidc.challenge(ID)
    now = int(time.time())
    claims = {
        "iss": ID,
        "aud": asked["client"],
        "sub": "ann",
        "nonce": asked["nonce"],
        "iat": now,
        "exp": now + 300,
        **changed,
    }
    answer = {"state": asked["state"], "id_token": Rsa().token("k", claims)}
    return kernel.security.login("oidc", json.dumps(answer))


def test_an_issuer_says_who_somebody_is(kernel: Kernel) -> None:
    oidc = kernel.security.oidc
    assert oidc.set([issuer(attributes={"team": "department"})], by="ops") == 1
    assert log_in(kernel)["step"] == "refused", "none of its keys is known"
    assert oidc.set_keys(ID, Rsa().jwks("k"), by="ops") == 1
    done = log_in(kernel, department="mail")
    assert done["step"] == "done" and done["principal"] == f"{ID}#ann"
    assert done["attributes"]["team"] == "mail"
    assert kernel.security.token_verify(done["access"])["principal"] == f"{ID}#ann"
    for wrong in (
        {"nonce": "another"},
        {"aud": "client-2"},
        {"iss": "https://id.example.net"},
        {"exp": int(time.time()) - 3600},
    ):
        assert log_in(kernel, **wrong)["step"] == "refused", wrong
    kernel.security.principals.disable(f"{ID}#ann", "left the firm", by="ops")
    assert log_in(kernel)["step"] == "refused"


def test_an_account_elsewhere_is_linked(kernel: Kernel) -> None:
    oidc = kernel.security.oidc
    oidc.set([issuer(principal="linked", keys=Rsa().jwks("k"))], by="ops")
    assert log_in(kernel)["step"] == "refused"
    oidc.link("ann", ID, "ann")
    oidc.link("bob", ID, "8")
    with pytest.raises(sutazai.AlreadyExists):
        oidc.link("bob", ID, "ann")
    done = log_in(kernel)
    assert done["step"] == "done" and done["principal"] == "ann"
    [link] = oidc.links("ann")
    assert (link["principal"], link["issuer"], link["subject"]) == ("ann", ID, "ann")
    assert len(oidc.links()) == 2 and len(oidc.links(limit=1)) == 1
    assert oidc.unlink(ID, "ann") and not oidc.unlink(ID, "ann")
    assert log_in(kernel)["step"] == "refused"


def test_a_claim_names_the_principal(kernel: Kernel) -> None:
    named = issuer(principal={"claim": "email"}, keys=Rsa().jwks("k"), max_age_ms=60_000)
    kernel.security.oidc.set([named], by="ops")
    assert kernel.security.oidc.challenge(ID).get("max_age_s") == 60
    mail = {"email": "ann@example.org", "email_verified": True, "auth_time": int(time.time())}
    done = log_in(kernel, **mail)
    assert done["step"] == "done" and done["principal"] == "ann@example.org"
    assert log_in(kernel, **{**mail, "email_verified": False})["step"] == "refused"
    assert log_in(kernel, **{**mail, "auth_time": int(time.time()) - 3600})["step"] == "refused"


def test_issuers_that_nobody_named(kernel: Kernel) -> None:
    oidc = kernel.security.oidc
    for ask in (lambda: oidc.challenge(ID), lambda: oidc.set_keys(ID, Rsa().jwks("k"), by="ops")):
        with pytest.raises(sutazai.SecurityError) as off:
            ask()
        assert off.value.name == "security.factor_off"
    with pytest.raises(sutazai.AlreadyExists):
        oidc.set([issuer(), issuer()], by="ops")
    with pytest.raises(sutazai.SecurityError) as unread:
        oidc.set([issuer(keys="x")], by="ops")
    assert unread.value.name == "security.token_key"
    with pytest.raises(sutazai.Invalid):
        oidc.link("ann", ID, "")
