"""A token server for the distribution registry's "token" authentication, with faults on demand.

Two facts decide what a short expiry does: a registry takes a token until 60 s after `exp`, and an engine
believes any token for 60 s from `issued_at`. See `Faults.skew` and `Faults.jwt_skew`.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

ISSUER = "mcphost-bench"
SERVICE = "mcphost-bench-registry"


@dataclass(frozen=True)
class Faults:
    """How the server misbehaves; the defaults are a healthy one."""

    expiry: int = 300  # seconds that a token lives
    skew: int = 0  # added to issued_at and exp: with expiry 3 and -61 an engine asks anew for every request
    jwt_skew: int = (
        0  # added to the signed times only: with expiry 2 and -60 a token goes stale during a push
    )
    delay: float = 0  # seconds before every answer
    status: int = 0  # answer with this instead
    reject: bool = False  # every password is wrong
    deny: bool = False  # tokens are given, but allow nothing
    revoke_after: int = 0  # the password stops working after so many tokens


@dataclass
class TokenServer:
    """Serves /token on a loopback port from a thread of this process; `log` holds the requests it saw."""

    users: dict[str, str]
    faults: Faults = field(default_factory=Faults)
    log: list[dict[str, object]] = field(default_factory=list)
    granted: int = 0
    refresh_tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def control(self, faults: dict[str, object]) -> None:
        """Put these faults in force and every other back to healthy; `control({})` heals all."""
        self.faults, self.granted = Faults(**faults), 0  # type: ignore[arg-type]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def write_certificate(self, path: Path) -> None:
        """The certificate that a registry is told to trust (`rootcertbundle`)."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .sign(self.key, hashes.SHA256())
        )
        path.write_bytes(certificate.public_bytes(Encoding.PEM))

    def token(self, user: str, service: str, scopes: list[str]) -> tuple[str, int]:
        """A signed token for the scopes, and the time at which it says it was issued."""
        issued = int(time.time()) + self.faults.skew
        signed = issued + self.faults.jwt_skew
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": service,
            "nbf": signed - 1,
            "iat": signed,
            "exp": signed + self.faults.expiry,
            "jti": uuid.uuid4().hex,
            "access": [] if self.faults.deny else [_access(scope) for scope in scopes],
        }
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": self._key_id()}), issued

    def _key_id(self) -> str:
        """Registry 2.8 finds the key by its libtrust fingerprint, not by any name one likes."""
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode().rstrip("=")
        return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


def _access(scope: str) -> dict[str, object]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms for the acknowledgement of its head

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if url.path != "/token":
                return self._reply(404, {})
            user, known = self._basic()
            scopes = [scope for value in query.get("scope", []) for scope in value.split()]
            offline = query.get("offline_token") == ["true"]
            return self._grant(user, known, query.get("service", [SERVICE])[0], scopes, offline)

        def do_POST(self) -> None:
            """The OAuth2 form: an identity token, or a password (containerd)."""
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
            if form.get("grant_type") == ["refresh_token"]:
                user = server.refresh_tokens.get(form["refresh_token"][0], "")
                known = bool(user)
            else:
                user = form.get("username", [""])[0]
                known = bool(user) and server.users.get(user) == form.get("password", [""])[0]
            offline = form.get("access_type") == ["offline"]
            self._grant(
                user, known, form.get("service", [SERVICE])[0], form.get("scope", [""])[0].split(), offline
            )

        def _basic(self) -> tuple[str, bool]:
            header = self.headers.get("Authorization", "")
            if not header.startswith("Basic "):
                return "", False
            user, _, password = base64.b64decode(header[6:]).decode().partition(":")
            return user, server.users.get(user) == password

        def _grant(self, user: str, known: bool, service: str, scopes: list[str], offline: bool) -> None:
            faults = server.faults
            server.log.append({"user": user, "known": known, "scopes": scopes, "method": self.command})
            time.sleep(faults.delay)
            if faults.status:
                return self._reply(faults.status, {"details": "injected"})
            server.granted += 1
            revoked = 0 < faults.revoke_after < server.granted
            if faults.reject or revoked or not known:
                return self._reply(401, {"details": "incorrect username or password"})
            return self._reply(200, self._answer(user, service, scopes, offline))

        def _answer(self, user: str, service: str, scopes: list[str], offline: bool) -> dict[str, object]:
            token, issued = server.token(user, service, scopes)
            at = datetime.datetime.fromtimestamp(issued, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            answer: dict[str, object] = {
                "token": token,
                "access_token": token,
                "expires_in": server.faults.expiry,
                "issued_at": at,
            }
            if offline:
                answer["refresh_token"] = uuid.uuid4().hex
                server.refresh_tokens[str(answer["refresh_token"])] = user
            return answer

        def _reply(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="token"')
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
