from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from deploy.bench.registry import Registry
from registry.client import RegistryClient
from registry.credentials import CredentialStore
from registry.errors import RegistryError
from registry.manifest import publish
from registry.prune import prune
from registry.push import Pushed
from registry.reference import Reference
from tests.registry.conftest import MakeImage, MakePush, Push
from tests.registry.http import Request, Response, Server, serving

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def deploy(make_image: MakeImage) -> Callable[..., list[Pushed]]:
    """Pushes and publishes a deployment of two platforms under a tag; the digests are the children's."""

    def run(push: Push, target: Reference) -> list[Pushed]:
        children = [
            push(make_image(platform), target=target.for_platform(platform), platform=platform)
            for platform in PLATFORMS
        ]
        publish(
            client=push.client,
            target=target,
            children=children,
            annotations={},
            report=push.report,
            line=push.lines.append,
        )
        return children

    return run


@pytest.mark.real
def test_what_a_deployment_may_go_back_to_stays(
    registry_plain: Registry, make_push: MakePush, deploy: Callable[..., list[Pushed]]
) -> None:
    push = make_push(registry_plain.host)
    base = push.ref()
    old, current = base.with_tag("1-aaa"), base.with_tag("2-bbb")
    deploy(push, old)
    deploy(push, current)
    keep = push.client.head_manifest(current).digest
    every = push.client.tags(base)
    removed = prune(client=push.client, repository=base, tags=every, keep=[keep], line=push.lines.append)
    assert sorted(removed) == ["1-aaa", "1-aaa-linux-amd64", "1-aaa-linux-arm64"]
    assert push.client.resolve(current) == (keep, push.client.get_manifest(current).media_type, PLATFORMS)
    with pytest.raises(RegistryError, match="404"):
        push.client.head_manifest(old)


@pytest.mark.real
def test_a_manifest_that_another_tag_names_stays(
    registry_plain: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(registry_plain.host)
    image, base = make_image(), push.ref()
    pushed = push(image, target=base.with_tag("1-aaa"))
    push(image, target=base.with_tag("latest"))
    assert prune(client=push.client, repository=base, tags=["1-aaa"], keep=[], line=push.lines.append) == []
    assert push.client.head_manifest(base.with_tag("latest")).digest == pushed.digest


def _client(server: Server) -> RegistryClient:
    return RegistryClient(server.host, credentials=CredentialStore(None))


def test_a_registry_that_removes_tags_is_asked_for_no_more() -> None:
    def answer(request: Request) -> Response:
        if request.method == "DELETE":
            return Response(202)
        return Response(200, json.dumps({"tags": ["1", "2"]}).encode())

    with serving(answer) as server:
        ref = Reference(server.host, "app")
        assert prune(client=_client(server), repository=ref, tags=["1", "9"], keep=[], line=print) == ["1"]
        assert server.paths() == ["GET /v2/app/tags/list?n=1000", "DELETE /v2/app/manifests/1"]


def test_a_registry_that_removes_nothing_is_told_of() -> None:
    def answer(request: Request) -> Response:
        if request.method == "DELETE":
            return Response(405)
        if "tags/list" in request.path:
            return Response(200, json.dumps({"tags": ["1"]}).encode())
        return Response(200, b"{}")

    lines: list[str] = []
    with serving(answer) as server:
        ref = Reference(server.host, "app")
        assert prune(client=_client(server), repository=ref, tags=["1"], keep=[], line=lines.append) == []
    assert lines[0].startswith("The registry removes no images, old ones stay:")


def test_a_registry_that_fails_is_an_error() -> None:
    with serving(lambda request: Response(500)) as server:
        ref = Reference(server.host, "app")
        with pytest.raises(RegistryError, match="500"):
            prune(client=_client(server), repository=ref, tags=["1"], keep=[], line=print)


@pytest.mark.real
def test_where_nothing_was_ever_pushed_nothing_is_removed(
    registry_plain: Registry, make_push: MakePush
) -> None:
    push = make_push(registry_plain.host)
    removed = prune(
        client=push.client, repository=push.ref(), tags=["1-aaa"], keep=[], line=push.lines.append
    )
    assert (removed, push.lines) == ([], [])
