"""Checks ID tokens (OpenID Connect Core 1.0, section 3.1.3.7) with the provider's keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from allauth.socialaccount.providers.oauth2.client import OAuth2Error

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
LEEWAY_SECONDS = 60
LONGEST_SUBJECT = 191  # characters; the column holds no more


def verified(token: str, *, keys: Mapping[str, Any], issuer: str, client_id: str) -> dict[str, Any]:
    """Returns the claims. Raises `OAuth2Error` with a sentence for the operator."""
    try:
        key = _key(token, keys)
        claims: dict[str, Any] = jwt.decode(
            token, key, ALGORITHMS, audience=client_id, issuer=issuer, leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )  # fmt: skip
    except jwt.PyJWTError as error:
        raise OAuth2Error(f"The provider's ID token is not valid: {error}") from error
    party = claims.get("azp", client_id)
    if party != client_id:
        raise OAuth2Error("The provider's ID token was made for another client.")
    _check_subject(claims["sub"])
    return claims


def _check_subject(sub: str) -> None:
    """Checks the length and the characters of `sub` (Core 1.0, section 2)."""
    if not 0 < len(sub) <= LONGEST_SUBJECT or not sub.isprintable():
        raise OAuth2Error("The provider's ID token names nobody: its sub is empty, too long or unprintable.")


def _key(token: str, keys: Mapping[str, Any]) -> Any:
    wanted = jwt.get_unverified_header(token).get("kid")
    known = [key for key in jwt.PyJWKSet.from_dict(dict(keys)).keys if key.public_key_use in (None, "sig")]
    fitting = [key for key in known if key.key_id == wanted] if wanted else known
    if len(fitting) != 1:
        raise jwt.InvalidKeyError("none of the provider's keys has signed it.")
    return fitting[0].key
