"""Checks JWT access tokens (RFC 9068) of the authorization server that the operator trusts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt

from gateway.oauth_keys import Keys
from gateway.options import Trust

# Asymmetric algorithms only: with a shared secret, everybody who checks a token can also make one.
ALGORITHMS = frozenset({
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
})  # fmt: skip
LEEWAY = 30  # seconds that clocks may differ
LONGEST = 16 * 1024
MOST_KEYS = 20
_REASONS = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not valid yet"),
    (jwt.InvalidAudienceError, "for another audience"),
    (jwt.InvalidIssuerError, "of an issuer that is not trusted"),
    (jwt.MissingRequiredClaimError, "without a claim that is needed: exp, iss or aud"),
)


class Invalid(Exception):
    """The token is not accepted; the message completes "The token is …"."""


@dataclass(frozen=True)
class Grant:
    """What a valid token says. `user` is "" if it has no such claim."""

    user: str
    scopes: frozenset[str]


class Issuer:
    """Checks the tokens of one authorization server."""

    def __init__(self, trust: Trust) -> None:
        self._trust, self._keys = trust, Keys(trust)

    async def verify(self, presented: tuple[str, str]) -> Grant:
        """Checks signature, issuer, audience and times of `presented`, a (token, audience of this server)
        pair.

        Raises `Invalid`, and `Refusal` (503) while the issuer's keys cannot be fetched.
        """
        token, audience = presented
        header = _header(token)
        keys = await self._keys.find(header.get("kid"))
        claims = self._claims(token, header["alg"], keys, audience)
        user = claims.get(self._trust.user_claim)
        return Grant(user if isinstance(user, str) else "", _scopes(claims))

    def _claims(self, token: str, alg: str, keys: list[dict[str, Any]], audience: str) -> dict[str, Any]:
        for key in keys[:MOST_KEYS]:
            try:
                return self._decoded(token, alg, key, audience)
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.PyJWKError):
                continue  # another key may fit
            except jwt.PyJWTError as fault:
                raise Invalid(_reason(fault)) from fault
        raise Invalid("not signed by a key of the issuer")

    def _decoded(self, token: str, alg: str, key: dict[str, Any], audience: str) -> dict[str, Any]:
        """Returns the claims. A key is used only with its own algorithm, whatever the token says."""
        if key.get("alg", alg) != alg:
            raise jwt.InvalidKeyError
        decoded: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(key, algorithm=alg),
            algorithms=[alg],
            audience=self._trust.audiences or [audience, audience + "/"],
            issuer=self._trust.issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "iss", "aud"]},
        )
        return decoded


def _header(token: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token) if len(token) <= LONGEST else {}
    except jwt.PyJWTError:
        header = {}
    if not header:
        raise Invalid("unknown, expired or revoked")
    if header.get("alg") not in ALGORITHMS:
        raise Invalid("signed in a way that is not accepted")
    return header


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Returns the scopes (RFC 9068, 2.2.3, `scope`); some issuers send a list, or name it `scp`."""
    given = claims.get("scope", claims.get("scp", ""))
    words = given if isinstance(given, list) else str(given).split()
    return frozenset(word for word in words if isinstance(word, str))


def _reason(fault: jwt.PyJWTError) -> str:
    return next((said for kind, said in _REASONS if isinstance(fault, kind)), "not accepted")
