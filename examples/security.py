"""Who somebody is, what they may do, and proof of what was done. `python examples/security.py`."""

import base64
import hmac
import struct
import tempfile
import time
from pathlib import Path

import sutazai

# Ann may do anything but delete.
POLICIES = """
    permit (principal == User::"ann", action == Action::"call", resource);
    forbid (principal, action, resource == Skill::"delete");
"""


def shown(secret: str, at: float) -> str:
    """The code that an authenticator shows (RFC 6238)."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(at) // 30), "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4], 'big') & 0x7FFFFFFF) % 10**6:06d}"


def log_in(security: sutazai.Security) -> str:
    """With a password and a code that the authenticator shows."""
    security.password_set("ann", "correct horse battery")
    secret = security.totp_enrol("ann")["secret"]
    # Each code is good once: she has confirmed with one, and logs in with the next.
    security.totp_confirm("ann", shown(secret, time.time() - 30))
    step = security.login("password", "correct horse battery", principal="ann")
    assert step["step"] == "next"
    print(f"password: next, one of {[offer['scheme'] for offer in step['offers']]}")
    done = security.login_answer(step["login"], "totp", shown(secret, time.time()))
    assert done["step"] == "done"
    print(f"totp: done, {done['principal']}")
    return done["access"]


def call(who: str, kernel: sutazai.Kernel, token: str, skill: str) -> None:
    try:
        print(f"{who}: {kernel.call(skill, 'the plan', token=token)}")
    except sutazai.SutazaiError as error:
        print(f"{who}: {error.name}")


def keys(keysets: sutazai.Keysets) -> None:
    """A fresh key takes over, and what the one before has made can still be opened."""
    keysets.create("notes", "encrypt", by="ops")
    sealed = keysets.encrypt("notes", b"buy milk", context="note 7")
    keysets.rotate("notes", by="ops")
    plain = keysets.decrypt("notes", sealed, context="note 7")
    print(f"rotated: decrypted {plain!r}, {len(keysets.get('notes')['keys'])} keys")


def proof(audit: sutazai.Audit) -> None:
    """That she was denied is in the log, which whoever has its public key can check."""
    found = audit.query(principal="ann", object="delete", outcome="denied")["records"][0]
    evidence = audit.prove(found["index"])  # to keep, or to send
    kept = audit.checkpoint()
    record = audit.check(evidence, key=kept["key"])["record"]
    print(f"proved: {record['principal']}'s deletion was {record['outcome']}")
    print(f"verified: {len(audit.verify(kept['note'])['findings'])} findings")


with tempfile.TemporaryDirectory() as folder, sutazai.Kernel(Path(folder) / "data") as kernel:
    for name in ("read", "mail", "delete"):
        kernel.agent(name=name)(lambda text, name=name: f"{name} {text}")
    kernel.security.policies.set(POLICIES, authorise=True, by="ops")
    access = log_in(kernel.security)
    call("ann reads", kernel, access, "read")
    call("ann deletes", kernel, access, "delete")
    # The agent that acts for her gets less than she has, and can give nothing back.
    handed = kernel.security.delegations.mint(
        access, lasts=60, to={"agent": "clerk", "skills": ["read"]}
    )["token"]
    call("the clerk reads", kernel, handed, "read")
    call("the clerk mails", kernel, handed, "mail")
    keys(kernel.security.keysets)
    proof(kernel.security.audit)
