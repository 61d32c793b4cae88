"""Passkeys and security keys: authenticators that sign a challenge (W3C Web Authentication)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai._security_calls import Part
from sutazai._security_options import WebauthnPolicy

__all__ = [
    "Passkey",
    "PasskeyChallenge",
    "PasskeyDone",
    "PasskeyKind",
    "PasskeyRefused",
    "PasskeyRequest",
    "PasskeyStep",
    "Passkeys",
]

PasskeyKind = Literal["passkey", "security_key"]
"""What an authenticator is registered as: a passkey verifies its user and is enough alone, a security key is a second
factor only."""


class Passkey(TypedDict):
    """What is known of an authenticator."""

    id: str
    """By what it is named here: of its credential's identifier, a hash."""
    label: str
    """What its owner calls it."""
    kind: PasskeyKind
    counter: int
    """How often it has signed, as it says; 0 where it does not count."""
    transports: list[str]
    """How it can be reached, as it says: `usb`, `nfc`, `ble`, `internal`, `hybrid`, …."""
    backup_eligible: bool
    """Whether it may be on several devices."""
    backed_up: bool
    """Whether it is."""
    added: str
    """When it was registered: RFC 3339, as all times are."""
    used: NotRequired[str]
    """When it was last used."""


class PasskeyRequest(TypedDict):
    """What the browser is asked for, so that somebody gets a new credential."""

    options: dict[str, Any]
    """For `navigator.credentials.create`: its `publicKey` is what `PublicKeyCredential.parseCreationOptionsFromJSON`
    reads."""
    ends: str
    """When it is over."""


class PasskeyChallenge(TypedDict):
    """What the browser is asked for, so that somebody logs in with a passkey."""

    id: str
    """The challenge; the answer says that it is of this one."""
    options: dict[str, Any]
    """For `navigator.credentials.get`: its `publicKey` is what `PublicKeyCredential.parseRequestOptionsFromJSON`
    reads."""
    ends: str
    """When it is over."""


class PasskeyDone(TypedDict):
    """A registration is done: the authenticator is kept, and counts."""

    step: Literal["done"]
    passkey: Passkey


class PasskeyRefused(TypedDict):
    """What the browser answered does not hold."""

    step: Literal["refused"]
    why: str


PasskeyStep = PasskeyDone | PasskeyRefused
"""What came of a registration: `step` says which of them it is."""


class Passkeys(Part):
    """Passkeys and security keys: `kernel.security.passkeys`. The program shows the browser the options, and brings
    what it answered (`PublicKeyCredential.toJSON()`): to `finish` for a registration; for a login, as JSON, as the
    secret of `kernel.security.login("passkey", …)`. As a second factor the scheme is `webauthn`, and the options come
    with its offer, as the parameter `options`.

    Until there is a policy, by `set` or by `webauthn` of the security options, nobody can register or log in.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     passkeys = kernel.security.passkeys
    ...     policy: sutazai.WebauthnPolicy = {
    ...         "rp_id": "example.org", "origins": ["https://login.example.org"]
    ...     }
    ...     passkeys.set(policy, by="me")
    ...     asked = passkeys.register("ann", label="phone")["options"]["publicKey"]
    >>> asked["rp"]["id"], asked["user"]["name"]
    ('example.org', 'ann')
    """

    def set(self, policy: WebauthnPolicy | None, *, by: str) -> None:
        """Says for which relying party authenticators sign, until the process ends; with None, for none: nobody can
        register or log in with one then. What is registered stays."""
        self._do("webauthn_set", policy=policy, by=by)

    def register(
        self,
        principal: str,
        *,
        label: str = "",
        display: str = "",
        kind: PasskeyKind = "passkey",
    ) -> PasskeyRequest:
        """Options for the browser, so that somebody gets a passkey or registers a security key. `label` is what it is
        called, to tell it from others; `display` is what people are shown for the principal's name."""
        answer = self._do(
            "passkey_register", principal=principal, label=label, display=display, kind=kind
        )
        return cast(PasskeyRequest, answer)

    def finish(self, principal: str, credential: Mapping[str, Any]) -> PasskeyStep:
        """Finishes a registration with what the browser answered; a challenge is good once, whatever comes of it."""
        answer = self._do("passkey_finish", principal=principal, credential=dict(credential))
        return cast(PasskeyStep, answer)

    def challenge(
        self, principal: str | None = None, *, origin: str | None = None
    ) -> PasskeyChallenge:
        """Options for the browser, so that somebody logs in with a passkey: in a name, or whoever comes. A name that
        nobody has is asked as any other. `origin` says where they are: of too many challenges, those of whoever asks
        for the most go first."""
        return cast(PasskeyChallenge, self._do("passkey_challenge", principal=principal, origin=origin))

    def list(self, principal: str) -> _Passkeys:
        """Somebody's passkeys and security keys, in the order in which they came."""
        return cast(_Passkeys, self._do("passkeys", principal=principal)["passkeys"])

    def rename(self, principal: str, id: str, label: str) -> bool:
        """Calls one of somebody's passkeys or security keys something else; says whether they have it."""
        answer = self._do("passkey_rename", principal=principal, id=id, label=label)
        return bool(answer["renamed"])

    def remove(self, principal: str, id: str) -> bool:
        """Takes one of somebody's passkeys or security keys away; says whether they had it."""
        return bool(self._do("passkey_remove", principal=principal, id=id)["removed"])


# Within the class `list` is its method.
_Passkeys = list[Passkey]
