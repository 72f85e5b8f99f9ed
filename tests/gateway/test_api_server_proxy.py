"""Calls through a cluster's API server, which a stand-in plays: over TLS, with credentials of its own."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User

from gateway import api_server_proxy
from gateway.options import Options

from .conftest import Running, bearer, call, host, in_database, running_gateway, token

PATH = "/api/v1/namespaces/n/services/s:8000/proxy/mcp"
UNREACHED = '{"kind":"Status","apiVersion":"v1","message":"error trying to reach service: dial tcp: refused"}'
FORBIDDEN = '{"kind":"Status","apiVersion":"v1","message":"services \\"s\\" is forbidden"}'


class Api:
    """Answers in turn with `answers`; `asked` holds path and headers of every request."""

    def __init__(self, directory: Path) -> None:
        self.answers: list[tuple[int, str]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate(directory))
        self.http.socket = self.context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, body = api.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

    return Handler


def certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = directory / "api.pem"
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api(tmp_path)
    document = {
        "clusters": [
            {"name": "c", "cluster": {"server": api.url, "certificate-authority": f"{tmp_path}/api.pem"}}
        ],
        "users": [{"name": "u", "user": {"token": "the-platforms-own"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    _forget()
    yield api
    _forget()
    api.http.shutdown()
    api.http.server_close()


def _forget() -> None:
    api_server_proxy.cluster.cache_clear()


@pytest.fixture
async def key(owner: User, api_server: Api) -> str:
    server = await in_database(lambda: host(owner, "clock", api_server.url + PATH))
    return await in_database(lambda: token(owner, server))


async def post(gateway: Running, key: str, **headers: str) -> tuple[int, str]:
    sent = bearer(key, **headers)
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=sent) as response:
        return response.status, await response.text()


async def test_the_platforms_credential_goes_along_and_no_callers(
    gateway: Running, key: str, api_server: Api
) -> None:
    api_server.answers = [(200, '{"jsonrpc":"2.0","id":1,"result":{}}')]
    status, body = await post(gateway, key, **{"impersonate-user": "system:admin"})
    assert (status, body) == (200, '{"jsonrpc":"2.0","id":1,"result":{}}')
    [(path, headers)] = api_server.asked
    assert path == PATH
    assert headers["authorization"] == "Bearer the-platforms-own"
    assert "impersonate-user" not in headers


@pytest.mark.parametrize(("status", "words"), [(403, FORBIDDEN), (503, UNREACHED)])
async def test_what_the_api_server_says_itself_reaches_no_caller(
    gateway: Running, key: str, api_server: Api, status: int, words: str
) -> None:
    api_server.answers = [(status, words)]
    told, body = await post(gateway, key)
    assert told == 502
    assert "Status" not in body
    assert "service" not in body


async def test_what_a_pod_says_does(gateway: Running, key: str, api_server: Api) -> None:
    answers = [(404, '{"kind":"cat"}'), (503, "busy"), (401, "")]
    for status, body in answers:
        api_server.answers = [(status, body)]
        assert await post(gateway, key) == (status, body)


async def test_a_long_body_that_was_read_off_is_not_sent_in_part(
    options: Options, transactional_db: None, owner: User, api_server: Api
) -> None:
    server = await in_database(lambda: host(owner, "clock", api_server.url + PATH))
    headers = bearer(await in_database(lambda: token(owner, server)))
    api_server.answers = [(503, UNREACHED), (200, "{}")]
    async with running_gateway(replace(options, cold_start=60)) as gateway:
        long = call(arguments={"text": "x" * 200_000})
        async with gateway.client.post(gateway.mcp("clock"), json=long, headers=headers) as response:
            assert response.status == 502
    assert len(api_server.asked) == 1


def test_a_certificate_that_was_renewed_in_its_place_is_taken_up(api_server: Api, tmp_path: Path) -> None:
    before = api_server_proxy.tls()
    reach(api_server)
    assert api_server_proxy.tls() is before
    renewed = certificate(tmp_path)
    os.utime(renewed, ns=(0, renewed.stat().st_mtime_ns + 10**9))  # clocks of file systems are coarse
    api_server.context.load_cert_chain(renewed)
    reach(api_server)


def reach(api: Api) -> None:
    with (
        socket.create_connection(("127.0.0.1", api.http.server_port)) as raw,
        api_server_proxy.tls().wrap_socket(raw, server_hostname="127.0.0.1"),
    ):
        return
