"""A small authorization server on loopback: metadata (RFC 8414), keys (RFC 7517), tokens (RFC 9068)."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.types import Receive, Scope, Send

from .conftest import JSON

_numbers = itertools.count(1)
MAKERS: dict[str, tuple[Callable[[], Any], Any]] = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), jwt.algorithms.RSAAlgorithm),
    "PS256": (lambda: rsa.generate_private_key(65537, 2048), jwt.algorithms.RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, jwt.algorithms.OKPAlgorithm),
}


@dataclass
class Key:
    alg: str = "ES256"
    kid: str = field(default_factory=lambda: f"key-{next(_numbers)}")
    private: Any = None

    def __post_init__(self) -> None:
        self.private = self.private or MAKERS[self.alg][0]()

    def public(self) -> dict[str, Any]:
        made: dict[str, Any] = MAKERS[self.alg][1].to_jwk(self.private.public_key(), as_dict=True)
        return {**made, "kid": self.kid, "use": "sig"}


@dataclass
class Issuer:
    """`path` of its metadata; `asked` counts requests by path; `down`: it answers 500."""

    url: str = ""
    keys: list[Key] = field(default_factory=lambda: [Key()])
    path: str = "/.well-known/oauth-authorization-server"
    claims_issuer: str = ""
    asked: list[str] = field(default_factory=list)
    down: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.asked.append(scope["path"])
        body = (await receive()).get("body", b"") if scope["method"] == "POST" else b""
        found = None if self.down else self._answer(scope["path"], body)
        status = 500 if self.down else 200 if found else 404
        await send({"type": "http.response.start", "status": status, "headers": JSON})
        await send({"type": "http.response.body", "body": orjson.dumps(found)})

    def _answer(self, path: str, body: bytes) -> dict[str, Any] | None:
        if path == self.path:
            return {
                "issuer": self.claims_issuer or self.url,
                "jwks_uri": f"{self.url}/keys",
                "token_endpoint": f"{self.url}/token",
                "grant_types_supported": ["client_credentials"],
            }
        if path == "/keys":
            return {"keys": [key.public() for key in self.keys]}
        if path == "/token":  # RFC 6749 section 4.4 with the resource indicator of RFC 8707
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            token = self.token(form["client_id"], form["resource"], scope=form.get("scope", ""))
            return {"access_token": token, "token_type": "Bearer", "expires_in": 300}
        return None

    def token(self, user: str, audience: str, *, key: Key | None = None, **claims: Any) -> str:
        key = key or self.keys[0]
        now = int(time.time())
        said = {"iss": self.url, "sub": user, "aud": audience, "iat": now, "exp": now + 300, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, key.private, key.alg, headers={"kid": key.kid, "typ": "at+jwt"})
