"""Indexes published to a real registry, and read by tools that are not ours."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from registry.client import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, RegistryClient
from registry.commands import Refresher
from registry.credentials import Credential, CredentialStore
from registry.errors import RegistryError
from registry.events import RegistryEvent
from registry.manifest import build_index, move_tag, publish
from registry.push import Pushed
from registry.reference import Reference
from tests.registry.conftest import FAST, MakeImage, MakePush, Push, write_config
from tests.registry.http import Request, Response, serving

PLATFORMS = ("linux/amd64", "linux/arm64/v8")
ENTRY = {"digest": "sha256:" + "a" * 64, "size": 7, "platform": {"os": "linux", "architecture": "amd64"}}
NOTES = {
    "org.opencontainers.image.revision": "abc",
    "org.opencontainers.image.created": "2026-01-01T00:00:00Z",
}


def test_docker_children_make_a_docker_list_without_annotations() -> None:
    body, media_type = build_index([{"mediaType": DOCKER_MANIFEST, **ENTRY}], NOTES)
    assert media_type == DOCKER_LIST == json.loads(body)["mediaType"]
    assert "annotations" not in json.loads(body)


def test_one_oci_child_makes_an_oci_index() -> None:
    entries = [{"mediaType": DOCKER_MANIFEST, **ENTRY}, {"mediaType": OCI_MANIFEST, **ENTRY}]
    body, media_type = build_index(entries, NOTES)
    assert media_type == OCI_INDEX == json.loads(body)["mediaType"]
    assert json.loads(body)["annotations"] == NOTES


def test_the_same_children_make_the_same_bytes() -> None:
    entries = [{"mediaType": OCI_MANIFEST, **ENTRY}]
    assert build_index(entries, NOTES) == build_index(entries, dict(reversed(NOTES.items())))


class _Writes:
    """A refresher that puts the right password into the Docker config."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def refresh(self, host: str) -> None:
        self.config.write_text(json.dumps({"auths": {host: {"username": "ci", "password": "new"}}}))


def _rejecting(request: Request) -> Response:
    """Of a registry that takes the new password only."""
    if request.headers.get("Authorization") != Credential("ci", "new").basic:
        return Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
    return Response(201) if request.method == "PUT" else Response(200, b'{"mediaType": "x"}')


def _move(config: Path, events: list[RegistryEvent], lines: list[str], refresher: Refresher | None) -> None:
    with serving(_rejecting) as server:
        write_config(config, server.host, "ci", "old")
        move_tag(
            client=RegistryClient(server.host, credentials=CredentialStore(config, refresher)),
            target=Reference(server.host, "team/notes", "v1"),
            tag="latest",
            report=events.append,
            line=lines.append,
            policy=FAST,
        )
        assert server.paths()[-1] == "PUT /v2/team/notes/manifests/latest"


def test_a_refresh_while_a_tag_is_moved_is_told(tmp_path: Path) -> None:
    config, events, lines = tmp_path / "config.json", list[RegistryEvent](), list[str]()
    _move(config, events, lines, _Writes(config))
    assert [event.type for event in events] == ["auth_refresh_started", "auth_refresh_succeeded"]
    stream = {"attempt": 0, "retry_limit": FAST.attempts, "platform": ""}
    assert all(stream.items() <= event.details.items() for event in events)
    assert events[-1].details["duration_ms"] >= 0
    assert lines[1] == "Registry credentials refreshed; retrying publish"


def test_a_refresh_that_fails_while_a_tag_is_moved_is_told(tmp_path: Path) -> None:
    events = list[RegistryEvent]()
    with pytest.raises(RegistryError, match="could not be refreshed"):
        _move(tmp_path / "config.json", events, [], None)
    assert events[-1].type == "auth_refresh_failed"
    assert "The same credential came back" in events[-1].details["error"]
    assert events[-1].details["error_kind"] == "auth_expired"


def test_a_credential_that_cannot_be_had_is_renewed_for_a_publishing(tmp_path: Path) -> None:
    """As often as it ends: the second time a refresh is known of."""
    config, lines = tmp_path / "config.json", list[str]()
    with serving(lambda request: Response(201 if request.method == "PUT" else 200, b"{}")) as server:
        client = RegistryClient(server.host, credentials=CredentialStore(config, _Writes(config)))
        for _ in range(2):
            config.unlink(missing_ok=True)
            move_tag(
                client=client,
                target=Reference(server.host, "notes", "v1"),
                tag="latest",
                report=lambda event: None,
                line=lines.append,
            )
    assert lines.count("Registry credentials refreshed; retrying publish") == 2


def test_a_publishing_that_fails_is_told(tmp_path: Path) -> None:
    events = list[RegistryEvent]()
    child = Pushed("linux/amd64", "sha256:" + "a" * 64, 7, OCI_MANIFEST)
    with serving(lambda request: Response(403, b"denied")) as server, pytest.raises(RegistryError):
        publish(
            client=RegistryClient(server.host, credentials=CredentialStore(None)),
            target=Reference(server.host, "team/notes", "v1"),
            children=[child],
            annotations={},
            report=events.append,
            line=lambda text: None,
        )
    (failed,) = events
    assert (failed.type, failed.details["error_kind"]) == ("manifest_failed", "remote")
    assert (failed.details["tag"], failed.details["architectures"]) == ("v1", ["linux/amd64"])
    assert failed.details["duration_ms"] >= 0


def _push_platforms(push: Push, make_image: MakeImage, target: Reference) -> list[Pushed]:
    return [
        push(make_image(platform), target=target.for_platform(platform), platform=platform)
        for platform in PLATFORMS
    ]


def _publish(push: Push, target: Reference, children: list[Pushed]) -> str:
    return publish(
        client=push.client,
        target=target,
        children=children,
        annotations=NOTES,
        report=push.report,
        line=push.lines.append,
        policy=FAST,
    )


def _skopeo(ref: Reference, *options: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--tls-verify=false", *options, f"docker://{ref}"]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer


@pytest.fixture
def faulty(fault_proxy: FaultProxy, make_push: MakePush) -> Push:
    return make_push(fault_proxy.host)


@pytest.mark.real
def test_two_platforms_become_one_tag(faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage) -> None:
    target = faulty.ref()
    children = _push_platforms(faulty, make_image, target)
    digest = _publish(faulty, target, children)

    index = _skopeo(target, "--raw")
    assert index["mediaType"] == DOCKER_LIST
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64"},
    ]
    assert [(e["digest"], e["size"]) for e in index["manifests"]] == [(c.digest, c.size) for c in children]
    assert _skopeo(target, "--override-arch=arm64")["Architecture"] == "arm64"

    (published,) = faulty.of("manifest_published")
    assert published.pop("duration_ms") >= 0
    assert published == {
        "registry_endpoint": target.endpoint,
        "tag": "v1",
        "digest": digest,
        "architectures": list(PLATFORMS),
    }
    assert faulty.lines[-1] == f"Manifest published with digest {digest}"
    assert faulty.client.resolve(target) == (digest, DOCKER_LIST, ("linux/amd64", "linux/arm64"))

    fault_proxy.set([])
    assert _publish(faulty, target, children) == digest
    assert not [method for method, _, _ in fault_proxy.log if method == "PUT"], (
        "identical content is not written"
    )


@pytest.mark.real
def test_nothing_is_published_when_a_child_is_missing(faulty: Push, make_image: MakeImage) -> None:
    target = faulty.ref()
    children = _push_platforms(faulty, make_image, target)
    children[1] = replace(children[1], digest="sha256:" + "0" * 64)
    with pytest.raises(RegistryError, match="404"):
        _publish(faulty, target, children)
    assert faulty.client.tags(target) == ["v1-linux-amd64", "v1-linux-arm64"]
    assert not faulty.of("manifest_published")


@pytest.mark.real
def test_nothing_is_published_when_a_child_is_of_another_platform(
    faulty: Push, make_image: MakeImage
) -> None:
    target = faulty.ref()
    child = faulty(
        make_image("linux/amd64"), target=target.for_platform("linux/arm64"), platform="linux/arm64"
    )
    with pytest.raises(RegistryError, match="pushed for linux/arm64 is built for linux/amd64"):
        _publish(faulty, target, [child])
    assert faulty.client.tags(target) == ["v1-linux-arm64"]


@pytest.mark.real
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset"},
        {"action": "status", "status": 500},
        {"action": "status", "status": 429, "headers": {"Retry-After": "0"}},
        {"action": "hang", "seconds": 30},
    ],
    ids=["reset", "500", "429", "hang"],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_a_fault_that_passes_does_not_fail_the_publishing(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage, method: str, fault: dict[str, Any]
) -> None:
    target = faulty.ref()
    children = _push_platforms(faulty, make_image, target)
    patience = 5 if fault["action"] == "hang" else 60
    faulty.client = RegistryClient(faulty.host, credentials=CredentialStore(None), timeout=patience)
    fault_proxy.set([{"method": method, "path": "/manifests/", "times": 1, **fault}])
    digest = _publish(faulty, target, children)
    assert faulty.client.head_manifest(target).digest == digest
    assert [line for line in faulty.lines if line.startswith("Publishing the manifest failed:")]


@pytest.mark.real
def test_a_registry_that_takes_no_index_is_not_asked_again(
    faulty: Push, fault_proxy: FaultProxy, make_image: MakeImage
) -> None:
    target = faulty.ref()
    children = _push_platforms(faulty, make_image, target)
    refusal = '{"errors":[{"code":"MANIFEST_INVALID","message":"no lists here"}]}'
    fault_proxy.set([{"method": "PUT", "action": "status", "status": 400, "body": refusal}])
    with pytest.raises(RegistryError, match="no lists here"):
        _publish(faulty, target, children)
    assert [method for method, _, _ in fault_proxy.log].count("PUT") == 1


@pytest.mark.real
def test_of_concurrent_publishes_one_wins_whole(
    registry_plain: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(registry_plain.host)
    target = push.ref()
    first = _push_platforms(push, make_image, target)
    second = _push_platforms(push, make_image, target)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda children: _publish(push, target, children), [first, second] * 8))
    assert len(set(results)) == 2
    assert push.client.head_manifest(target).digest in results
    index = _skopeo(target, "--raw")
    digests = [entry["digest"] for entry in index["manifests"]]
    assert digests in [[child.digest for child in children] for children in (first, second)]


@pytest.mark.real
def test_publishing_with_tokens_costs_one_token(
    registry_token: Registry, make_push: MakePush, make_image: MakeImage
) -> None:
    push = make_push(registry_token.host, registry_token.username, registry_token.password)
    target = push.ref()
    children = _push_platforms(push, make_image, target)
    fresh = RegistryClient(registry_token.host, credentials=push.client.credentials)
    push.client = fresh
    assert registry_token.tokens
    before = len(registry_token.tokens.log)
    _publish(push, target, children)
    assert len(registry_token.tokens.log) == before + 1
