"""Security: who somebody is, what they may do, and proof of what was done. `kernel.security`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai._security_accounts import Oidc, Principals
from sutazai._security_audit import Audit, AuditStatus
from sutazai._security_calls import Part, at, coded, millis
from sutazai._security_delegate import Delegations
from sutazai._security_keys import Keysets
from sutazai._security_passkeys import Passkeys
from sutazai._security_policies import EngineStatus, Policies

__all__ = [
    "ApiKey",
    "Approval",
    "Certificate",
    "LoginDone",
    "LoginNext",
    "LoginOffer",
    "LoginRefused",
    "LoginStatus",
    "LoginStep",
    "MadeApiKey",
    "RefreshStatus",
    "RevocationStatus",
    "Risk",
    "RiskKind",
    "RiskSignal",
    "RiskStatus",
    "Security",
    "SecurityStatus",
    "TokenCacheStatus",
    "TokenStatus",
    "Tokens",
    "TotpSecret",
    "VerifiedToken",
]

RiskKind = Literal[
    "new_device",
    "new_place",
    "odd_hour",
    "failed_attempts",
    "unusual_rate",
    "threat",
    "agent_health",
    "data_sensitivity",
]
"""What raises a risk."""


class Tokens(TypedDict):
    """Tokens that were issued."""

    access: str
    """The access token: what calls are made with."""
    expires: str
    """When it ends: RFC 3339, as all times are."""
    refresh: NotRequired[str]
    """The refresh token, to be used once."""


class LoginDone(Tokens):
    """They are who they say."""

    step: Literal["done"]
    principal: str
    attributes: dict[str, str]
    """What else is known of the session."""
    device: str
    """For the device to keep, and to show the next time."""


class LoginOffer(TypedDict):
    """A factor that may come next."""

    scheme: str
    parameters: dict[str, str]
    """What is needed to answer it."""


class LoginNext(TypedDict):
    """One more factor is wanted: any of these."""

    step: Literal["next"]
    login: str
    """Which login this is, for the answer."""
    offers: list[LoginOffer]
    ends: str
    """When it is over."""


class LoginRefused(TypedDict):
    """They are not, or not now."""

    step: Literal["refused"]
    retry_after_ms: NotRequired[int]
    """Attempts like this one are not looked at before so many milliseconds."""


LoginStep = LoginDone | LoginNext | LoginRefused
"""Where a login stands: `step` says which of them it is."""


class TotpSecret(TypedDict):
    """A secret for one-time codes."""

    secret: str
    """In base 32, for typing."""
    url: str
    """The same as `otpauth://` address, for a QR code."""


class ApiKey(TypedDict):
    """What is kept of an API key."""

    id: str
    """Its public part."""
    principal: str
    label: str
    scopes: list[str]
    made: str
    ends: NotRequired[str]
    used: NotRequired[str]
    """When it was used last, about."""


class MadeApiKey(ApiKey):
    """An API key that was made."""

    key: str
    """What the program sends, as its token. It is shown this once."""


class Certificate(TypedDict):
    """A client certificate that is known."""

    fingerprint: str
    """SHA-256 of its DER form, in hexadecimal."""
    principal: str
    added: str
    ends: NotRequired[str]
    """Until when it is good here, whatever it says itself."""


class VerifiedToken(TypedDict):
    """What a token says."""

    principal: str
    expires: str
    attributes: dict[str, str]
    """What is known of the session."""


class RiskSignal(TypedDict):
    """Something that raises a risk."""

    signal: RiskKind
    level: float
    """How strong it still is, 0 to 1."""
    share: float
    """The score that it alone would make."""


class Risk(TypedDict):
    """How risky somebody looks, and why."""

    score: float
    """0 to 1."""
    signals: list[RiskSignal]
    """What raises it, the heaviest first."""


class Approval(TypedDict):
    """A call that waits to be approved."""

    call: int
    principal: str
    """Who calls."""
    skill: str
    input: Any
    by: list[str]
    """Who may approve it; empty: whoever is not the caller."""
    asked: str
    """Since when it waits."""
    ends: str
    """When it is refused."""


class LoginStatus(TypedDict):
    """Figures of logins."""

    under_way: int
    """That wait for another factor."""
    evicted: int
    """That had to go for others."""
    buckets: int
    """What guessing is counted in."""
    buckets_evicted: int
    throttled: int
    """Attempts that were refused because they came too soon."""


class TokenCacheStatus(TypedDict):
    """Figures of the tokens that were verified before."""

    entries: int
    hits: int
    misses: int
    evicted: int


class RefreshStatus(TypedDict):
    """Figures of refresh tokens."""

    families: int
    """That are alive."""
    rotated: int
    reused: int
    """Families that were revoked because a token was used twice."""
    crowded_out: int
    """Families that ended because their subject began more."""


class RevocationStatus(TypedDict):
    """Figures of what is revoked."""

    tokens: int
    families: int
    subjects: int
    everything_before: NotRequired[str]
    """Everything issued until then is revoked."""
    widened: int
    """Revocations that were widened for want of room."""


class TokenStatus(TypedDict):
    """Figures of tokens."""

    cache: TokenCacheStatus
    refresh: RefreshStatus
    revocations: RevocationStatus


class RiskStatus(TypedDict):
    """Figures of risks."""

    principals: int
    """That something is known of."""
    evicted: int


class SecurityStatus(TypedDict):
    """Figures of all of it."""

    authorise: bool
    """Whether policies decide about calls."""
    logins: LoginStatus
    tokens: TokenStatus
    policies: EngineStatus
    risks: RiskStatus
    audit: AuditStatus
    clock_steps_back: int
    """How often the system's clock was found to be set back."""


class Security(Part):
    """A kernel's security: `kernel.security`. Logins, tokens and factors are here; `principals`, `passkeys`,
    `oidc`, `keysets`, `policies`, `delegations` and `audit` are its parts.

    Everything here waits for a disk or a hash. Where an asyncio loop runs, await the forms that begin with `a`,
    or `asyncio.to_thread(kernel.security.password_set, …)` and the like.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     security = kernel.security
    ...     security.password_set("ann", "correct horse battery")
    ...     step = security.login("password", "correct horse battery", principal="ann")
    ...     assert step["step"] == "done"
    ...     security.token_verify(step["access"])["principal"]
    'ann'
    """

    # ---- the parts ----

    @property
    def principals(self) -> Principals:
        """Who has which factors, and who is disabled."""
        return Principals(self._kernel)

    @property
    def passkeys(self) -> Passkeys:
        """Passkeys and security keys."""
        return Passkeys(self._kernel)

    @property
    def oidc(self) -> Oidc:
        """Issuers of ID tokens, and the accounts there."""
        return Oidc(self._kernel)

    @property
    def keysets(self) -> Keysets:
        """Keys of the program's own, and what they do."""
        return Keysets(self._kernel)

    @property
    def policies(self) -> Policies:
        """Who may do what, why, and what would change it."""
        return Policies(self._kernel)

    @property
    def delegations(self) -> Delegations:
        """Tokens that somebody hands an agent, less than their own."""
        return Delegations(self._kernel)

    @property
    def audit(self) -> Audit:
        """What was decided and done, and proof of it."""
        return Audit(self._kernel)

    def status(self) -> SecurityStatus:
        """Figures of logins, tokens, policies, risks and the audit log."""
        return cast(SecurityStatus, self._do("status"))

    # ---- logins ----

    def login(
        self,
        scheme: str,
        secret: str,
        *,
        principal: str | None = None,
        origin: str | None = None,
        device: str | None = None,
    ) -> LoginStep:
        """Begins a login with its first factor: `password`, `api-key`, `certificate`, `passkey`, `oidc`, or a provider of
        your own.
        `origin` is the address that it comes from, as the program sees it: guessing is slowed down by it. `device`
        is what the device got at the end of a login before."""
        return cast(
            LoginStep,
            self._do(
                "login",
                scheme=scheme,
                secret=secret,
                principal=principal,
                origin=origin,
                device=device,
            ),
        )

    async def alogin(
        self,
        scheme: str,
        secret: str,
        *,
        principal: str | None = None,
        origin: str | None = None,
        device: str | None = None,
    ) -> LoginStep:
        """As `login`, awaited."""
        return cast(
            LoginStep,
            await self._ado(
                "login",
                scheme=scheme,
                secret=secret,
                principal=principal,
                origin=origin,
                device=device,
            ),
        )

    def login_answer(self, login: str, scheme: str, secret: str) -> LoginStep:
        """Answers a login with another factor, one of those that were offered."""
        return cast(
            LoginStep, self._do("login_answer", login=login, scheme=scheme, secret=secret)
        )

    async def alogin_answer(self, login: str, scheme: str, secret: str) -> LoginStep:
        """As `login_answer`, awaited."""
        answer = await self._ado("login_answer", login=login, scheme=scheme, secret=secret)
        return cast(LoginStep, answer)

    # ---- factors ----

    def password_set(self, principal: str, password: str) -> None:
        """Sets somebody's password; raises `SecurityError` for one that is not good enough."""
        self._do("password_set", principal=principal, password=password)

    def password_remove(self, principal: str) -> bool:
        """Takes somebody's password away; says whether there was one."""
        return bool(self._do("password_remove", principal=principal)["removed"])

    def totp_enrol(self, principal: str, *, secret: str | None = None) -> TotpSecret:
        """Makes somebody a secret for one-time codes, or takes one that they have from elsewhere (base 32). It counts
        once they confirm it."""
        return cast(TotpSecret, self._do("totp_enrol", principal=principal, secret=secret))

    def totp_confirm(self, principal: str, code: str) -> None:
        """Confirms a secret for one-time codes by the first code."""
        self._do("totp_confirm", principal=principal, code=code)

    def totp_remove(self, principal: str) -> bool:
        """Takes somebody's one-time codes away; says whether there were any."""
        return bool(self._do("totp_remove", principal=principal)["removed"])

    def recovery_make(self, principal: str) -> list[str]:
        """Makes somebody's recovery codes anew, each good once. They are shown this once."""
        return cast("list[str]", self._do("recovery_make", principal=principal)["codes"])

    def recovery_left(self, principal: str) -> int:
        """How many recovery codes somebody has left."""
        return int(self._do("recovery_left", principal=principal)["left"])

    def api_key_make(
        self,
        principal: str,
        *,
        label: str = "",
        scopes: Sequence[str] = (),
        lasts: float | timedelta | None = None,
    ) -> MadeApiKey:
        """Makes an API key, for a program that calls as `principal`; it is shown this once. `scopes` are the skills
        that it may be used for, or how they begin (`mail.*`)."""
        return cast(
            MadeApiKey,
            self._do(
                "api_key_make",
                principal=principal,
                label=label,
                scopes=list(scopes),
                lasts_ms=millis("lasts", lasts),
            ),
        )

    def api_keys(
        self, principal: str | None = None, *, after: str | None = None, limit: int = 100
    ) -> list[ApiKey]:
        """The API keys, of one principal or of all, page by page: `after` is the id of the last one before."""
        answer = self._do("api_keys", principal=principal, after=after, limit=limit)
        return cast("list[ApiKey]", answer["keys"])

    def api_key_revoke(self, id: str) -> bool:
        """Ends an API key at once; says whether there was one."""
        return bool(self._do("api_key_revoke", id=id)["removed"])

    def certificate_add(
        self,
        principal: str,
        *,
        certificate: bytes | None = None,
        fingerprint: str | None = None,
        ends: datetime | str | None = None,
    ) -> str:
        """Makes a client certificate known as somebody's, by its DER form or its SHA-256 in hexadecimal; gives the
        fingerprint."""
        answer = self._do(
            "certificate_add",
            principal=principal,
            certificate=None if certificate is None else coded(certificate),
            fingerprint=fingerprint,
            ends=at(ends),
        )
        return str(answer["fingerprint"])

    def certificates(
        self, principal: str | None = None, *, after: str | None = None, limit: int = 100
    ) -> list[Certificate]:
        """The client certificates that are known, of one principal or of all, page by page."""
        answer = self._do("certificates", principal=principal, after=after, limit=limit)
        return cast("list[Certificate]", answer["certificates"])

    def certificate_remove(self, fingerprint: str) -> bool:
        """Forgets a client certificate; says whether it was known."""
        return bool(self._do("certificate_remove", fingerprint=fingerprint)["removed"])

    def devices(self, principal: str) -> int:
        """How many devices somebody is known to log in from."""
        return int(self._do("devices", principal=principal)["devices"])

    def devices_forget(self, principal: str) -> int:
        """Forgets the devices that somebody has logged in from; gives how many there were."""
        return int(self._do("devices_forget", principal=principal)["forgotten"])

    # ---- tokens ----

    def token_issue(
        self,
        principal: str,
        *,
        scopes: Sequence[str] = (),
        methods: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
        by: str,
    ) -> Tokens:
        """Issues tokens for somebody whom the program vouches for; on the record as an override of the logins."""
        return cast(
            Tokens,
            self._do(
                "token_issue",
                principal=principal,
                scopes=list(scopes),
                methods=list(methods),
                attributes=dict(attributes or {}),
                by=by,
            ),
        )

    def token_refresh(self, refresh: str) -> Tokens:
        """Takes a refresh token and issues the next tokens. One that was used before revokes all that came of it."""
        return cast(Tokens, self._do("token_refresh", refresh=refresh))

    async def atoken_refresh(self, refresh: str) -> Tokens:
        """As `token_refresh`, awaited."""
        return cast(Tokens, await self._ado("token_refresh", refresh=refresh))

    def token_verify(self, token: str) -> VerifiedToken:
        """What a token says, if it is good."""
        return cast(VerifiedToken, self._do("token_verify", token=token))

    async def atoken_verify(self, token: str) -> VerifiedToken:
        """As `token_verify`, awaited."""
        return cast(VerifiedToken, await self._ado("token_verify", token=token))

    def token_revoke(
        self,
        *,
        token: str | None = None,
        family: bool = False,
        principal: str | None = None,
        everything: bool = False,
        before: datetime | str | None = None,
        by: str,
    ) -> None:
        """Revokes tokens, at once, and after a restart: one; with `family`, or by its refresh token, the session that it is
        of, as a logout does; all of somebody's; or all. Of the latter two those that were issued until now, or until
        `before`. API keys and certificates are no tokens: they have operations of their own."""
        self._do(
            "token_revoke",
            token=token,
            family=family,
            principal=principal,
            everything=everything,
            before=at(before),
            by=by,
        )

    # ---- approvals and risks ----

    def approvals(self) -> list[Approval]:
        """The calls that wait to be approved, the oldest first."""
        return cast("list[Approval]", self._do("approvals")["waiting"])

    def approve(self, call: int, *, by: str) -> None:
        """Approves a call that waits, in the name of somebody whom the program has made sure of."""
        self._do("approve", call=call, by=by)

    def reject(self, call: int, *, by: str, why: str = "") -> None:
        """Refuses a call that waits to be approved."""
        self._do("reject", call=call, by=by, why=why)

    def risk(self, principal: str) -> Risk:
        """How risky somebody looks, and why."""
        return cast(Risk, self._do("risk", principal=principal))

    def risk_raise(self, principal: str, signal: RiskKind, strength: float = 1.0) -> Risk:
        """Raises somebody's risk by a signal, from 0 to 1."""
        return cast(
            Risk,
            self._do("risk_raise", principal=principal, signal=signal, strength=strength),
        )
