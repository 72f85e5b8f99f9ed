"""Registries that do something else than the specification: each works, or says why it does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from registry.client import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    RegistryClient,
    digest_of,
)
from registry.commands import CommandRefresher
from registry.credentials import CredentialStore
from registry.errors import RegistryError
from registry.events import RegistryEvent
from registry.manifest import move_tag, publish
from registry.push import Pushed
from registry.reference import Reference
from tests.registry.conftest import FAST
from tests.registry.http import Request, Response, serving

CONFIG = json.dumps({"os": "linux", "architecture": "amd64"}).encode()
ABOUT_CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(CONFIG)}
BARE = {"schemaVersion": 2, "config": ABOUT_CONFIG, "layers": []}
MANIFEST = json.dumps({**BARE, "mediaType": OCI_MANIFEST}).encode()
BARE_INDEX = {
    "schemaVersion": 2,
    "manifests": [{"digest": digest_of(MANIFEST), "platform": {"os": "linux", "architecture": "amd64"}}],
}
JSON = {"Content-Type": "application/json"}
DENIED = b'{"errors":[{"code":"DENIED","message":"denied"}]}'
Answer = Callable[[Request], Response]


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def manifest(request: Request) -> Response:
    if "/blobs/" in request.path:
        return Response(200, CONFIG)
    if request.method == "PUT":
        return Response(201)
    return Response(
        200, MANIFEST, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest_of(MANIFEST)}
    )


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., RegistryClient]:
    """`client(host, login, namespace=login, …)`: with a file of these, at `tmp_path / "config.json"`."""

    def make(host: str, login: str = "", refresher: Any = None, **spaces: str) -> RegistryClient:
        keys = {f"{host}/{space}": text for space, text in spaces.items()} | ({host: login} if login else {})
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"auths": {key: auth(text) for key, text in keys.items()}}))
        return RegistryClient(host, credentials=CredentialStore(path, refresher), timeout=20)

    return make


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


Make = Callable[..., RegistryClient]


def said(request: Request) -> str:
    return request.headers.get("Authorization", "")


# --- Namespaces


def test_each_repository_is_asked_for_with_the_login_of_its_namespace(client: Make) -> None:
    def answer(request: Request) -> Response:
        if not said(request):
            return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        if request.path.endswith("/tags/list?n=1000"):
            return Response(200, b'{"tags": null}', JSON)
        return manifest(request)

    with serving(answer) as server:
        ours = client(server.host, team="a:pa", other="b:pb")
        for repository, login in (("team/x", "a:pa"), ("other/x", "b:pb"), ("team/y", "a:pa")):
            ref = Reference(server.host, repository, "1")
            ours.resolve(ref)
            ours.put_manifest(ref, MANIFEST, OCI_MANIFEST)
            ours.tags(ref)
            ours.delete_manifest(ref)
            ours.ping(ref.repository)
            sent = {said(request) for request in server.requests if repository in request.path}
            assert sent <= {"", basic(login)}
            assert basic(login) in sent
        with pytest.raises(RegistryError, match="HTTP 401"):
            ours.head_manifest(Reference(server.host, "third/x", "1"))
        assert said(server.requests[-1]) == ""


# --- Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_manifests_tags_and_blobs_are_followed_and_the_login_stays(client: Make, status: int) -> None:
    def answer(request: Request) -> Response:
        return Response(200, b'{"tags": ["a"]}') if "/tags/" in request.path else manifest(request)

    def front(request: Request) -> Response:
        if said(request) != basic("ci:pw"):
            return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        return Response(status, b"", {"Location": f"http://{behind.host}{request.path}"})

    with serving(answer) as behind, serving(front) as server:
        ours, ref = client(server.host, "ci:pw"), Reference(server.host, "a/x", "1")
        assert ours.head_manifest(ref).digest == digest_of(MANIFEST)
        assert ours.resolve(ref)[2] == ("linux/amd64",)
        assert ours.tags(ref) == ["a"]
        assert {request.method for request in behind.requests} == {"HEAD", "GET"}
        assert {said(request) for request in behind.requests} == {""}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("relative", [True, False])
def test_a_redirect_within_the_registry_keeps_method_body_and_login(
    client: Make, status: int, relative: bool
) -> None:
    def answer(request: Request) -> Response:
        if said(request) != basic("ci:pw"):
            return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        if "/moved/" in request.path:
            return manifest(request)
        to = request.path.replace("/a/", "/moved/a/")
        return Response(status, b"", {"Location": to if relative else f"http://{server.host}{to}"})

    with serving(answer) as server:
        ours, ref = client(server.host, "ci:pw"), Reference(server.host, "a/x", "1")
        assert ours.put_manifest(ref, MANIFEST, OCI_MANIFEST) == digest_of(MANIFEST)
        arrived = server.requests[-1]
        assert (arrived.method, arrived.path, arrived.body) == ("PUT", "/v2/moved/a/x/manifests/1", MANIFEST)
        assert arrived.headers["Content-Type"] == OCI_MANIFEST
        assert ours.get_manifest(ref).digest == digest_of(MANIFEST)


def test_a_publishing_is_not_taken_for_done_where_the_registry_leads_to_something_to_read(
    client: Make,
) -> None:
    def answer(request: Request) -> Response:
        return Response(303, b"", {"Location": "/page"}) if request.method == "PUT" else Response(200)

    with serving(answer) as server, pytest.raises(RegistryError, match="HTTP 303"):
        client(server.host).put_manifest(Reference(server.host, "a/x", "1"), MANIFEST, OCI_MANIFEST)


def test_a_redirect_does_not_bring_the_login_back_from_a_detour(client: Make) -> None:
    def away(request: Request) -> Response:
        return Response(307, b"", {"Location": f"http://{server.host}/back"})

    def answer(request: Request) -> Response:
        if request.path == "/back":
            return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        if not said(request):
            return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        return Response(307, b"", {"Location": f"http://{elsewhere.host}/"})

    with serving(away) as elsewhere, serving(answer) as server:
        ours = client(server.host, "ci:pw")
        with pytest.raises(RegistryError, match="HTTP 401"):
            ours.get_manifest(Reference(server.host, "a/x", "1"))
        assert {
            said(r) for r in [*elsewhere.requests, *server.requests] if r.path != "/v2/a/x/manifests/1"
        } == {""}


@pytest.mark.parametrize("status", [401, 403])
def test_where_a_redirect_leads_nobody_names_a_token_server_for_our_login(client: Make, status: int) -> None:
    def collector(request: Request) -> Response:
        asks = f'Bearer realm="http://{elsewhere.host}/token"'
        return Response(status, b"", {"WWW-Authenticate": asks})

    with serving(collector) as elsewhere:
        to = {"Location": f"http://{elsewhere.host}/x"}
        with serving(lambda request: Response(307, b"", to)) as server:
            ours = client(server.host, "ci:pw")
            for _ in range(2):
                with pytest.raises(RegistryError, match="where a redirect leads") as raised:
                    ours.get_manifest(Reference(server.host, "a/x", "1"))
            assert not raised.value.auth_expired
            assert elsewhere.paths() == ["GET /x"] * 2
            assert {said(request) for request in elsewhere.requests} == {""}


def test_redirects_without_end_end(client: Make) -> None:
    def answer(request: Request) -> Response:
        return Response(307, b"", {"Location": f"{request.path}x"})

    with serving(answer) as server:
        with pytest.raises(RegistryError, match="more than 5 redirects"):
            client(server.host).get_manifest(Reference(server.host, "a/x", "1"))
        assert len(server.requests) == 6


class TokenServer:
    """A registry with a token server that moved: `/token` is asked for, `moved` says where it is."""

    def __init__(self, status: int = 308, moved: str = "/new", token: Response | None = None) -> None:
        self.status, self.moved = status, moved
        self.token = token or Response(200, b'{"token": "good"}', JSON)

    def __call__(self, request: Request) -> Response:
        path, _, query = request.path.partition("?")
        if path == "/token":
            return Response(self.status, b"", {"Location": f"{self.moved}?{query}"})
        if path == "/new":
            return self.token
        if said(request) == "Bearer good":
            return manifest(request)
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="r"'
        return Response(401, b"", {"WWW-Authenticate": realm})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_server_that_moved_is_followed_with_the_login(client: Make, status: int) -> None:
    with serving(TokenServer(status)) as server:
        ours = client(server.host, "ci:pw")
        assert ours.head_manifest(Reference(server.host, "a/x", "1")).digest == digest_of(MANIFEST)
        asked = [request for request in server.requests if request.path.startswith(("/token", "/new"))]
        assert [said(request) for request in asked] == [basic("ci:pw")] * 2
        assert "scope=repository%3Aa%2Fx%3Apull" in asked[-1].path


@pytest.mark.parametrize("entry", [auth("ci:pw"), {"identitytoken": "refresh-me"}])
def test_a_token_server_that_moved_to_another_host_is_not_told_the_login(
    client: Make, tmp_path: Path, entry: dict[str, str]
) -> None:
    registry = TokenServer()
    with serving(lambda request: registry.token) as elsewhere, serving(registry) as server:
        registry.moved = f"http://{elsewhere.host}/new"
        ours = client(server.host, "ci:pw")
        (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: entry}}))
        with pytest.raises(RegistryError, match="which is not told who we are"):
            ours.head_manifest(Reference(server.host, "a/x", "1"))
        assert elsewhere.requests == []
        nobody = RegistryClient(server.host, credentials=CredentialStore(None))
        assert nobody.head_manifest(Reference(server.host, "a/x", "1")).digest == digest_of(MANIFEST)
        assert {said(request) for request in elsewhere.requests} == {""}


# --- Token servers


@pytest.mark.parametrize(
    "body",
    [
        b'{"token": "good"}',
        b'{"access_token": "good"}',
        b'{"token": "", "access_token": "good"}',
        b'{"token": null, "access_token": "good", "expires_in": "300"}',
        b'\xef\xbb\xbf{"token": "good", "expires_in": null}',
    ],
)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain"}, {"Content-Type": "text/html"}, {"Content-Type": "binary/x"}],
)
def test_a_token_of_whatever_content_type(client: Make, body: bytes, headers: dict[str, str]) -> None:
    with serving(TokenServer(token=Response(201, body, headers))) as server:
        ours = client(server.host, "ci:pw")
        assert ours.head_manifest(Reference(server.host, "a/x", "1")).digest == digest_of(MANIFEST)


@pytest.mark.parametrize("refusal", [400, 401, 404, 405, 501])
def test_a_token_server_that_takes_no_refresh_token_is_asked_with_the_password(
    client: Make, tmp_path: Path, refusal: int
) -> None:
    def answer(request: Request) -> Response:
        if request.path.startswith("/token"):
            return Response(refusal) if request.method == "POST" else Response(200, b'{"token": "good"}')
        return TokenServer()(request)

    with serving(answer) as server:
        ours, ref = client(server.host), Reference(server.host, "a/x", "1")
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"auths": {server.host: {**auth("ci:pw"), "identitytoken": "t"}}}))
        assert ours.head_manifest(ref).digest == digest_of(MANIFEST)
        path.write_text(json.dumps({"auths": {server.host: {"identitytoken": "another"}}}))
        with pytest.raises(RegistryError, match=f"HTTP {refusal}"):
            ours.head_manifest(ref)
        assert server.requests[-1].method == "POST", "nobody asks for a token of nobody's"


# --- Challenges


class Harbor:
    """Answers a Bearer that is no longer good with Basic, which it takes or not."""

    def __init__(self, *, takes_basic: bool = False) -> None:
        self.tokens = 0
        self.takes_basic = takes_basic

    def __call__(self, request: Request) -> Response:
        if request.path.startswith("/service/token"):
            self.tokens += 1
            return Response(200, json.dumps({"token": f"t{self.tokens}", "expires_in": 1800}).encode())
        if said(request) == f"Bearer t{self.tokens}" or (
            self.takes_basic and said(request) == basic("ci:pw")
        ):
            return manifest(request)
        bearer = f'Bearer realm="http://{request.headers["Host"]}/service/token",service="harbor"'
        return Response(401, b"", {"WWW-Authenticate": 'Basic realm="harbor"' if said(request) else bearer})


def test_a_basic_challenge_that_answers_a_bad_bearer_is_not_believed(client: Make) -> None:
    registry = Harbor()
    with serving(registry) as server:
        ours, ref = client(server.host, "ci:pw"), Reference(server.host, "a/x", "1")
        ours.head_manifest(ref)
        for _ in range(3):
            registry.tokens += 1  # the registry was started again, with another key
            assert ours.head_manifest(ref).digest == digest_of(MANIFEST)
        assert basic("ci:pw") not in {said(r) for r in server.requests if r.path.startswith("/v2/")}


def test_a_registry_that_went_over_to_basic_is_followed(client: Make) -> None:
    registry = Harbor(takes_basic=True)
    with serving(registry) as server:
        ours, ref = client(server.host, "ci:pw"), Reference(server.host, "a/x", "1")
        ours.head_manifest(ref)
        registry.__class__, registry.tokens = _WithoutTokens, 99
        ours.head_manifest(ref)
        ours.head_manifest(ref)
        assert said(server.requests[-1]) == said(server.requests[-2]) == basic("ci:pw")


class _WithoutTokens(Harbor):
    """Its token server gives what the registry does not take any more."""

    def __call__(self, request: Request) -> Response:
        if request.path.startswith("/service/token"):
            return Response(200, b'{"token": "worthless"}')
        return super().__call__(request)


def test_a_token_that_is_said_to_have_expired_with_403_is_renewed(client: Make) -> None:
    registry = Harbor()

    def answer(request: Request) -> Response:
        given = registry(request)
        if given.status == 401 and said(request):
            return Response(403, b'{"errors":[{"code":"DENIED","message":"Your token has expired"}]}')
        return given

    with serving(answer) as server:
        ours, ref = client(server.host, "ci:pw"), Reference(server.host, "a/x", "1")
        ours.get_manifest(ref)
        registry.tokens += 1
        ours.get_manifest(ref)


# --- What denies, and may mean that it has expired


def ghcr(request: Request) -> Response:
    """Says of a login that has expired that it is denied, without a word of why."""
    if request.path.startswith("/token"):
        good = said(request) == basic("ci:new")
        return Response(200, b'{"token": "good"}', JSON) if good else Response(403, DENIED, JSON)
    if said(request) == "Bearer good":
        return manifest(request)
    realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="ghcr.io"'
    return Response(401, b"", {"WWW-Authenticate": realm})


@pytest.fixture
def command(tmp_path: Path) -> Callable[[str, str], CommandRefresher]:
    """`command(host, login)` writes that login, and a line for each of its runs."""

    def make(host: str, login: str) -> CommandRefresher:
        (tmp_path / "new.json").write_text(json.dumps({"auths": {host: auth(login)}}))
        script = f"echo ran >> {tmp_path}/runs; cp {tmp_path}/new.json {tmp_path}/config.json"
        return CommandRefresher(["sh", "-c", script])

    return make


def runs(tmp_path: Path) -> int:
    ran = tmp_path / "runs"
    return len(ran.read_text().split()) if ran.exists() else 0


def moved(ours: RegistryClient, host: str, events: list[RegistryEvent], lines: list[str]) -> None:
    move_tag(
        client=ours,
        target=Reference(host, "a/x", digest=digest_of(MANIFEST)),
        tag="latest",
        report=events.append,
        line=lines.append,
        policy=FAST,
    )


def test_what_is_denied_is_refreshed_once(client: Make, command: Any, tmp_path: Path) -> None:
    events, lines = list[RegistryEvent](), list[str]()
    with serving(ghcr) as server:
        moved(client(server.host, "ci:old", command(server.host, "ci:new")), server.host, events, lines)
    assert runs(tmp_path) == 1
    assert [event.type for event in events] == ["auth_refresh_started", "auth_refresh_succeeded"]
    assert lines[-1].startswith("Tag latest moved")


@pytest.mark.parametrize("answer", [ghcr, lambda request: Response(403, DENIED, JSON)])
def test_what_is_denied_after_a_refresh_stays_denied(
    client: Make, command: Any, tmp_path: Path, answer: Answer
) -> None:
    """It is no login to renew then, but a right to give; and the next push does not run the command again."""
    with serving(answer) as server:
        ours = client(server.host, "ci:old", command(server.host, "ci:older"))
        for _ in range(3):
            with pytest.raises(RegistryError, match="denied") as raised:
                moved(ours, server.host, [], [])
            assert (raised.value.kind, raised.value.permanent) == ("remote", True)
    assert runs(tmp_path) == 1


def test_what_is_denied_is_not_refreshed_where_nothing_can_bring_another(client: Make) -> None:
    events = list[RegistryEvent]()
    with serving(ghcr) as server, pytest.raises(RegistryError, match=r"DENIED: denied$"):
        moved(client(server.host, "ci:old"), server.host, events, [])
    assert events == []


# --- HEAD


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_where_head_is_refused_get_is_asked(client: Make, status: int) -> None:
    def answer(request: Request) -> Response:
        return Response(status) if request.method == "HEAD" else manifest(request)

    with serving(answer) as server:
        ours, ref = client(server.host), Reference(server.host, "a/x", "1")
        for _ in range(2):
            found = ours.head_manifest(ref)
            assert (found.digest, found.media_type) == (digest_of(MANIFEST), OCI_MANIFEST)
            assert found.size == len(MANIFEST)
        heads = [request.method for request in server.requests].count("HEAD")
        assert heads == (1 if status in (405, 501) else 2), "which know no HEAD are not asked again"


def test_where_get_is_refused_too_it_says_why(client: Make) -> None:
    refused = pytest.raises(RegistryError, match="HTTP 403 DENIED: denied")
    with serving(lambda request: Response(403, DENIED, JSON)) as server, refused:
        client(server.host).head_manifest(Reference(server.host, "a/x", "1"))


# --- Content types


@pytest.mark.parametrize(
    "told", ["", "application/octet-stream", "text/plain; charset=utf-8", "application/json", OCI_MANIFEST]
)
@pytest.mark.parametrize("own", ["", OCI_INDEX, DOCKER_LIST, "application/octet-stream"])
def test_an_index_is_known_by_what_it_is(client: Make, told: str, own: str) -> None:
    body = json.dumps({**BARE_INDEX, **({"mediaType": own} if own else {})}).encode()

    def answer(request: Request) -> Response:
        if digest_of(MANIFEST) in request.path or "/blobs/" in request.path:
            return manifest(request)
        about = {"Content-Type": told} if told else {}
        return Response(200, body, {**about, "Docker-Content-Digest": digest_of(body)})

    with serving(answer) as server:
        ours, ref = client(server.host), Reference(server.host, "a/x", "1")
        kind = own if own in (OCI_INDEX, DOCKER_LIST) else OCI_INDEX
        assert ours.resolve(ref) == (digest_of(body), kind, ("linux/amd64",))
        assert ours.child_of(ref, ours.get_manifest(ref), "linux/amd64").digest == digest_of(MANIFEST)
        if told != OCI_MANIFEST:
            assert ours.head_manifest(ref).media_type == kind


@pytest.mark.parametrize(
    ("told", "kind"),
    [("", OCI_MANIFEST), ("text/plain", OCI_MANIFEST), (DOCKER_MANIFEST, DOCKER_MANIFEST),
     (OCI_INDEX, OCI_MANIFEST)],
)  # fmt: skip
def test_an_image_is_known_by_what_it_is(client: Make, told: str, kind: str) -> None:
    headers = {"Content-Type": told} if told else {}
    with serving(lambda request: Response(200, json.dumps(BARE).encode(), headers)) as server:
        assert client(server.host).get_manifest(Reference(server.host, "a/x", "1")).media_type == kind


def test_what_is_index_and_image_at_once_is_neither(client: Make) -> None:
    body = json.dumps({**BARE, **BARE_INDEX}).encode()
    refused = pytest.raises(RegistryError, match="both an index and an image")
    with serving(lambda request: Response(200, body)) as server, refused:
        client(server.host).get_manifest(Reference(server.host, "a/x", "1"))


# --- Registries that take no OCI index


class Older:
    """Takes manifests of the types that it knows, says `why` of others, and keeps what it took."""

    def __init__(self, *known: str, status: int = 400, why: object = "manifest schema unsupported") -> None:
        self.known, self.status, self.why = known, status, why
        self.held: dict[str, bytes] = {}
        self.types: list[str] = []

    def __call__(self, request: Request) -> Response:
        name = request.path.rpartition("/")[2]
        if request.method == "PUT":
            self.types.append(request.headers["Content-Type"])
            if self.types[-1] not in self.known:
                error = {"code": "MANIFEST_INVALID", "message": "manifest invalid", "detail": self.why}
                return Response(self.status, json.dumps({"errors": [error]}).encode(), JSON)
            self.held[name] = request.body
            return Response(201)
        if "/blobs/" in request.path or name == digest_of(MANIFEST):
            return manifest(request)
        return Response(200, self.held[name]) if name in self.held else Response(404)


def published(ours: RegistryClient, host: str, lines: list[str]) -> str:
    return publish(
        client=ours,
        target=Reference(host, "a/x", "1"),
        children=[Pushed("linux/amd64", digest_of(MANIFEST), len(MANIFEST), OCI_MANIFEST)],
        annotations={"org.opencontainers.image.revision": "abc"},
        report=lambda event: None,
        line=lines.append,
        policy=FAST,
    )


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415, 422, 501])
def test_dockers_list_is_published_where_no_index_is_taken(client: Make, status: int) -> None:
    registry, lines = Older(DOCKER_LIST, status=status), list[str]()
    with serving(registry) as server:
        ours = client(server.host)
        digest = published(ours, server.host, lines)
        assert digest_of(registry.held["1"]) == digest
        assert json.loads(registry.held["1"])["mediaType"] == DOCKER_LIST
        assert published(ours, server.host, []) == digest
    assert registry.types == [OCI_INDEX, DOCKER_LIST, OCI_INDEX], "the same list is not written again"
    assert "takes no OCI index" in lines[0]
    assert "manifest schema unsupported" in lines[0]


def test_where_neither_is_taken_both_refusals_are_told_with_their_detail(client: Make) -> None:
    registry = Older(why={"reason": "only schema 2"})
    with serving(registry) as server, pytest.raises(RegistryError) as raised:
        published(client(server.host), server.host, [])
    assert (raised.value.kind, raised.value.permanent) == ("remote", True)
    first, second = raised.value.message.splitlines()
    assert '"reason": "only schema 2"' in first
    assert second.startswith("Nor does it take a Docker manifest list: ")
    assert registry.types == [OCI_INDEX, DOCKER_LIST]


def test_a_passing_fault_is_no_reason_for_another_kind_of_index(client: Make) -> None:
    registry = Older(DOCKER_LIST, status=503, why="maintenance")
    with serving(registry) as server, ExitStack() as stack:
        stack.enter_context(pytest.raises(RegistryError, match="HTTP 503"))
        published(client(server.host), server.host, [])
    assert set(registry.types) == {OCI_INDEX}
