"""Principals: who has which factors, who is disabled, and who they are elsewhere (OpenID Connect)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict, cast

from sutazai._security_calls import Part
from sutazai._security_options import OidcIssuer

__all__ = ["DisabledPrincipal", "Oidc", "OidcChallenge", "OidcLink", "Principal", "Principals"]


class DisabledPrincipal(TypedDict):
    """That somebody is disabled."""

    reason: str
    """Why."""
    since: str
    """Since when: RFC 3339, as all times are."""


class Principal(TypedDict):
    """What is known of a principal."""

    principal: str
    """Their name."""
    factors: list[str]
    """The schemes of the factors that they have, in order of the alphabet."""
    disabled: NotRequired[DisabledPrincipal]
    """Why they are disabled, and since when, where they are."""


class OidcChallenge(TypedDict):
    """What a request to an issuer of ID tokens takes with it."""

    issuer: str
    client: str
    """This client's identifier there."""
    state: str
    """The request's `state`: it comes back, and names the challenge. Keep it in the browser's session, and take no
    other from it."""
    nonce: str
    """The request's `nonce`: the ID token has it."""
    max_age_s: NotRequired[int]
    """The request's `max_age` in seconds, where there is one."""
    ends: str
    """When it is over."""


class OidcLink(TypedDict):
    """An account elsewhere that is linked to a principal here."""

    principal: str
    """Whose it is here."""
    issuer: str
    subject: str
    """Whom the issuer means: the `sub` of its tokens."""
    added: str
    """When it was linked."""


class Principals(Part):
    """Who there is: `kernel.security.principals`.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     security = kernel.security
    ...     security.password_set("ann", "correct horse battery")
    ...     _ = security.principals.disable("ann", "left the firm", by="me")
    ...     step = security.login("password", "correct horse battery", principal="ann")
    ...     [ann] = security.principals.list()
    >>> step["step"], ann["factors"], ann["disabled"]["reason"]
    ('refused', ['password'], 'left the firm')
    """

    def list(self, *, after: str | None = None, limit: int = 100) -> _Principals:
        """Who has a factor or is disabled, by name, page by page: `after` is the last one before. A page has 1,000 at
        most."""
        answer = self._do("principals", after=after, limit=limit)
        return cast(_Principals, answer["principals"])

    def disable(self, principal: str, reason: str, *, by: str) -> bool:
        """Disables somebody: no login of theirs succeeds, and no token, API key or certificate of theirs is good, at
        once and after a restart. `reason` has up to 512 bytes; it goes on the record as a personal detail, and is
        listed. Says whether they were not disabled before."""
        answer = self._do("principal_disable", principal=principal, reason=reason, by=by)
        return bool(answer["changed"])

    def enable(self, principal: str, *, by: str) -> bool:
        """Enables somebody again; the tokens that they were issued before stay revoked. Says whether they were
        disabled."""
        return bool(self._do("principal_enable", principal=principal, by=by)["changed"])


class Oidc(Part):
    """Issuers of ID tokens, who may say who somebody is (OpenID Connect): `kernel.security.oidc`. The program leads the
    browser to the issuer and back, and fetches the issuer's keys; nothing here goes to the network.

    `challenge` gives the `state` and the `nonce` of the request to the issuer. What comes back is, as JSON, the secret
    of `kernel.security.login("oidc", …)`: `{"state": …, "id_token": …}`, and the `access_token` where its hash is to
    be checked, too.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     oidc = kernel.security.oidc
    ...     issuer: sutazai.OidcIssuer = {
    ...         "issuer": "https://id.example", "client": "client-1", "algorithm": "ES256"
    ...     }
    ...     _ = oidc.set([issuer], by="me")
    ...     asked = oidc.challenge("https://id.example")
    >>> asked["client"]
    'client-1'
    """

    def set(self, issuers: Sequence[OidcIssuer], *, by: str) -> int:
        """Names the issuers that may say who somebody is, in place of all, until the process ends; gives how many there
        are."""
        return int(self._do("oidc_set", issuers=list(issuers), by=by)["issuers"])

    def set_keys(self, issuer: str, jwks: str, *, by: str) -> int:
        """Takes other keys of an issuer: it has rotated them. `jwks` is what its `jwks_uri` answers, as it is. Gives
        how many of them can be used."""
        return int(self._do("oidc_keys", issuer=issuer, jwks=jwks, by=by)["keys"])

    def challenge(self, issuer: str, *, origin: str | None = None) -> OidcChallenge:
        """What a request to an issuer takes with it: good once, and for ten minutes. `origin` says where they are: of
        too many challenges, those of whoever asks for the most go first."""
        return cast(OidcChallenge, self._do("oidc_challenge", issuer=issuer, origin=origin))

    def link(self, principal: str, issuer: str, subject: str) -> None:
        """Links an account at an issuer to a principal; raises `AlreadyExists` for one that is linked to another."""
        self._do("oidc_link", principal=principal, issuer=issuer, subject=subject)

    def unlink(self, issuer: str, subject: str) -> bool:
        """Ends the link of an account at an issuer; says whether there was one."""
        return bool(self._do("oidc_unlink", issuer=issuer, subject=subject)["removed"])

    def links(self, principal: str | None = None, *, limit: int = 100) -> list[OidcLink]:
        """The accounts elsewhere that are linked, of one principal or of all; 1,000 at most."""
        answer = self._do("oidc_links", principal=principal, limit=limit)
        return cast("list[OidcLink]", answer["links"])


# Within the class `list` is its method.
_Principals = list[Principal]
