"""A small OpenID provider on loopback that keeps to the letter: discovery, the code flow with PKCE, keys.

What it checks, a real one checks (RFC 6749, RFC 7636, OpenID Connect Core 1.0); `lies` makes it misbehave.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "mcphost", "a-client-secret-of-its-own"
KEY, OTHER_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))


@dataclass
class Provider:
    """`person` is who is signed in there, as claims; `lies` replaces what it would say.

    Lies: `issuer` (of the metadata), `key` ("other", "none"), claims of the ID token, `userinfo_sub`, `deny`.
    """

    person: dict[str, Any] = field(default_factory=lambda: {"sub": "1001", "preferred_username": "ada"})
    lies: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    redirect_uris: tuple[str, ...] = ("http://testserver/login/sso/callback/",)
    url: str = ""

    def start(self) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    # --- What it answers: a status with JSON, or an address to go to

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.lies.get("issuer", self.url),
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    def keys(self) -> dict[str, Any]:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": "first", "use": "sig", "alg": "RS256"}]}

    def authorize(self, asked: dict[str, str]) -> tuple[str, str]:
        """("to", address) or ("refused", why): nobody is sent to an address that is not registered."""
        if asked.get("client_id") != CLIENT_ID or asked.get("redirect_uri") not in self.redirect_uris:
            return "refused", "unknown client or redirect_uri"
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            return "refused", "not a request for a code of OpenID Connect"
        if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != 43:
            return "refused", "no PKCE"
        if not asked.get("state") or not asked.get("nonce"):
            return "refused", "no state or no nonce"
        if self.lies.get("deny"):
            answer = {"error": "access_denied", "state": asked["state"]}
        else:
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            answer = {"code": code, "state": asked["state"]}
        return "to", f"{asked['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if not self._is_client(form, authorization):
            return self._refuse(401, "invalid_client")
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return self._refuse(400, "invalid_grant")
        if base64.urlsafe_b64encode(verifier).decode().rstrip("=") != asked["code_challenge"]:
            return self._refuse(400, "invalid_grant")
        id_token = self._id_token(asked["nonce"])
        return 200, {"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": id_token}

    def userinfo(self, authorization: str) -> tuple[int, dict[str, Any]]:
        if authorization != "Bearer access":
            return self._refuse(401, "invalid_token")
        return 200, {**self.person, "sub": self.lies.get("userinfo_sub", self.person["sub"])}

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        posted = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        return posted or authorization == f"Basic {basic}"

    def _refuse(self, status: int, error: str) -> tuple[int, dict[str, Any]]:
        self.refusals.append(error)
        return status, {"error": error}

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            **self.person, "iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 60, "nonce": nonce
        }  # fmt: skip
        claims |= {name: value for name, value in self.lies.items() if name in ("iss", "aud", "exp", "nonce")}
        key = self.lies.get("key")
        if key == "none":
            return jwt.encode(claims, "", "none", headers={"kid": "first"})
        return jwt.encode(claims, OTHER_KEY if key == "other" else KEY, "RS256", headers={"kid": "first"})


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                self._authorize(parts.query)
            elif parts.path == "/userinfo":
                self._json(*provider.userinfo(self.headers.get("Authorization", "")))
            else:
                pages = {"/.well-known/openid-configuration": provider.metadata, "/keys": provider.keys}
                found = pages.get(parts.path)
                self._json(200, found()) if found else self._json(404, {})

        def do_POST(self) -> None:
            form = _flat(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._json(*provider.token(form, self.headers.get("Authorization", "")))

        def _authorize(self, query: str) -> None:
            kind, what = provider.authorize(_flat(query))
            if kind == "refused":
                self._json(400, {"error": what})
                return
            self.send_response(302)
            self.send_header("Location", what)
            self.end_headers()

        def _json(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
