"""Publishes an index of the images of several platforms: children first, the tag last, and each is
verified.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from registry import refresh
from registry.client import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    RegistryClient,
)
from registry.content import digest_of, read_platform
from registry.credentials import ANONYMOUS, Credential
from registry.errors import RegistryError, error_details, failed_refresh
from registry.events import Control, Line, NeverCancelled, RegistryEvent, Report, Stopwatch
from registry.push import Pushed
from registry.reasons import Reason
from registry.reference import Reference, normalise_platform
from registry.retry import Deadline, PushPolicy

ANNOTATION_REVISION = "org.opencontainers.image.revision"
ANNOTATION_SOURCE = "org.opencontainers.image.source"
ANNOTATION_CREATED = "org.opencontainers.image.created"

# Statuses of MANIFEST_INVALID, and of proxies and older registries for an unknown media type.
REFUSES_TYPE = frozenset({400, 404, 405, 406, 415, 422, 501})

T = TypeVar("T")


def publish(
    *,
    client: RegistryClient,
    target: Reference,
    children: Sequence[Pushed],
    annotations: Mapping[str, str],
    report: Report,
    line: Line,
    policy: PushPolicy | None = None,
    control: Control | None = None,
) -> str:
    """Publishes an index of `children` under the tag of `target`; returns its digest.

    First each child is read and checked; if one is missing, or is built for another platform, nothing is
    written. The same children make the same bytes, so an index that exists already is not written again.
    Transient errors are retried within the policy, a rejected credential is refreshed once. Raises
    `RegistryError`, or what `control.check` raises, after `manifest_failed` was reported.
    """
    if not children:
        raise ValueError("An index needs at least one child.")
    watch = Stopwatch()
    about = {
        "registry_endpoint": target.endpoint,
        "tag": target.tag,
        "architectures": [child.platform for child in children],
    }
    publisher = _Publisher(client, target, policy or PushPolicy(), control or NeverCancelled(), report, line)
    try:
        entries = publisher.do(lambda: _compose(client, target, children))
        digest = publisher.do(lambda: _put_index(client, target, entries, annotations, line))
    except Exception as fault:
        report(RegistryEvent("manifest_failed", {**about, **error_details(fault), "duration_ms": watch.ms()}))
        raise
    report(RegistryEvent("manifest_published", {**about, "digest": digest, "duration_ms": watch.ms()}))
    line(f"Manifest published with digest {digest}")
    return digest


def move_tag(
    *,
    client: RegistryClient,
    target: Reference,
    tag: str,
    report: Report,
    line: Line,
    policy: PushPolicy | None = None,
    control: Control | None = None,
) -> None:
    """Puts the manifest with the digest of `target` under `tag`, too.

    Retries and raises as `publish` does.
    """
    publisher = _Publisher(client, target, policy or PushPolicy(), control or NeverCancelled(), report, line)
    found = publisher.do(lambda: client.get_manifest(target))
    publisher.do(lambda: client.put_manifest(target.with_tag(tag), found.body, found.media_type))
    line(f"Tag {tag} moved to {found.digest}")


def _compose(client: RegistryClient, target: Reference, children: Sequence[Pushed]) -> list[dict[str, Any]]:
    client.will_push(target.repository)
    with ThreadPoolExecutor(max_workers=min(4, len(children))) as pool:
        return list(pool.map(lambda child: _entry(client, target, child), children))


def _put_index(
    client: RegistryClient,
    target: Reference,
    entries: Sequence[Mapping[str, Any]],
    annotations: Mapping[str, str],
    line: Line,
) -> str:
    """Publishes an OCI index, or Docker's manifest list if the registry refuses it; raises both refusals."""
    body, media_type = build_index(entries, annotations)
    try:
        return _put(client, target, body, media_type)
    except RegistryError as fault:
        if media_type != OCI_INDEX or not _refuses_type(fault):
            raise
        refusal = fault
    line(f"The registry takes no OCI index ({refusal.message}): a Docker manifest list is published instead")
    body, media_type = build_index(entries, annotations, docker=True)
    try:
        return _put(client, target, body, media_type)
    except RegistryError as fault:
        if not _refuses_type(fault):
            raise
        text = f"{refusal.message}\nNor does it take a Docker manifest list: {fault.message}"
        raise RegistryError(
            text, kind=refusal.kind, reason=Reason.UNSUPPORTED, status=refusal.status
        ) from fault


def _refuses_type(fault: RegistryError) -> bool:
    return fault.permanent and fault.status in REFUSES_TYPE


def build_index(
    entries: Sequence[Mapping[str, Any]], annotations: Mapping[str, str], *, docker: bool = False
) -> tuple[bytes, str]:
    """Returns bytes and media type of an index (OCI image spec, image-index.md), with annotations.

    It is a Docker manifest list, without annotations, if all children are Docker's or `docker` is set.
    """
    docker = docker or all(entry["mediaType"] == DOCKER_MANIFEST for entry in entries)
    media_type = DOCKER_LIST if docker else OCI_INDEX
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}
    if annotations and not docker:  # Docker's list has no field for them
        index["annotations"] = dict(sorted(annotations.items()))
    return json.dumps(index, indent=2).encode(), media_type


def _entry(client: RegistryClient, target: Reference, child: Pushed) -> dict[str, Any]:
    """Returns the index entry of one child, from what the registry holds."""
    ref = target.with_digest(child.digest)
    # For an image with attestations the containerd store pushes an index.
    manifest = client.child_of(ref, client.get_manifest(ref), child.platform)
    platform = read_platform(client.config_of(ref, manifest))
    if platform != normalise_platform(child.platform):
        raise RegistryError(
            f"The image pushed for {child.platform} is built for {platform}: {ref}",
            reason=Reason.WRONG_PLATFORM,
        )
    return {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
        "platform": _platform_fields(platform),
    }


def _platform_fields(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def _put(client: RegistryClient, target: Reference, body: bytes, media_type: str) -> str:
    digest = digest_of(body)
    if _held(client, target) == digest:
        return digest
    client.put_manifest(target, body, media_type)
    # Another process may publish the same tag meanwhile, and win; our index must still exist by its digest.
    if _held(client, target) != digest and _held(client, target.with_digest(digest)) != digest:
        raise RegistryError(f"{target} does not hold {digest} after it was published.", permanent=False)
    return digest


def _held(client: RegistryClient, ref: Reference) -> str:
    try:
        return client.head_manifest(ref).digest
    except RegistryError as fault:
        if fault.not_found:
            return ""
        raise


class _Publisher:
    """Retries one step of a publication, and renews the credential once."""

    def __init__(
        self,
        client: RegistryClient,
        target: Reference,
        policy: PushPolicy,
        control: Control,
        report: Report,
        line: Line,
    ) -> None:
        self._client = client
        self._target = target
        self._policy = policy
        self._report = report
        self._line = line
        self._deadline = Deadline(policy, control)
        self._refreshed = False

    def do(self, act: Callable[[], T]) -> T:
        attempt, at = 1, (self._target.host, self._target.repository)
        while True:
            used = ANONYMOUS  # renewed as well if the look-up fails
            try:
                used = self._deadline.run(lambda: self._client.credentials.for_host(*at))
                return self._deadline.run(act)
            except RegistryError as fault:
                if not self._refreshed and self._may_have_expired(used, fault):
                    self._refresh(used, fault)
                    continue
                if fault.permanent or fault.auth_expired or attempt >= self._policy.attempts:
                    raise
                self._back_off(attempt, fault)
                attempt += 1

    def _may_have_expired(self, used: Credential, fault: RegistryError) -> bool:
        at = (self._target.host, used, self._target.repository)
        return fault.auth_expired or (
            fault.perhaps_expired and self._client.credentials.refresh_may_help(*at)
        )

    def _refresh(self, used: Credential, fault: RegistryError) -> None:
        self._refreshed = True
        self._line(f"Publishing the manifest failed: {fault.message}")
        about = refresh.details_outside_a_push(self._target, self._policy.attempts)
        try:
            refresh.run(self._report, about, lambda: self._renew(used))
        except RegistryError as failure:
            raise failed_refresh(fault, failure) from failure
        self._line("Registry credentials refreshed; retrying publish")

    def _renew(self, used: Credential) -> None:
        self._deadline.run(lambda: self._client.renew(used, self._target))

    def _back_off(self, attempt: int, fault: RegistryError) -> None:
        seconds = self._policy.delay(attempt, fault.retry_after)
        if not self._deadline.allows(seconds):
            raise fault
        self._line(f"Publishing the manifest failed: {fault.message}")
        self._line(f"Retrying the publish in {seconds:.1f} s")
        self._deadline.wait(seconds)
