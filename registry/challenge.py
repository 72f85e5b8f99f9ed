"""Parses `WWW-Authenticate` (RFC 9110, 11.6.1) and decides whether a token server may get a credential."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from registry.errors import RegistryError
from registry.reference import hostname, is_loopback

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
LONGEST = 8_192  # characters; a longer header is no challenge, and would take long to parse
# A value without quotes should be a word, but some registries send a URL without quotes.
_PART = re.compile(
    rf'(?P<word>{_WORD})(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"=][^\s,"]*)))?'
)
_GAP = re.compile(r"[\s,]*")


@dataclass(frozen=True)
class Challenge:
    """A challenge.

    `scheme` is `basic` or `bearer`; the other fields are those of Bearer (token authentication).
    """

    scheme: str
    realm: str = ""
    service: str = ""
    scopes: tuple[str, ...] = ()
    error: str = ""


def read_challenge(header: str) -> Challenge | None:
    """Returns the best challenge in the header: Bearer with a token server, then Basic; None for neither."""
    return next(iter(read_challenges(header)), None)


def read_challenges(header: str) -> list[Challenge]:
    """Returns the challenges that can be answered, the best first. Several headers are joined by commas."""
    if len(header) > LONGEST:
        return []
    known = [each for each in _challenges(header) if each.scheme in ("bearer", "basic")]
    return sorted(
        known, key=lambda each: (each.scheme == "bearer" and not each.realm, each.scheme != "bearer")
    )


def _challenges(header: str) -> Iterator[Challenge]:
    scheme, parameters = "", {}
    for part in _parts(header):
        value = part["quoted"] if part["quoted"] is not None else part["plain"]
        if value is not None:
            parameters[part["word"].lower()] = re.sub(r"\\(.)", r"\1", value)
            continue
        if scheme:
            yield _challenge(scheme, parameters)
        scheme, parameters = part["word"].lower(), {}
    if scheme:
        yield _challenge(scheme, parameters)


def _parts(header: str) -> Iterator[re.Match[str]]:
    """Yields words, alone or with a value.

    It matches once per position; a search could take quadratic time.
    """
    at, end = 0, len(header)
    while (at := _GAP.match(header, at).end()) < end:  # type: ignore[union-attr]  # it matches nothing too
        part = _PART.match(header, at)
        if part:
            yield part
        at = part.end() if part else at + 1


def _challenge(scheme: str, parameters: dict[str, str]) -> Challenge:
    return Challenge(
        scheme,
        parameters.get("realm", ""),
        parameters.get("service", ""),
        tuple(parameters.get("scope", "").split()),
        parameters.get("error", ""),
    )


def check_realm(realm: str, host: str, *, plain: bool) -> None:
    """Raises `RegistryError` if the token server at `realm` must not get a credential.

    The realm has to be https. http is allowed only if the registry itself is reached over http (`plain`) and
    the token server is on the same host. So neither a manipulated answer nor a hostile registry makes us send
    a password unencrypted, or to a service of this machine.
    """
    try:
        url = urlsplit(realm)
    except ValueError:
        raise _refused(host, "names no usable address") from None
    own = (url.hostname or "") == hostname(host) or (is_loopback(url.netloc) and is_loopback(host))
    if url.username or not url.hostname:
        raise _refused(host, "names no usable address")
    if url.scheme != "https" and not (url.scheme == "http" and plain and own):
        raise _refused(host, f"is not https: {url.scheme}://{url.hostname}")


def _refused(host: str, why: str) -> RegistryError:
    return RegistryError(f"The token server that {host} asks us to use {why}; no credential was sent.")


def merge_scopes(*groups: Iterable[str]) -> tuple[str, ...]:
    """Returns one scope per resource with all its actions, `push` first, in the order of first mention."""
    actions: dict[str, set[str]] = {}
    for scope in (scope for group in groups for scope in group):
        resource, _, wanted = scope.rpartition(":")
        actions.setdefault(resource, set()).update(wanted.split(","))
    return tuple(
        f"{resource}:{','.join(sorted(wanted, reverse=True))}" for resource, wanted in actions.items()
    )
