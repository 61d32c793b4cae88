"""Keys of the program's own: keysets, and what their keys do."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai._security_calls import Part, at, coded, decoded

__all__ = [
    "ExportCost",
    "KeyEvent",
    "KeyInfo",
    "KeyPurpose",
    "KeySchedule",
    "KeyState",
    "KeysetExport",
    "KeysetInfo",
    "Keysets",
    "PublicKey",
]

KeyPurpose = Literal["encrypt", "sign", "mac", "derive", "wrap"]
"""The one thing that the keys of a keyset are for."""

KeyState = Literal["pre-active", "active", "decrypt-only", "destroyed"]
"""Where a key is in its life."""


class KeySchedule(TypedDict, total=False):
    """When keys of a keyset come and go."""

    lead_s: int
    """How long before it becomes active a key is made. Default: 7 days."""
    active_s: int | None
    """How long a key is active; None until somebody rotates it. Default: 90 days."""
    decrypt_only_s: int | None
    """How long after that it still decrypts and verifies before it is destroyed; None (the default) until somebody
    destroys it."""


class KeyInfo(TypedDict):
    """What may be known of a key."""

    id: str
    """Its number: 16 hexadecimal digits."""
    state: KeyState
    created: str
    starts: NotRequired[str]
    """When a pre-active key is to become active."""
    activated: NotRequired[str]
    retired: NotRequired[str]
    """When another took its place."""
    destroyed: NotRequired[str]


class KeysetInfo(TypedDict):
    """What may be known of a keyset."""

    name: str
    purpose: KeyPurpose
    algorithm: str
    schedule: KeySchedule
    version: int
    """How often it was changed."""
    keys: list[KeyInfo]
    """The oldest first."""
    forgotten: int
    """Destroyed keys that are no longer listed."""
    due: NotRequired[str]
    """When something is due next."""


class KeyEvent(TypedDict):
    """Something that happened to a key or a keyset."""

    change: Literal[
        "created",
        "made",
        "activated",
        "rotated",
        "destroyed",
        "removed",
        "exported",
        "imported",
        "master_changed",
    ]
    keyset: str
    key: NotRequired[str]
    at: str


class ExportCost(TypedDict):
    """What making a key of a passphrase costs, and so one guess (Argon2id)."""

    memory_kib: int
    passes: int
    lanes: int


class KeysetExport(TypedDict):
    """An exported keyset, wrapped. It is plain data, and may be kept as JSON."""

    format: int
    wrapped: dict[str, Any]
    """How it is wrapped."""
    sealed: str


class PublicKey(TypedDict):
    """A public key of a keyset."""

    id: str
    state: KeyState
    public: str
    """In base64."""


class Keysets(Part):
    """The keysets of a program: `kernel.security.keysets`. A keyset has a name, one purpose, and keys that succeed
    one another: one is active, those before it still decrypt and verify. What a key makes is bound to the keyset and to
    a context of yours (a table and row, a file's name), and names its key.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     keysets = kernel.security.keysets
    ...     _ = keysets.create("notes", "encrypt", by="me")
    ...     sealed = keysets.encrypt("notes", b"buy milk", context="note 7")
    ...     _ = keysets.rotate("notes", by="me")
    ...     keysets.decrypt("notes", sealed, context="note 7")
    b'buy milk'
    """

    # ---- keysets ----

    def create(
        self,
        keyset: str,
        purpose: KeyPurpose,
        *,
        algorithm: str | None = None,
        schedule: KeySchedule | None = None,
        by: str,
    ) -> KeyEvent:
        """Makes a keyset with an active key. Names that begin with `sutazai.` are the kernel's own."""
        answer = self._do(
            "keyset_create",
            keyset=keyset,
            purpose=purpose,
            algorithm=algorithm,
            schedule=schedule,
            by=by,
        )
        return cast(KeyEvent, answer)

    def list(self) -> _Keysets:
        """The keysets, the kernel's own among them, by name."""
        return cast(_Keysets, self._do("keysets")["keysets"])

    def get(self, keyset: str) -> KeysetInfo:
        """What may be known of a keyset, but no key itself."""
        return cast(KeysetInfo, self._do("keyset", keyset=keyset))

    def remove(self, keyset: str, *, by: str) -> KeyEvent:
        """Removes a keyset with all its keys: what only they can open is lost."""
        return cast(KeyEvent, self._do("keyset_remove", keyset=keyset, by=by))

    def export(
        self,
        keyset: str,
        *,
        passphrase: str | None = None,
        cost: ExportCost | None = None,
        recipient: str | None = None,
        by: str,
    ) -> KeysetExport:
        """Exports a keyset, wrapped under a passphrase, or to the public key of a recipient (`public_keys`)."""
        answer = self._do(
            "keyset_export",
            keyset=keyset,
            passphrase=passphrase,
            cost=cost,
            recipient=recipient,
            by=by,
        )
        return cast(KeysetExport, answer["export"])

    def import_(
        self,
        export: KeysetExport,
        *,
        passphrase: str | None = None,
        recipient: str | None = None,
        by: str,
    ) -> KeyEvent:
        """Imports a keyset that was exported, under the name that it had; `recipient` is the keyset of ours whose
        public key it is wrapped to."""
        answer = self._do(
            "keyset_import", export=export, passphrase=passphrase, recipient=recipient, by=by
        )
        return cast(KeyEvent, answer)

    # ---- the life of keys ----

    def rotate(self, keyset: str, *, by: str) -> KeyEvent:
        """A fresh key takes over at once."""
        return cast(KeyEvent, self._do("key_rotate", keyset=keyset, by=by))

    def stage(
        self, keyset: str, *, starts: datetime | str | None = None, by: str
    ) -> KeyEvent:
        """Makes the next key before it is needed, so that its public half can be handed out. It takes over at
        `starts`, or when it is promoted."""
        answer = self._do("key_stage", keyset=keyset, starts=at(starts), by=by)
        return cast(KeyEvent, answer)

    def promote(self, keyset: str, *, by: str) -> KeyEvent:
        """Lets the next key take over at once."""
        return cast(KeyEvent, self._do("key_promote", keyset=keyset, by=by))

    def destroy(self, keyset: str, key: str, *, by: str) -> KeyEvent:
        """Destroys a key that is not active: what only it can open is lost."""
        return cast(KeyEvent, self._do("key_destroy", keyset=keyset, key=key, by=by))

    def public_keys(self, keyset: str) -> _Publics:
        """The public keys of a keyset that signs, or the active one of a recipient."""
        return cast(_Publics, self._do("key_public", keyset=keyset)["keys"])

    # ---- what they do ----

    def encrypt(self, keyset: str, plain: bytes, *, context: str = "") -> bytes:
        """Encrypts with the active key."""
        answer = self._do("key_encrypt", keyset=keyset, context=context, plain=coded(plain))
        return decoded(answer["sealed"])

    def decrypt(self, keyset: str, sealed: bytes, *, context: str = "") -> bytes:
        """Decrypts with the key that encrypted."""
        answer = self._do("key_decrypt", keyset=keyset, context=context, sealed=coded(sealed))
        return decoded(answer["plain"])

    def rewrap(self, keyset: str, sealed: bytes, *, context: str = "") -> bytes | None:
        """The same under the active key; None when it is already."""
        answer = self._do("key_rewrap", keyset=keyset, context=context, sealed=coded(sealed))
        return decoded(answer["sealed"]) if answer["changed"] else None

    def encrypt_file(
        self,
        keyset: str,
        from_: str | os.PathLike[str],
        to: str | os.PathLike[str],
        *,
        context: str = "",
        replace: bool = False,
    ) -> int:
        """Encrypts a file of any length into another one, which is there as a whole or not at all; gives how many
        bytes of plain text there were."""
        return self._file("key_encrypt_file", keyset, from_, to, context, replace)

    def decrypt_file(
        self,
        keyset: str,
        from_: str | os.PathLike[str],
        to: str | os.PathLike[str],
        *,
        context: str = "",
        replace: bool = False,
    ) -> int:
        """Decrypts a file into another one, which is there only if all of it is authentic."""
        return self._file("key_decrypt_file", keyset, from_, to, context, replace)

    def sign(self, keyset: str, message: bytes, *, context: str = "") -> bytes:
        """Signs with the active key, so that others can verify."""
        answer = self._do("key_sign", keyset=keyset, context=context, message=coded(message))
        return decoded(answer["signature"])

    def verify(
        self, keyset: str, message: bytes, signature: bytes, *, context: str = ""
    ) -> bool:
        """Whether a signature is one of the keyset's, of this message and context."""
        answer = self._do(
            "key_verify",
            keyset=keyset,
            context=context,
            message=coded(message),
            signature=coded(signature),
        )
        return bool(answer["valid"])

    def mac(self, keyset: str, message: bytes, *, context: str = "") -> bytes:
        """Makes a tag that only who has the keyset can make and check."""
        answer = self._do("key_mac", keyset=keyset, context=context, message=coded(message))
        return decoded(answer["tag"])

    def mac_verify(self, keyset: str, message: bytes, tag: bytes, *, context: str = "") -> bool:
        """Whether a tag is one of the keyset's, of this message and context."""
        answer = self._do(
            "key_mac_verify",
            keyset=keyset,
            context=context,
            message=coded(message),
            tag=coded(tag),
        )
        return bool(answer["valid"])

    def wrap(self, keyset: str, plain: bytes, *, context: str = "") -> bytes:
        """Wraps a secret under a keyset of the purpose `wrap`, or seals it to the keyset's public key (HPKE)."""
        answer = self._do("key_wrap", keyset=keyset, context=context, plain=coded(plain))
        return decoded(answer["sealed"])

    def unwrap(self, keyset: str, sealed: bytes, *, context: str = "") -> bytes:
        """Unwraps a secret that was wrapped under the keyset, or sealed to it."""
        answer = self._do("key_unwrap", keyset=keyset, context=context, sealed=coded(sealed))
        return decoded(answer["plain"])

    def _file(
        self,
        operation: str,
        keyset: str,
        from_: str | os.PathLike[str],
        to: str | os.PathLike[str],
        context: str,
        replace: bool,
    ) -> int:
        request = {
            "keyset": keyset,
            "context": context,
            "from": os.fspath(from_),
            "to": os.fspath(to),
            "replace": replace,
        }
        return int(self._do(operation, **request)["bytes"])


# Within the class `list` is its method.
_Keysets = list[KeysetInfo]
_Publics = list[PublicKey]
