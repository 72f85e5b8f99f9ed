"""A client of a registry's HTTP API (OCI distribution spec 1.1) for small requests; the engine sends the
layers.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from outbound.origin import origin_of
from registry.authorization import Authorization, is_rejected
from registry.challenge import Challenge, merge_scopes
from registry.content import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_TYPES,
    INDEX_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    UNKNOWN,
    digest_in,
    digest_of,
    entries_of,
    json_object,
    manifest_type,
    media_type,
    next_page,
    read_platform,
    tags_in,
)
from registry.credentials import Credential, CredentialStore
from registry.errors import CredentialError, RegistryError, from_response
from registry.reasons import Reason
from registry.reference import HUB_API_HOST, Reference, is_digest, is_hub, is_loopback, normalise_platform
from registry.tokens import Answer
from registry.transport import NOT_TOLD, Transport

__all__ = [
    "DOCKER_LIST", "DOCKER_MANIFEST", "INDEX_TYPES", "OCI_INDEX", "OCI_MANIFEST", "Descriptor", "Manifest",
    "RegistryClient", "digest_of",
]  # fmt: skip

ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
MAX_CONFIG = 16 << 20
_LENGTH = re.compile(r"[1-9][0-9]{0,11}")
_WANTS_TLS = re.compile(rb"HTTPS (server|port)")  # answers of Go's server and nginx to plain http
MAX_PAGES = 100
PAGE = 1_000
# Statuses of registries and proxies that refuse HEAD but allow GET: always, or for this request.
NEVER_HEAD, NO_HEAD = frozenset({405, 501}), frozenset({400, 403, 405, 501})


@dataclass(frozen=True)
class Descriptor:
    """A manifest at the registry: digest, media type, and size in bytes (OCI image spec, descriptor.md)."""

    digest: str
    media_type: str
    size: int


@dataclass(frozen=True)
class Manifest(Descriptor):
    """A manifest with its bytes, which match its digest, and the parsed content."""

    body: bytes = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)


class RegistryClient:
    """A client of one registry. It is thread-safe. Keep it: it holds tokens and connections.

    It uses https; http for a loopback host, or if `insecure` is set. If such a registry asks for TLS, TLS is
    used from then on, and its certificate is checked. `address` is used to connect in place of the name.
    `ca_bundle` is a PEM file of authorities that are trusted as well. `timeout` are the seconds of silence
    after which a request fails. Every method raises `RegistryError`; none retries, since that is the caller's
    decision.

    A `foreign` registry is one that no operator named. It, its token server and its redirects must have
    public addresses; otherwise somebody who may name an image could send requests into this network.
    """

    def __init__(
        self,
        host: str,
        *,
        credentials: CredentialStore,
        insecure: bool = False,
        ca_bundle: Path | None = None,
        timeout: float = 30.0,
        address: str = "",
        foreign: bool = False,
    ) -> None:
        self.host = host
        self._address = address or (HUB_API_HOST if is_hub(host) else host)
        self.credentials = credentials
        self._plain = insecure or is_loopback(host)
        self._transport = Transport(ca_bundle=ca_bundle, timeout=timeout, allow_private=not foreign)
        self._authorization = Authorization(host, self._transport)
        self._lock = threading.Lock()
        self._takes_head = True
        self._pushing: set[str] = set()

    def close(self) -> None:
        self._transport.close()

    def ping(self, repository: str = "") -> None:
        """Checks that the registry answers and accepts our credential for `repository` (GET /v2/)."""
        self._ask("GET", "/v2/", repository, doing=f"Asking {self.host}")

    def will_push(self, repository: str) -> None:
        """Makes later reads of `repository` ask for push rights, too, so that one token
        serves all requests.
        """
        with self._lock:
            self._pushing.add(repository)

    def head_manifest(self, ref: Reference) -> Descriptor:
        """Returns the descriptor of the reference's digest or tag.

        It uses GET if the registry refuses HEAD.
        """
        if not self._takes_head:
            return self.get_manifest(ref)
        try:
            answer = self._manifest_request("HEAD", ref, f"Looking for {ref}", headers={"Accept": ACCEPT})
        except RegistryError as fault:
            if fault.status not in NO_HEAD:
                raise
            found = self.get_manifest(ref)  # if GET is refused as well, its error tells why
            self._takes_head = fault.status not in NEVER_HEAD
            return found
        return _descriptor(answer) or self.get_manifest(ref)

    def get_manifest(self, ref: Reference) -> Manifest:
        """Returns the manifest. Its digest is computed from the bytes and compared with the reference's."""
        doing = f"Reading {ref}"
        answer = self._manifest_request("GET", ref, doing, headers={"Accept": ACCEPT})
        digest = digest_of(answer.body)
        if ref.digest and digest_of(answer.body, like=ref.digest) != ref.digest:
            raise RegistryError(f"{doing}: the registry sent other content, with digest {digest}.")
        content = json_object(answer.body, doing)
        kind = manifest_type(content, _media_type(answer), doing)
        return Manifest(digest, kind, len(answer.body), answer.body, content)

    def put_manifest(self, ref: Reference, body: bytes, media_type: str) -> str:
        """Uploads a manifest under the reference's tag or digest; returns its digest, which the registry
        confirmed.
        """
        self.will_push(ref.repository)
        doing = f"Publishing {ref}"
        answer = self._manifest_request("PUT", ref, doing, headers={"Content-Type": media_type}, body=body)
        digest = digest_of(body)
        if answer.headers.get("Docker-Content-Digest", digest) != digest:
            raise RegistryError(f"{doing}: the registry stored other content than was sent.")
        return digest

    def delete_manifest(self, ref: Reference) -> None:
        """Deletes a manifest by digest, or a tag; a registry that cannot delete tags answers 405."""
        scopes = (f"repository:{ref.repository}:delete",)
        self._ask("DELETE", _manifest_path(ref), ref.repository, doing=f"Deleting {ref}", scopes=scopes)

    def get_blob(self, ref: Reference, digest: str, *, cap: int = MAX_CONFIG) -> bytes:
        """Returns a small blob, such as an image config; its digest is checked. `cap` bounds its bytes."""
        doing = f"Reading the blob {digest} of {ref.endpoint}"
        answer = self._ask(
            "GET",
            f"/v2/{ref.repository}/blobs/{digest}",
            ref.repository,
            doing=doing,
            scopes=self._scopes(ref.repository),
            cap=cap,
        )
        if digest_of(answer.body, like=digest) != digest:
            raise RegistryError(f"{doing}: the registry sent other content.")
        return answer.body

    def tags(self, ref: Reference) -> list[str]:
        """Returns all tags of the repository; it reads every page."""
        doing, tags = f"Listing the tags of {ref.endpoint}", list[str]()
        path = f"/v2/{ref.repository}/tags/list?n={PAGE}"
        for _ in range(MAX_PAGES):
            answer = self._ask("GET", path, ref.repository, doing=doing, scopes=self._scopes(ref.repository))
            tags += tags_in(json_object(answer.body, doing).get("tags"), doing)
            following = next_page(answer.headers.get("Link", ""), path)
            if not following or len(tags) >= PAGE * MAX_PAGES:
                break
            path = following
        return tags

    def resolve(self, ref: Reference) -> tuple[str, str, tuple[str, ...]]:
        """Returns digest, media type and platforms (`os/arch[/variant]`, in stored order)
        of a tag or digest.
        """
        manifest = self.get_manifest(ref)
        return manifest.digest, manifest.media_type, tuple(dict.fromkeys(self._platforms(ref, manifest)))

    def _platforms(self, ref: Reference, manifest: Manifest) -> Iterator[str]:
        if manifest.media_type not in INDEX_TYPES:
            yield read_platform(self.config_of(ref, manifest))
            return
        for entry in entries_of(manifest.content, f"Reading {ref}"):
            platform = read_platform(entry.get("platform"))
            if platform != UNKNOWN:  # an attestation
                yield platform

    def config_of(self, ref: Reference, manifest: Manifest) -> dict[str, Any]:
        """Returns the image config (OCI image spec, config.md) of an image's manifest."""
        doing = f"Reading the config of {ref}"
        if not isinstance(manifest.content.get("config"), dict):
            raise RegistryError(f"{doing}: {manifest.media_type or 'what is there'} is not an image.")
        digest = digest_in(manifest.content["config"], doing)
        return json_object(self.get_blob(ref, digest), doing)

    def child_of(self, ref: Reference, manifest: Manifest, platform: str) -> Manifest:
        """Returns the image for `platform` in an index; a manifest that is no index is returned itself."""
        if manifest.media_type not in INDEX_TYPES:
            return manifest
        wanted = normalise_platform(platform)
        for entry in entries_of(manifest.content, f"Reading {ref}"):
            if read_platform(entry.get("platform")) == wanted:
                return self.get_manifest(ref.with_digest(digest_in(entry, f"Reading {ref}")))
        raise RegistryError(f"{ref} holds no image for {platform}.", reason=Reason.WRONG_PLATFORM)

    def accepts(self, credential: Credential, ref: Reference) -> None:
        """Raises the registry's error if `credential` may not push to `ref`."""
        challenge, doing = self._known_challenge(), f"Asking {self.host}"
        authorization = self._header(challenge, credential, merge_scopes(ref.scopes), fresh=True)
        # A token server has checked it by now; a password or a registry token only the registry checks.
        if challenge is not None and (challenge.scheme == "basic" or credential.registry_token):
            answer = self._transport.send("GET", self.url("/v2/"), doing=doing, authorization=authorization)
            self._raise_unless_good(answer, doing)

    def renew(self, rejected: Credential, ref: Reference) -> Credential:
        """Returns a credential newer than `rejected` that the registry accepts; concurrent callers share one
        refresh.

        Raises `CredentialError` if there is none, or if the new one is rejected, too: so a refresh that
        changes nothing does not loop. An error that may pass does not count as a rejection.
        """

        def verify(renewed: Credential) -> None:
            try:
                self.accepts(renewed, ref)
            except RegistryError as fault:
                if fault.auth_expired:
                    which = (
                        "The same credential came back" if renewed == rejected else "A new credential came"
                    )
                    raise CredentialError(f"{which}, and it is rejected: {fault.message}") from fault
                if fault.permanent:
                    raise

        return self.credentials.refresh(self.host, rejected, verify, ref.repository)

    def _known_challenge(self) -> Challenge | None:
        if self._authorization.challenge is None:
            doing = f"Asking {self.host}"
            answer = self._transport.send("GET", self.url("/v2/"), doing=doing)
            if self._turned_to_tls(answer):
                answer = self._transport.send("GET", self.url("/v2/"), doing=doing)
            if self._is_ours(answer):
                self._authorization.learn(answer)
        return self._authorization.challenge

    def _manifest_request(
        self,
        method: str,
        ref: Reference,
        doing: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Answer:
        scopes = self._scopes(ref.repository)
        path = _manifest_path(ref)
        return self._ask(method, path, ref.repository, doing=doing, scopes=scopes, headers=headers, body=body)

    def _scopes(self, repository: str) -> tuple[str, ...]:
        actions = "push,pull" if repository in self._pushing else "pull"
        return (f"repository:{repository}:{actions}",)

    def _ask(
        self,
        method: str,
        path: str,
        repository: str,
        *,
        doing: str,
        scopes: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        cap: int = 4 << 20,
    ) -> Answer:
        """Sends a request with the known authorization; if it is refused, answers the
        registry's challenge.
        """
        credential = self.credentials.for_host(self.host, repository)

        def send(authorization: str) -> Answer:
            return self._transport.send(
                method,
                self.url(path),
                doing=doing,
                authorization=authorization,
                headers=headers,
                body=body,
                cap=cap,
            )

        used = self._header(self._authorization.challenge, credential, scopes)
        answer = send(used)
        if self._turned_to_tls(answer):
            answer = send(used)
        if self._is_ours(answer) and is_rejected(answer, used):
            answer = self._ask_again(answer, used, credential, scopes, send)
        self._raise_unless_good(answer, doing)
        return answer

    def _ask_again(
        self,
        refusal: Answer,
        used: str,
        credential: Credential,
        scopes: tuple[str, ...],
        send: Callable[[str], Answer],
    ) -> Answer:
        """Answers the challenges in a refusal; returns `refusal` if none asks for anything new."""
        answer, answered = refusal, None
        if not used:
            self._authorization.learn(refusal)  # before the token server is asked, which may be unreachable
        for challenge in self._authorization.to_answer(refusal, used):
            wanted = merge_scopes(scopes, challenge.scopes)
            renewed = self._header(challenge, credential, wanted, rejected=used)
            if renewed and renewed != used:
                answer, used = send(renewed), renewed
                if answer.status != 401:
                    answered = challenge
                    break
        self._authorization.settle(answered, refusal)
        return answer

    def url(self, path: str) -> str:
        """Returns the URL of a path at the registry."""
        return f"{'http' if self._plain else 'https'}://{self._address}{path}"

    def _is_ours(self, answer: Answer) -> bool:
        """Tells whether the registry itself answered, and not the target of a redirect.

        The challenge of another host must not get our credential, nor choose the token server.
        """
        return origin_of(answer.url) == origin_of(self.url("/"))

    def _turned_to_tls(self, answer: Answer) -> bool:
        """Tells whether a registry that we reached over http wants TLS, so that the request
        must be repeated.
        """
        if self._plain and answer.url.startswith(f"https://{self._address}/"):
            self._plain = False  # its redirect led there, without our authorization
            return answer.status == 401
        if answer.status != 400 or not self._is_ours(answer):
            return False
        body = answer.body
        if self._plain and not body:  # the answer to a HEAD has no body to recognise it by
            body = self._transport.send("GET", self.url("/v2/"), doing=f"Asking {self.host}").body
        turned = bool(_WANTS_TLS.search(body))
        self._plain = self._plain and not turned
        return turned

    def _header(
        self,
        challenge: Challenge | None,
        credential: Credential,
        scopes: tuple[str, ...],
        rejected: str = "",
        fresh: bool = False,
    ) -> str:
        return self._authorization.header(
            challenge, credential, scopes, plain=self._plain, rejected=rejected, fresh=fresh
        )

    def _raise_unless_good(self, answer: Answer, doing: str) -> None:
        if 200 <= answer.status < 300:
            return
        if self._is_ours(answer) or answer.status not in (401, 403):
            _fail(answer, doing)
        # An expired signed URL gives 403; the next request gets a new one.
        there = f"{origin_of(answer.url)}, where a redirect leads and {NOT_TOLD}"
        raise RegistryError(
            f"{doing}: HTTP {answer.status} of {there}.",
            reason=Reason.REDIRECTED,
            permanent=answer.status == 401,
        )


def _descriptor(answer: Answer) -> Descriptor | None:
    """Reads the headers of a HEAD; None if they are unusable, since the spec allows both to be absent.

    Storage that does not know manifests sends a type and a length of its own.
    """
    digest, length = answer.headers.get("Docker-Content-Digest", ""), answer.headers.get("Content-Length", "")
    kind = _media_type(answer)
    if not is_digest(digest) or not _LENGTH.fullmatch(length) or kind not in INDEX_TYPES | IMAGE_TYPES:
        return None
    return Descriptor(digest, kind, int(length))


def _fail(answer: Answer, doing: str) -> NoReturn:
    raise from_response(answer.status, answer.headers, answer.body, doing)


def _manifest_path(ref: Reference) -> str:
    return f"/v2/{ref.repository}/manifests/{ref.wanted}"


def _media_type(answer: Answer) -> str:
    return media_type(answer.headers.get("Content-Type", "").partition(";")[0].strip())
