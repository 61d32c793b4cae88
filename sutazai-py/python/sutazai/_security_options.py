"""How the room security is set up: `Kernel(security=…)`, and `[security]` of a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

__all__ = [
    "AuditOptions",
    "CedarFile",
    "CedarJson",
    "CedarSource",
    "LoginPolicy",
    "MasterEnv",
    "MasterFile",
    "MasterKeyring",
    "MasterPassphraseEnv",
    "OidcClaim",
    "OidcIssuer",
    "PasswordPolicy",
    "RefreshOptions",
    "RiskPolicy",
    "RiskSignalPolicy",
    "SecurityOptions",
    "ThrottlePolicy",
    "TokenOptions",
    "TotpPolicy",
    "WebauthnPolicy",
]


class MasterFile(TypedDict):
    """A master key in a file, which its owner alone may read: 32 bytes, in base64 or in hexadecimal digits."""

    file: str


class MasterEnv(TypedDict):
    """A master key in an environment variable: 32 bytes in base64 or in hexadecimal digits."""

    env: str


class MasterPassphraseEnv(TypedDict):
    """A passphrase in an environment variable."""

    passphrase_env: str


class MasterKeyring(TypedDict):
    """A key in the keyring that the system keeps for the user (Linux), by its description; gone when the machine
    restarts."""

    keyring: str


class CedarSource(TypedDict):
    """Policies or a schema, in Cedar's syntax."""

    cedar: str


class CedarJson(TypedDict):
    """Policies or a schema in Cedar's JSON form; entities or roles."""

    json: Any


class CedarFile(TypedDict):
    """A file, in the JSON form when its name ends in `.json`, else in Cedar's syntax."""

    file: str


class PasswordPolicy(TypedDict, total=False):
    """What passwords have to be, and what hashing one costs."""

    memory_kib: int
    """Memory that hashing one takes. Default 65,536."""
    passes: int
    """Default 3."""
    lanes: int
    """Default 1."""
    at_once: int
    """How many are hashed at once; 0 for as many as there are processors, the default."""
    shortest: int
    """Characters that a new one has, at least. Default 8."""


class TotpPolicy(TypedDict, total=False):
    """How one-time codes are made."""

    issuer: str
    algorithm: Literal["sha1", "sha256", "sha512"]
    digits: int
    """6 to 8."""
    period_s: int
    """Seconds that a code is good for, 15 to 120. Default 30."""
    skew: int
    """Periods that a code may be early or late by, 0 to 4. Default 1."""


class ThrottlePolicy(TypedDict, total=False):
    """How guessing is slowed down: free failures of each kind, then waits that double."""

    device: int
    """From one device that the principal is known by. Default 10."""
    origin: int
    """In one name from one origin. Default 5."""
    sprayed: int
    """From one origin in whoever's name. Default 50."""
    strangers: int
    """In one name from all unknown devices, until these need a second factor. Default 100."""
    second: int
    """At the second factor of one name from all unknown devices. Default 20."""
    wait_ms: int
    longest_ms: int
    forget_ms: int
    buckets: int


class LoginPolicy(TypedDict, total=False):
    """Which factors a login takes, and how much of everything."""

    first: Sequence[str]
    """Schemes that a login may begin with. Default: every one that is no second factor."""
    second: Sequence[str]
    """Schemes that are second factors. Default `totp`, `webauthn`, `recovery`."""
    alone: Sequence[str]
    """Schemes that are two factors in one, or of programs. Default `passkey`, `api-key`, `certificate`."""
    second_factor: Literal["never", "enrolled", "always"]
    """When a second factor is wanted. Default: of everybody who has one."""
    step_up_risk: float
    """From this risk on a second factor is wanted in any case. Default 0.5."""
    refuse_risk: float
    """From this risk on nobody logs in. Default 0.9."""
    lasts_ms: int
    """How long a login may take. Default 10 minutes."""
    tries: int
    """Wrong answers until a login is over. Default 5."""
    at_once: int
    of_one: int
    throttle: ThrottlePolicy


class WebauthnPolicy(TypedDict):
    """For which relying party authenticators sign, and how much of everything."""

    rp_id: str
    """The relying party: the domain that credentials are for. It cannot be changed later without everybody registering
    anew."""
    rp_name: NotRequired[str]
    """What people are shown. Default: the same."""
    origins: Sequence[str]
    """Where people log in, such as `https://login.example.org`: of the domain, or below it; and, for apps, origins of
    other schemes, which are compared as they are."""
    verify_second: NotRequired[bool]
    """Whether a second factor, too, must verify its user, and not only be touched. Default False."""
    challenge_ms: NotRequired[int]
    """How long a challenge is good, 10 s to an hour. Default 5 minutes."""
    at_once: NotRequired[int]
    """Challenges of one kind that wait at once; of more, the oldest goes. Default 10,000."""
    most: NotRequired[int]
    """Authenticators of one principal, 1 to 64. Default 20."""


class OidcClaim(TypedDict):
    """The principal whose name this claim has."""

    claim: str


class OidcIssuer(TypedDict):
    """An issuer of ID tokens (OpenID Connect) that may say who somebody is."""

    issuer: str
    """The issuer, exactly as its metadata has it: 1 to 200 bytes, without `#`."""
    client: str
    """This client's identifier there: the audience of its tokens."""
    trusted_audiences: NotRequired[Sequence[str]]
    """Other audiences that a token may name besides. Default: none."""
    algorithm: Literal["EdDSA", "ES256", "RS256", "PS256"]
    """The algorithm of its tokens."""
    keys: NotRequired[str]
    """Its keys, as its `jwks_uri` answers. Default: none yet, and all its tokens are refused."""
    leeway_ms: NotRequired[int]
    """How far its clock and this machine's may be apart, up to 10 minutes. Default 1 minute."""
    oldest_ms: NotRequired[int]
    """How old a token may be, by its `iat`, 1 s to a day. Default 10 minutes."""
    max_age_ms: NotRequired[int | None]
    """The most that may have gone by since they proved who they are to the issuer; without it, any."""
    principal: NotRequired[Literal["subject", "linked"] | OidcClaim]
    """Whom a subject is here: the principal `issuer#sub`, the default; the one that it was linked to; or the one that a
    claim names, for an issuer that may name any."""
    attributes: NotRequired[Mapping[str, str]]
    """Claims that become attributes of the session: the attribute's name, and the claim's. Default: none."""


class RefreshOptions(TypedDict, total=False):
    """How long refresh tokens live, and how many there are."""

    absolute_ms: int
    """The longest life of what came of one login. Default 30 days."""
    idle_ms: int
    """The longest time between two uses. Default 7 days."""
    per_subject: int
    families: int
    grace_ms: int


class TokenOptions(TypedDict, total=False):
    """How tokens are issued and accepted."""

    issuer: str
    """Default: the room's name, as of `audience`."""
    audience: str
    access_ms: int
    """How long an access token lives, 10 s to 24 h. Default 15 minutes."""
    leeway_ms: int
    purpose: Literal["public", "local"]
    """Signed, the default, or encrypted."""
    refresh: RefreshOptions
    cache: int
    revocations: int
    longest_other_ms: int


class RiskSignalPolicy(TypedDict):
    """What a signal counts for."""

    weight: float
    """The score that it alone makes when it is as strong as can be, 0 to 1."""
    half_life_ms: int


class RiskPolicy(TypedDict, total=False):
    """What raises a risk, by how much, and for how long."""

    signals: Mapping[
        Literal[
            "new_device",
            "new_place",
            "odd_hour",
            "failed_attempts",
            "unusual_rate",
            "threat",
            "agent_health",
            "data_sensitivity",
        ],
        RiskSignalPolicy,
    ]
    """What signals count for, where it is not as usual."""
    failures: int
    learned: int
    calls: int
    principals: int


class AuditOptions(TypedDict, total=False):
    """How the audit log is kept."""

    durability: Mapping[
        Literal[
            "action",
            "decision",
            "authentication",
            "token",
            "revocation",
            "key",
            "override",
            "configuration",
            "deployment",
        ],
        Literal["memory", "process", "interval", "fsync"],
    ]
    """What a record survives before it is acknowledged. Default: `process` for `action`, `decision` and `token`,
    `fsync` for the rest."""
    sync_every_ms: int
    checkpoint_every_ms: int
    segment_bytes: int
    segments: int
    pending: int
    memory_records: int


class SecurityOptions(TypedDict, total=False):
    """How the room security is set up. What is left out has its default; no secret stands in it, but where one is.
    Paths begin where the process is, those of a manifest at its directory.

    >>> import sutazai
    >>> options: sutazai.SecurityOptions = {
    ...     "authorise": True,
    ...     "trust_inside": False,
    ...     "tokens": {"access_ms": 300_000},
    ...     "policies": [{"cedar": 'permit (principal == User::"ann", action, resource);'}],
    ... }
    >>> with sutazai.Kernel(security=options) as kernel:
    ...     kernel.add_echo_agent()
    ...     tokens = kernel.invoke("security.token_issue", principal="ann", by="ops")
    ...     print(kernel.call("echo", 7, token=tokens["access"]))
    ...     try:
    ...         kernel.call("echo", 7)
    ...     except sutazai.PermissionDenied as error:
    ...         print(error.name)
    7
    security.denied
    """

    name: str
    """The issuer and the audience of its tokens, and the origin of its audit log. Default `sutazai`."""
    master: MasterFile | MasterEnv | MasterPassphraseEnv | MasterKeyring
    """What all keys are wrapped under. Default: `master.key` in the data directory."""
    authorise: bool
    """Whether policies decide about calls: what none permits is refused. Default False."""
    trust_inside: bool
    """Whether a call without a token may be made whatever the policies say. Default True."""
    record_allowed: bool
    record_actions: bool
    passwords: PasswordPolicy
    totp: TotpPolicy
    logins: LoginPolicy
    webauthn: WebauthnPolicy | None
    """For which relying party passkeys and security keys sign. Default: for none, and nobody has any."""
    oidc: Sequence[OidcIssuer]
    """Who may say by an ID token who somebody is. Default: nobody."""
    tokens: TokenOptions
    risk: RiskPolicy
    audit: AuditOptions
    restore_policies: bool
    """Whether policies, roles and entities that were set while it ran before decide again. Default True."""
    policies: Sequence[CedarSource | CedarJson | CedarFile]
    """The policies that there are from the start. Where there are policies, entities or roles here, they hold at every
    start, and what was set while it ran before does not."""
    schema: CedarSource | CedarJson | CedarFile
    """The schema that they must fit."""
    entities: CedarJson | CedarFile
    """What policies know of principals and resources."""
    roles: CedarJson | CedarFile
    """Roles, what they permit, and who has them."""
