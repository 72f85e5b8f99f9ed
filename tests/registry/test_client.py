"""The HTTP side: authentication, its guards, and what is made of odd answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from registry.client import DOCKER_MANIFEST, OCI_INDEX, RegistryClient, digest_of
from registry.credentials import CredentialStore
from registry.errors import CredentialError, RegistryError
from registry.reference import Reference
from tests.registry.http import Request, Response, Server, serving

BASIC = "Basic " + base64.b64encode(b"ci:pw").decode()
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": {}}).encode()
Answer = Callable[[Request], Response]


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., CredentialStore]:
    def make(host: str, **entry: str) -> CredentialStore:
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"auths": {host: entry or {"username": "ci", "password": "pw"}}}))
        return CredentialStore(path, None)

    return make


class Bearer:
    """A registry with a token server in one: tokens are t1, t2, …; `valid` says which the registry takes."""

    def __init__(self) -> None:
        self.granted: list[Request] = []
        self.valid: Callable[[str], bool] = lambda token: True
        self.realm = ""
        self.answer_token: Answer | None = None

    def __call__(self, request: Request) -> Response:
        if request.path.startswith("/token"):
            self.granted.append(request)
            if self.answer_token:
                return self.answer_token(request)
            return _json({"token": f"t{len(self.granted)}", "expires_in": 300})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and self.valid(token):
            return Response(200, MANIFEST, {"Content-Type": DOCKER_MANIFEST})
        realm = self.realm or f"http://{request.headers['Host']}/token"
        challenge = f'Bearer realm="{realm}",service="svc",scope="repository:app:pull"'
        return Response(401, b"", {"WWW-Authenticate": challenge})

    def scopes(self) -> list[list[str]]:
        return [parse_qs(urlsplit(request.path).query).get("scope", []) for request in self.granted]


def _json(content: object, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def bearer() -> Iterator[tuple[Bearer, Server]]:
    registry = Bearer()
    with serving(registry) as server:
        yield registry, server


def _ref(server: Server) -> Reference:
    return Reference(server.host, "app", "v1")


def test_basic_is_sent_only_when_asked_for(store: Callable[..., CredentialStore]) -> None:
    def answer(request: Request) -> Response:
        if request.headers.get("Authorization") == BASIC:
            return Response(200, MANIFEST, {"Content-Type": DOCKER_MANIFEST})
        return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})

    with serving(answer) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        assert client.get_manifest(_ref(server)).digest == digest_of(MANIFEST)
        client.get_manifest(_ref(server))
        sent = [request.headers.get("Authorization") for request in server.requests]
    assert sent == [None, BASIC, BASIC]


def test_a_registry_is_reached_elsewhere_and_known_by_its_name(store: Callable[..., CredentialStore]) -> None:
    """As in compose.yaml: 127.0.0.1 is the engine's way there, and another machine's loopback to us."""

    def answer(request: Request) -> Response:
        if request.headers.get("Authorization") == BASIC:
            return Response(200, MANIFEST, {"Content-Type": DOCKER_MANIFEST})
        return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})

    with serving(answer) as server:
        name = "127.0.0.1:1"
        client = RegistryClient(name, credentials=store(name), address=server.host)
        found = client.get_manifest(Reference(name, "app", "1"))
    assert found.digest == digest_of(MANIFEST)


def test_a_wrong_password_is_sent_once(store: Callable[..., CredentialStore]) -> None:
    """Some registries lock an account after a few."""
    challenge = {"WWW-Authenticate": "Basic realm=x"}
    with serving(lambda request: Response(401, b"", challenge)) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        for _ in range(2):
            with pytest.raises(RegistryError):
                client.get_manifest(_ref(server))
        assert [request.headers.get("Authorization") for request in server.requests] == [None, BASIC, BASIC]


def test_one_token_serves_many_requests(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    client = RegistryClient(server.host, credentials=store(server.host))
    for _ in range(3):
        client.get_manifest(_ref(server))
    assert len(registry.granted) == 1
    assert registry.granted[0].headers["Authorization"] == BASIC
    assert "service=svc" in registry.granted[0].path


def test_push_rights_are_asked_for_first(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    client = RegistryClient(server.host, credentials=store(server.host))
    client.will_push("app")
    client.get_manifest(_ref(server))
    client.put_manifest(_ref(server), MANIFEST, DOCKER_MANIFEST)
    assert registry.scopes() == [["repository:app:push,pull"]]


def test_a_stale_token_is_renewed_once_and_the_request_resent(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    client = RegistryClient(server.host, credentials=store(server.host))
    client.get_manifest(_ref(server))
    registry.valid = lambda token: token != "t1"
    client.get_manifest(_ref(server))
    assert len(registry.granted) == 2


def test_a_registry_that_rejects_every_token_is_asked_twice_and_no_more(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    registry.valid = lambda token: False
    client = RegistryClient(server.host, credentials=store(server.host))
    with pytest.raises(RegistryError) as raised:
        client.get_manifest(_ref(server))
    assert raised.value.auth_expired
    assert len(server.requests) == 3  # without, the token, with


def test_many_threads_share_one_token(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    slow = threading.Event()

    def answer(request: Request) -> Response:
        slow.wait(0.2)
        return _json({"access_token": "t"})

    registry.answer_token = answer
    client = RegistryClient(server.host, credentials=store(server.host))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.get_manifest(_ref(server)), range(16)))
    assert len(registry.granted) == 1


def test_an_identity_token_is_posted(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    client = RegistryClient(server.host, credentials=store(server.host, identitytoken="idt"))
    client.get_manifest(_ref(server))
    (request,) = registry.granted
    form = parse_qs(request.body.decode())
    assert (request.method, form["grant_type"], form["refresh_token"]) == ("POST", ["refresh_token"], ["idt"])
    assert form["scope"] == ["repository:app:pull"]


def test_a_token_server_without_post_is_asked_by_get(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    registry.answer_token = lambda r: Response(404) if r.method == "POST" else _json({"token": "t"})
    entry = {"username": "ci", "password": "pw", "identitytoken": "idt"}
    RegistryClient(server.host, credentials=store(server.host, **entry)).get_manifest(_ref(server))
    assert [request.method for request in registry.granted] == ["POST", "GET"]


def test_a_registry_token_is_sent_as_it_is(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    registry.valid = lambda token: token == "rt"
    RegistryClient(server.host, credentials=store(server.host, registrytoken="rt")).get_manifest(_ref(server))
    assert not registry.granted


@pytest.mark.parametrize(
    ("answer", "kind", "permanent"),
    [
        (Response(401, b"no"), "auth_expired", False),
        (Response(403, b"no"), "remote", True),
        (Response(429, b"", {"Retry-After": "2"}), "remote", False),
        (Response(500), "remote", False),
        (_json({}), "remote", True),
        (_json({"token": 7}), "remote", True),
        (_json({"token": "two\r\nX-Injected: lines"}), "remote", True),
        (Response(302, b"", {"Location": "https://elsewhere.example/token"}), "remote", True),
    ],
)
def test_token_servers_that_refuse(
    bearer: tuple[Bearer, Server],
    store: Callable[..., CredentialStore],
    answer: Response,
    kind: str,
    permanent: bool,
) -> None:
    registry, server = bearer
    registry.answer_token = lambda request: answer
    with pytest.raises(RegistryError) as raised:
        RegistryClient(server.host, credentials=store(server.host)).get_manifest(_ref(server))
    assert (raised.value.kind, raised.value.permanent) == (kind, permanent)


def test_a_token_server_elsewhere_gets_no_password_over_http(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    registry.realm = "http://collector.example/token"
    with pytest.raises(
        RegistryError, match=r"is not https: http://collector\.example; no credential was sent"
    ):
        RegistryClient(server.host, credentials=store(server.host)).get_manifest(_ref(server))


def test_netrc_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Callable[..., CredentialStore]
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(lambda request: Response(200, MANIFEST)) as server:
        RegistryClient(server.host, credentials=store(server.host)).get_manifest(_ref(server))
        assert "Authorization" not in server.requests[0].headers


def test_loopback_is_not_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, store: Callable[..., CredentialStore]
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(lambda request: Response(200, MANIFEST)) as server:
        RegistryClient(server.host, credentials=store(server.host)).get_manifest(_ref(server))


def test_a_redirected_blob_gets_no_credential_at_the_other_host(
    store: Callable[..., CredentialStore],
) -> None:
    blob = b"{}"
    with serving(lambda request: Response(200, blob)) as storage:

        def answer(request: Request) -> Response:
            if request.headers.get("Authorization") != BASIC:
                return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})
            return Response(307, b"", {"Location": f"http://{storage.host}/signed?x=1"})

        with serving(answer) as server:
            client = RegistryClient(server.host, credentials=store(server.host))
            assert client.get_blob(_ref(server), digest_of(blob)) == blob
        assert storage.paths() == ["GET /signed?x=1"]
        assert "Authorization" not in storage.requests[0].headers


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://elsewhere.example/x", "http://[::1/x", "/loop"]
)
def test_redirects_that_are_refused(store: Callable[..., CredentialStore], target: str) -> None:
    with serving(lambda request: Response(302, b"", {"Location": target})) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        with pytest.raises(RegistryError, match="redirect"):
            client.get_blob(_ref(server), digest_of(b""))


def test_content_is_checked_against_its_digest(store: Callable[..., CredentialStore]) -> None:
    with serving(lambda request: Response(200, MANIFEST)) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        wrong = _ref(server).with_digest("sha256:" + "0" * 64)
        with pytest.raises(RegistryError, match="sent other content"):
            client.get_manifest(wrong)
        with pytest.raises(RegistryError, match="sent other content"):
            client.get_blob(wrong, wrong.digest)


def test_bodies_are_capped(store: Callable[..., CredentialStore]) -> None:
    with serving(lambda request: Response(200, b"x" * (5 << 20))) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        with pytest.raises(RegistryError, match="larger than"):
            client.get_manifest(_ref(server))


def test_a_put_that_stores_other_content_is_an_error(store: Callable[..., CredentialStore]) -> None:
    other = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    with serving(lambda request: Response(201, b"", other)) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        with pytest.raises(RegistryError, match="stored other content"):
            client.put_manifest(_ref(server), MANIFEST, DOCKER_MANIFEST)


def test_a_head_without_its_headers_is_read_instead(store: Callable[..., CredentialStore]) -> None:
    """The spec lets a registry leave Docker-Content-Digest out."""
    with serving(lambda request: Response(200, MANIFEST, {"Content-Type": DOCKER_MANIFEST})) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        found = client.head_manifest(_ref(server))
    assert (found.digest, found.size, found.media_type) == (
        digest_of(MANIFEST),
        len(MANIFEST),
        DOCKER_MANIFEST,
    )


def test_resolve_names_the_platforms_of_an_index_without_attestations(
    store: Callable[..., CredentialStore],
) -> None:
    entries = [
        {"platform": {"os": "linux", "architecture": "amd64"}},
        {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {"platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    with serving(lambda request: Response(200, index)) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        assert client.resolve(_ref(server)) == (digest_of(index), OCI_INDEX, ("linux/amd64", "linux/arm64"))


@pytest.mark.parametrize(
    "link",
    [
        "/v2/app/tags/list?next_page=x",
        "?next_page=x",
        "https://elsewhere.example/v2/app/tags/list?next_page=x",
    ],
)
def test_tags_are_read_page_after_page_from_the_same_host(
    store: Callable[..., CredentialStore], link: str
) -> None:
    def answer(request: Request) -> Response:
        if request.path == "/v2/app/tags/list?next_page=x":
            return _json({"name": "app", "tags": ["c"]})
        page = _json({"name": "app", "tags": ["a", "b"]})
        return Response(200, page.body, {**page.headers, "Link": f'<{link}>; rel="next"'})

    with serving(answer) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        assert client.tags(_ref(server)) == ["a", "b", "c"]


def test_a_list_of_tags_without_end_ends(store: Callable[..., CredentialStore]) -> None:
    endless = {"Link": "<?last=a>; rel=next"}
    with serving(lambda request: Response(200, b'{"tags": ["a"]}', endless)) as server:
        client = RegistryClient(server.host, credentials=store(server.host))
        assert len(client.tags(_ref(server))) == 100


def test_a_loopback_registry_that_wants_tls_gets_tls(store: Callable[..., CredentialStore]) -> None:
    refusal = b"Client sent an HTTP request to an HTTPS server.\n"
    with serving(lambda request: Response(400, refusal)) as server:
        client = RegistryClient(server.host, credentials=store(server.host), timeout=60)
        with pytest.raises(RegistryError) as raised:
            client.get_manifest(_ref(server))
    assert raised.value.kind == "push"
    assert "SSL" in raised.value.message
    assert [request.method for request in server.requests if request.method] == ["GET"]


def test_authorities_that_are_none(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("these are no certificates\n")
    with pytest.raises(RegistryError, match=r"ca\.pem cannot be read: is it a PEM file"):
        RegistryClient("r.example", credentials=CredentialStore(None), ca_bundle=bundle)


def test_other_hosts_are_spoken_to_over_https_only() -> None:
    client = RegistryClient("r.example", credentials=CredentialStore(None, None))
    assert client.url("/v2/") == "https://r.example/v2/"
    insecure = RegistryClient("r.example:5000", credentials=CredentialStore(None, None), insecure=True)
    assert insecure.url("/v2/") == "http://r.example:5000/v2/"
    hub = RegistryClient("docker.io", credentials=CredentialStore(None, None))
    assert hub.url("/v2/") == "https://registry-1.docker.io/v2/"


def test_renewing_a_credential_that_is_still_rejected_fails(store: Callable[..., CredentialStore]) -> None:
    challenge = {"WWW-Authenticate": "Basic realm=x"}
    with serving(lambda request: Response(401, b"", challenge)) as server:
        credentials = store(server.host)
        client = RegistryClient(server.host, credentials=credentials)
        with pytest.raises(CredentialError, match="The same credential came back, and it is rejected"):
            client.renew(credentials.for_host(server.host), _ref(server))


def test_renewing_gives_a_busy_registry_the_benefit_of_the_doubt(
    bearer: tuple[Bearer, Server], store: Callable[..., CredentialStore]
) -> None:
    registry, server = bearer
    registry.answer_token = lambda request: Response(503)
    credentials = store(server.host)
    client = RegistryClient(server.host, credentials=credentials)
    assert client.renew(credentials.for_host(server.host), _ref(server)).generation == 1
