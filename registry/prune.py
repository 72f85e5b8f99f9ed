"""Deletes tags that are no longer needed, and keeps every image to which somebody may roll back."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from registry.client import INDEX_TYPES, RegistryClient
from registry.content import digest_in, entries_of
from registry.errors import RegistryError
from registry.events import Line
from registry.reference import Reference


def prune(
    *, client: RegistryClient, repository: Reference, tags: Iterable[str], keep: Collection[str], line: Line
) -> list[str]:
    """Deletes `tags` of `repository`; returns those that were deleted.

    `keep` holds digests to which a deployment may roll back: of images, and of indexes, whose children are
    kept, too. Some registries delete only manifests (distribution 2.8). Then a tag's manifest is deleted, but
    not if it is kept or has another tag; such tags stay. If a registry deletes nothing, `line` gets a
    sentence. Raises `RegistryError` for other errors.
    """
    return _Pruner(client, repository, frozenset(tags), frozenset(keep), line).run()


class _Pruner:
    def __init__(
        self,
        client: RegistryClient,
        repository: Reference,
        tags: frozenset[str],
        keep: frozenset[str],
        line: Line,
    ) -> None:
        self._client = client
        self._repository = repository
        self._tags = tags
        self._keep = keep
        self._line = line

    def run(self) -> list[str]:
        present = self._present()
        doomed = [tag for tag in present if tag in self._tags]
        try:
            return self._by_tag(doomed) if doomed else []
        except RegistryError as fault:
            if not _is_refusal(fault):
                raise
        try:
            return self._by_digest(doomed, [tag for tag in present if tag not in self._tags])
        except RegistryError as fault:
            if not _is_refusal(fault):
                raise
            self._line(f"The registry removes no images, old ones stay: {fault.message}")
            return []

    def _present(self) -> list[str]:
        try:
            return self._client.tags(self._repository)
        except RegistryError as fault:
            if fault.not_found:  # nothing was pushed there yet
                return []
            raise

    def _by_tag(self, doomed: list[str]) -> list[str]:
        for tag in doomed:
            self._client.delete_manifest(self._repository.with_tag(tag))
        return doomed

    def _by_digest(self, doomed: list[str], staying: list[str]) -> list[str]:
        digests = {tag: self._digest_of(tag) for tag in doomed}
        needed = self._with_children(self._keep | {self._digest_of(tag) for tag in staying})
        gone = {digest for digest in digests.values() if digest and digest not in needed}
        for digest in sorted(gone):
            self._delete(digest)
        return [tag for tag, digest in digests.items() if digest in gone]

    def _delete(self, digest: str) -> None:
        try:
            self._client.delete_manifest(self._repository.with_digest(digest))
        except RegistryError as fault:
            if not fault.not_found:  # another process has deleted it
                raise

    def _digest_of(self, tag: str) -> str:
        try:
            return self._client.head_manifest(self._repository.with_tag(tag)).digest
        except RegistryError as fault:
            if fault.not_found:
                return ""
            raise

    def _with_children(self, digests: Iterable[str]) -> frozenset[str]:
        found: set[str] = set()
        for digest in filter(None, digests):
            found |= {digest, *self._children(digest)}
        return frozenset(found)

    def _children(self, digest: str) -> list[str]:
        ref = self._repository.with_digest(digest)
        try:
            if self._client.head_manifest(ref).media_type not in INDEX_TYPES:
                return []
            entries = entries_of(self._client.get_manifest(ref).content, f"Reading {ref}")
        except RegistryError as fault:
            if fault.not_found:
                return []
            raise
        return [digest_in(entry, f"Reading {ref}") for entry in entries]


def _is_refusal(fault: RegistryError) -> bool:
    """Tells whether the registry cannot delete this: 405, or 400 and 404 for a tag where it
    wants a digest.
    """
    return fault.status in {400, 403, 404, 405}
