"""Whoever may name an image, a repository, a document or a channel names an address, and the platform asks
there from inside of its network: what lies on this machine or in private networks is not asked for strangers,
whatever the address hides in, and no answer of it is shown."""

from __future__ import annotations

import ast
import ipaddress
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from rest_framework.test import APIClient

import outbound
from catalog import fetch
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.errors import Invalid, SourceError, UserError
from hosting.runtimes import docker_faults
from hosting.sources.package_index import File, PackageIndex
from outbound import addresses
from registry.client import DOCKER_MANIFEST, RegistryClient, digest_of
from registry.credentials import CredentialStore
from registry.errors import RegistryError
from registry.reference import Reference
from servers.deploying import fetching, registries
from servers.models import Server
from servers.validation import clean_source
from tests import rooms
from tests.notices.receiver import receiving
from tests.registry.http import Request, Response, serving
from tests.registry.http import Server as Listener
from tests.security.inside import SECRET, inside, leads, unnamed

__all__ = ["inside", "leads", "unnamed"]
CONFIG = json.dumps({"os": "linux", "architecture": "amd64", "config": {}}).encode()
MANIFEST = json.dumps({"mediaType": DOCKER_MANIFEST, "config": {"digest": digest_of(CONFIG)}}).encode()
NOBODY, OUTSIDE = False, True

# address, whether a stranger may have it asked, whether an administrator may
ADDRESSES = [
    ("93.184.216.34", OUTSIDE, True),
    ("2606:2800:220:1::1", OUTSIDE, True),
    ("127.0.0.1", NOBODY, True),
    ("127.8.8.8", NOBODY, True),
    ("10.0.0.1", NOBODY, True),
    ("172.16.0.1", NOBODY, True),
    ("192.168.1.1", NOBODY, True),
    ("100.64.0.1", NOBODY, True),  # carrier-grade NAT
    ("198.18.0.1", NOBODY, True),
    ("::1", NOBODY, True),
    ("fd12::1", NOBODY, True),
    ("fec0::1", NOBODY, True),  # site-local
    ("feff::1", NOBODY, True),
    ("169.254.169.254", NOBODY, False),
    ("fe80::1", NOBODY, False),
    ("0.0.0.0", NOBODY, False),
    ("0.1.2.3", NOBODY, False),
    ("::", NOBODY, False),
    ("224.0.0.1", NOBODY, False),
    ("ff02::1", NOBODY, False),
    ("fd00:ec2::254", NOBODY, False),  # Amazon's metadata
    ("fd20:ce::254", NOBODY, False),  # Google's
    ("100.100.100.200", NOBODY, False),  # Alibaba's
    ("168.63.129.16", NOBODY, False),  # Azure's, a public address
    ("::ffff:127.0.0.1", NOBODY, True),  # IPv4-mapped
    ("::ffff:169.254.169.254", NOBODY, False),
    ("::ffff:93.184.216.34", OUTSIDE, True),
    ("::ffff:0:127.0.0.1", NOBODY, True),  # IPv4-translated
    ("::127.0.0.1", NOBODY, True),  # IPv4-compatible
    ("::169.254.169.254", NOBODY, False),
    ("64:ff9b::7f00:1", NOBODY, True),  # NAT64
    ("64:ff9b::a9fe:a9fe", NOBODY, False),
    ("64:ff9b::5db8:d822", OUTSIDE, True),
    ("64:ff9b:1::7f00:1", NOBODY, True),  # NAT64 of one network
    ("64:ff9b:1::5db8:d822", NOBODY, True),
    ("64:ff9b:1::a9fe:a9fe", NOBODY, False),
    ("64:ff9b:1:a9fe:a9:fe00::", NOBODY, False),
    ("2002:7f00:1::", NOBODY, True),  # 6to4
    ("2002:a00:1::1", NOBODY, True),
    ("2002:a9fe:a9fe::", NOBODY, False),
    ("2002:5db8:d822::", OUTSIDE, True),
    ("2001:0:5db8:d822::80ff:fffe", NOBODY, True),  # Teredo of 127.0.0.1
    ("2001:0:5db8:d822::5601:5601", NOBODY, False),  # Teredo of 169.254.169.254
]


@pytest.mark.parametrize(
    ("text", "stranger", "administrator"), ADDRESSES, ids=[each[0] for each in ADDRESSES]
)
def test_an_address_in_every_disguise(text: str, stranger: bool, administrator: bool) -> None:
    address = ipaddress.ip_address(text)
    assert outbound.is_allowed(address, allow_private=False) is stranger
    assert outbound.is_allowed(address, allow_private=True) is administrator


@pytest.mark.parametrize("text", [text for text, stranger, _ in ADDRESSES if not stranger])
def test_a_channel_or_a_document_at_such_an_address_is_not_asked(text: str) -> None:
    host = f"[{text}]" if ":" in text else text
    with (
        pytest.raises(outbound.PrivateAddress),
        outbound.request("GET", urlsplit(f"http://{host}/"), allow_private=False, seconds=5, headers={}),
    ):
        pass
    with pytest.raises(Invalid, match="not fetched from"):
        fetch.get(f"https://{host}/server.json", fetch.Guard())


# --- A stranger's registry, at an address that counts as public


class Stranger:
    """A registry on 127.0.0.2, which stands for an address outside here; `answer` is its whole behaviour."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Response] = lambda _: Response(404)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, leads: dict[str, list[str]]) -> Iterator[tuple[Stranger, str]]:
    outside, is_public = ipaddress.ip_address("127.0.0.2"), addresses.is_public
    monkeypatch.setattr(addresses, "is_public", lambda each: each == outside or is_public(each))
    made = Stranger()
    with serving(lambda request: made.answer(request), "127.0.0.2") as listener:
        leads["registry.example"] = ["127.0.0.2"]
        yield made, f"registry.example:{listener.host.rpartition(':')[2]}"


def look(host: str) -> tuple[str, str, tuple[str, ...]]:
    client = RegistryClient(host, credentials=CredentialStore(None), insecure=True, foreign=True)
    return client.resolve(Reference(host, "app", "v1"))


def good(request: Request) -> Response:
    if "/blobs/" in request.path:
        return Response(200, CONFIG)
    return Response(200, MANIFEST, {"Content-Type": DOCKER_MANIFEST})


def test_a_strangers_registry_outside_is_asked(stranger: tuple[Stranger, str]) -> None:
    registry, host = stranger
    registry.answer = good
    assert look(host)[2] == ("linux/amd64",)


def test_a_blob_redirected_inside(stranger: tuple[Stranger, str], inside: Listener) -> None:
    registry, host = stranger

    def answer(request: Request) -> Response:
        if "/blobs/" in request.path:
            return Response(307, b"", {"Location": f"http://{inside.host}/latest/meta-data/"})
        return good(request)

    registry.answer = answer
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1 is an address of this machine"):
        look(host)
    assert not inside.requests


def test_a_blob_redirected_to_a_name_that_leads_inside(
    stranger: tuple[Stranger, str], inside: Listener, leads: dict[str, list[str]]
) -> None:
    registry, host = stranger
    leads["blobs.example"] = ["127.0.0.1"]
    to = f"http://blobs.example:{inside.host.rpartition(':')[2]}/"
    registry.answer = lambda r: Response(302, b"", {"Location": to}) if "/blobs/" in r.path else good(r)
    with pytest.raises(RegistryError, match=r"blobs\.example is an address of this machine"):
        look(host)
    assert not inside.requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("what", ["/manifests/", "/tags/", "/token"])
@pytest.mark.parametrize("detours", [0, 1])
def test_manifests_tags_and_tokens_redirected_inside(
    stranger: tuple[Stranger, str], inside: Listener, status: int, what: str, detours: int
) -> None:
    registry, host = stranger

    def answer(request: Request) -> Response:
        if what not in request.path and not request.path.startswith("/detour"):
            realm = f'Bearer realm="http://{host}/token",service="x"'
            return Response(401, b"", {"WWW-Authenticate": realm})
        ready = request.path.count("/detour") == detours
        to = f"http://{inside.host}/x" if ready else f"/detour{request.path}"
        return Response(status, b"", {"Location": to})

    registry.answer = answer
    client = RegistryClient(host, credentials=CredentialStore(None), insecure=True, foreign=True)
    ref = Reference(host, "app", "v1")
    for ask in (client.get_manifest, client.head_manifest, client.tags):
        if what == "/token" or (what == "/tags/") == (ask == client.tags):
            with pytest.raises(RegistryError, match=r"127\.0\.0\.1 is an address of this machine"):
                ask(ref)
    if what == "/manifests/" and status != 303:
        with pytest.raises(RegistryError, match="is an address of this machine"):
            client.put_manifest(ref, MANIFEST, DOCKER_MANIFEST)
    assert not inside.requests


@pytest.mark.parametrize("realm", ["https://{inside}/token", "https://tokens.example:{port}/token"])
def test_a_token_server_inside(
    stranger: tuple[Stranger, str], inside: Listener, leads: dict[str, list[str]], realm: str
) -> None:
    registry, host = stranger
    leads["tokens.example"] = ["127.0.0.1"]
    named = realm.format(inside=inside.host, port=inside.host.rpartition(":")[2])
    registry.answer = lambda _: Response(
        401, b"", {"WWW-Authenticate": f'Bearer realm="{named}",service="x"'}
    )
    with pytest.raises(RegistryError, match="is an address of this machine"):
        look(host)
    assert not inside.requests


def test_a_token_server_under_the_registrys_own_name_which_leads_inside_by_then(
    stranger: tuple[Stranger, str], inside: Listener, leads: dict[str, list[str]]
) -> None:
    registry, host = stranger
    leads["registry.example"] = ["127.0.0.2", "127.0.0.1"]
    realm = f"http://registry.example:{inside.host.rpartition(':')[2]}/token"
    registry.answer = lambda _: Response(401, b"", {"WWW-Authenticate": f'Bearer realm="{realm}"'})
    with pytest.raises(RegistryError, match="is an address of this machine"):
        look(host)
    assert not inside.requests


def test_a_list_of_tags_goes_on_at_the_registry_alone(
    stranger: tuple[Stranger, str], inside: Listener
) -> None:
    registry, host = stranger
    link = {"Link": f"<http://{inside.host}/v2/app/tags/list?last=a>; rel=next"}
    registry.answer = lambda r: Response(200, b'{"tags": ["a"]}', {} if "last" in r.path else link)
    client = RegistryClient(host, credentials=CredentialStore(None), insecure=True, foreign=True)
    assert client.tags(Reference(host, "app")) == ["a", "a"]
    assert not inside.requests


def test_a_name_is_looked_up_once_for_a_connection(leads: dict[str, list[str]]) -> None:
    """What was looked at is what is connected to: the second answer is for nobody."""
    leads["rebinding.example"] = ["127.0.0.1", "203.0.113.1"]
    with serving(lambda _: Response(200, MANIFEST)) as listener:
        host = f"rebinding.example:{listener.host.rpartition(':')[2]}"
        client = RegistryClient(host, credentials=CredentialStore(None), insecure=True)
        client.get_manifest(Reference(host, "app", "v1"))
    assert leads["rebinding.example"] == ["203.0.113.1"]


def test_a_name_that_leads_outside_and_inside_at_once(
    leads: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(0, 0, 0, "", ("93.184.216.34", 80)), (0, 0, 0, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(outbound.PrivateAddress):
        addresses.look_up("both.example", 80, allow_private=False)


def test_an_operators_proxy_is_not_asked_for_an_inner_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for host in ("10.0.0.1:5000", "169.254.169.254", "2852039166:80", "[64:ff9b::7f00:1]:5000"):
            with pytest.raises(RegistryError, match="is an address of this machine"):
                look(host)
        assert not proxy.calls


# --- An image


def fetched(server: Server, reference: str, tmp_path: Path) -> str:
    server.source_kind, server.source = "image", {"reference": reference}
    return fetching.source_of(server).fetch(tmp_path / "into", deadline=Deadline.of(60), log=print).revision


def test_an_image_at_the_loopback(unnamed: Any, server: Server, inside: Listener, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is an address of this machine") as caught:
        fetched(server, f"{inside.host}/x", tmp_path)
    assert not inside.requests
    assert f"adds {inside.host} to REGISTRY_PRIVATE_HOSTS" in caught.value.hint


def test_an_image_at_a_name_that_leads_to_the_loopback(
    unnamed: Any, server: Server, inside: Listener, tmp_path: Path, leads: dict[str, list[str]]
) -> None:
    leads["registry.example"] = ["127.0.0.1"]
    with pytest.raises(UserError, match="is an address of this machine"):
        fetched(server, f"registry.example:{inside.host.rpartition(':')[2]}/x", tmp_path)
    assert not inside.requests


def test_whom_the_operator_named_is_asked(
    unnamed: Any, server: Server, tmp_path: Path, subtests_of: Callable[[str], None]
) -> None:
    with serving(good) as registry:
        for setting, value in (
            ("REGISTRY_PRIVATE_HOSTS", [registry.host]),
            ("REGISTRY_PRIVATE_HOSTS", ["127.0.0.1"]),
            ("REGISTRY_INSECURE", [registry.host]),
            ("REGISTRY_SHARED_PREFIXES", [f"{registry.host}/common"]),
            ("REGISTRY", f"{registry.host}/team"),
            ("REGISTRY_ADDRESS", registry.host),
        ):
            subtests_of(setting)
            setattr(unnamed, setting, value)
            assert fetched(server, f"{registry.host}/x", tmp_path) == digest_of(MANIFEST)


@pytest.fixture
def subtests_of(unnamed: Any) -> Callable[[str], None]:
    """Begins anew: nothing named, no client kept."""

    def begin(_: str) -> None:
        unnamed.REGISTRY_PRIVATE_HOSTS, unnamed.REGISTRY_INSECURE = [], []
        unnamed.REGISTRY = unnamed.REGISTRY_ADDRESS = ""
        unnamed.REGISTRY_SHARED_PREFIXES = []
        registries.client.cache_clear()

    return begin


def test_another_port_of_a_named_host_is_not_named(
    unnamed: Any, server: Server, inside: Listener, tmp_path: Path
) -> None:
    unnamed.REGISTRY_PRIVATE_HOSTS = ["127.0.0.1:1"]
    with pytest.raises(UserError, match="is an address of this machine"):
        fetched(server, f"{inside.host}/x", tmp_path)
    assert not inside.requests


@pytest.mark.parametrize(
    "reference",
    ["127.0.0.1:38599/x", "localhost/x", "10.0.0.1/x", "169.254.169.254/x", "127.1/x", "0x7f.1/x"],
)
@pytest.mark.django_db
def test_a_form_or_a_script_that_names_such_an_image(
    unnamed: Any, owner: User, api: Callable[[User], APIClient], reference: str
) -> None:
    body = {"name": "A", "source": {"kind": "image", "reference": reference}}
    answer = api(owner).post("/api/servers/", body, format="json")
    assert answer.status_code == 400, answer.content
    assert "REGISTRY_PRIVATE_HOSTS" in json.dumps(answer.json())
    with pytest.raises(ValidationError, match="REGISTRY_PRIVATE_HOSTS"):
        clean_source("image", {"reference": reference})


@pytest.mark.parametrize("kind", ["text/plain", "text/html", "application/json"])
def test_nothing_of_a_strangers_page_is_in_the_error(kind: str) -> None:
    body = json.dumps({"secret": SECRET}).encode() if kind == "application/json" else SECRET.encode()
    for status in (400, 401, 403, 404, 500):
        with serving(lambda _, s=status: Response(s, body, {"Content-Type": kind})) as listener:
            client = RegistryClient(listener.host, credentials=CredentialStore(None))
            with pytest.raises(RegistryError) as caught:
                client.resolve(Reference(listener.host, "x", "1"))
        assert "sesame" not in str(caught.value)
        assert f"HTTP {status}" in str(caught.value)


def test_what_the_engine_quotes_of_a_page_is_not_shown() -> None:
    said = "error parsing HTTP 404 response body: invalid character 't': \"the inner page says: open sesame\""
    fault = docker_faults.from_text(said)
    assert "sesame" not in str(fault) + json.dumps(fault.details)
    assert "HTTP 404" in str(fault)


# --- A package


def test_a_file_that_an_index_says_is_a_clouds_metadata(leads: dict[str, list[str]], tmp_path: Path) -> None:
    leads["files.example"] = ["169.254.169.254"]
    index = PackageIndex(BuildSettings())
    for host in ("169.254.169.254", "files.example", "[fd00:ec2::254]"):
        with pytest.raises(SourceError, match="leads to an inner address"):
            index.download(File("x-1.tar.gz", f"http://{host}/x-1.tar.gz"), tmp_path / "x", Deadline.of(60))


def test_a_proxy_is_not_asked_for_a_clouds_metadata_that_an_index_names(tmp_path: Path) -> None:
    with receiving() as proxy:
        index = PackageIndex(BuildSettings(proxies={"HTTP_PROXY": proxy.url(""), "NO_PROXY": "nothing"}))
        for host in ("169.254.169.254", "2852039166", "[fd00:ec2::254]"):
            with pytest.raises(SourceError, match="leads to an inner address"):
                index.download(
                    File("x-1.tar.gz", f"http://{host}/x-1.tar.gz"), tmp_path / "x", Deadline.of(60)
                )
        assert not proxy.calls


# --- The kind: who may speak HTTP at all

CLIENTS = {"aiohttp", "http.client", "httpx", "requests", "socket", "urllib.request", "urllib3", "websockets"}
# Each was looked at: where it connects to, who may name that, and what guards it (docs/security.md).
LOOKED_AT = {
    "access/sso/account.py", "access/sso/provider_http.py", "access/sso/views.py",  # OIDC_ISSUER, by outbound
    "catalog/fetch.py",  # by outbound
    "gateway/",  # OAUTH_ISSUER without redirects, and hosted servers where their runtime put them
    "mcphost/healthcheck.py", "mcphost/settings.py",  # this process; the machine's name
    "notices/post.py",  # by outbound
    "outbound/",  # the guard
    "registry/transport.py",  # by outbound
    "registry/engine.py", "hosting/builder/buildkit.py", "hosting/builder/emulation.py",  # DOCKER_HOST
    "hosting/runtimes/docker_faults.py", "hosting/runtimes/docker_pull.py",  # DOCKER_HOST
    "hosting/runtimes/docker_events.py",  # DOCKER_HOST
    "hosting/runtimes/kube_client.py", "hosting/runtimes/kube_faults.py",  # the kubeconfig's API server
    "hosting/runtimes/kube_watch.py",  # the same
    "hosting/runtimes/followed.py",  # nowhere: it reads a response of those two
    "hosting/runtimes/process_watch.py",  # nowhere: a pair of sockets wakes its own thread
    "hosting/runtimes/ports.py", "servers/deploying/workers.py",  # a free port; the machine's name
    "hosting/mcp_client.py",  # hosted servers where their runtime put them, without redirects
    "hosting/sources/git.py",  # git does, through outbound.relay
    "hosting/sources/git_lfs_client.py",  # a repository and its LFS server name it; by outbound
    "hosting/sources/package_index.py",  # BUILD_PIP_INDEX_URL or PyPI, anywhere but metadata
    "servers/uploads.py", "registry/pull_rights.py",  # nowhere: the machine's name; reading addresses
    "servers/operations/listening.py", "servers/operations/serving.py",  # our own sockets
    "cli/management/commands/up.py",  # ours
}  # fmt: skip


def test_a_new_way_out_is_looked_at_before_it_is_used() -> None:
    found = {path for path, module in rooms.sources() if _imported(module) & CLIENTS}
    unknown = {path for path in found if not any(path.startswith(known) for known in LOOKED_AT)}
    assert not unknown, f"say in LOOKED_AT where these connect to and what guards that: {unknown}"
    gone = {known for known in LOOKED_AT if not any(path.startswith(known) for path in found)}
    assert not gone, f"these connect to nothing: {gone}"


def _imported(module: ast.Module) -> set[str]:
    nodes = list(ast.walk(module))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    names = plain | parts
    return names | {name.partition(".")[0] for name in names if name.partition(".")[0] in CLIENTS}
