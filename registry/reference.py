"""Image references: `host[:port]/repository[:tag][@digest]` (OCI distribution spec)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

HUB_HOST = "docker.io"
HUB_API_HOST = "registry-1.docker.io"

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]{1,32}/[A-Za-z0-9_.-]{1,32}(?:/[A-Za-z0-9_.-]{0,32})?")
_MAX_REPOSITORY = 255
_DEFAULT_VARIANTS = {("arm64", "v8"), ("amd64", "v1")}
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


class InvalidReference(ValueError):
    """The text is not an image reference; the message names the invalid part."""


@dataclass(frozen=True)
class Reference:
    """An image reference.

    `host` is `name[:port]`, `repository` the path; `tag` and `digest` are "" for none.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        _require(_HOST, self.host, "registry host")
        _require(_REPOSITORY, self.repository, "repository name")
        if len(self.repository) > _MAX_REPOSITORY:
            raise InvalidReference(f"The repository name is longer than {_MAX_REPOSITORY} characters.")
        if self.tag:
            _require(_TAG, self.tag, "tag")
        if self.digest:
            _require(_DIGEST, self.digest, "digest")

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parses a reference; without a host it belongs to Docker Hub. Raises `InvalidReference`."""
        name, at, digest = text.strip().partition("@")
        if (at and not digest) or name.endswith(":"):
            raise InvalidReference(f"{text!r} lacks what its last sign announces.")
        name, tag = _split_tag(name)
        host, repository = _split_host(name)
        return cls(host, repository, tag, digest)

    @property
    def endpoint(self) -> str:
        """`host[:port]/repository`: the telemetry contract's `registry_endpoint`."""
        return f"{self.host}/{self.repository}"

    @property
    def scopes(self) -> tuple[str, str]:
        """The scopes to push and to pull (Docker registry token authentication, scope)."""
        return (f"repository:{self.repository}:push", f"repository:{self.repository}:pull")

    @property
    def wanted(self) -> str:
        """The digest if there is one, else the tag: the last part of a manifest's URL."""
        return self.digest or self.tag or "latest"

    def with_tag(self, tag: str) -> Reference:
        """Returns the reference with this tag and without a digest."""
        return replace(self, tag=tag, digest="")

    def with_digest(self, digest: str) -> Reference:
        """Returns the reference with this digest and without a tag."""
        return replace(self, tag="", digest=digest)

    def for_platform(self, platform: str) -> Reference:
        """Returns the reference with the tag of one platform: `v1` becomes `v1-linux-arm64`."""
        suffix = "-" + normalise_platform(platform).replace("/", "-")
        return self.with_tag((self.tag or "latest")[: 128 - len(suffix)] + suffix)

    def __str__(self) -> str:
        return (
            self.endpoint + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")
        )


def _require(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidReference(f"{value[:200]!r} is not a valid {what}.")


def _split_tag(name: str) -> tuple[str, str]:
    head, colon, tail = name.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (name, "")


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or any(sign in first for sign in ".:")):
        return (HUB_HOST, _hub_repository(rest)) if is_hub(first) else (first, rest)
    return HUB_HOST, _hub_repository(name)


def _hub_repository(name: str) -> str:
    return name if "/" in name else f"library/{name}"


def is_digest(text: str) -> bool:
    """Tells whether the text is a SHA-256 or SHA-512 digest (OCI image spec, descriptor.md)."""
    return bool(_DIGEST.fullmatch(text))


def is_hub(host: str) -> bool:
    """Tells whether the host is one of Docker Hub's names."""
    return host in {HUB_HOST, "index.docker.io", HUB_API_HOST}


def is_loopback(host: str) -> bool:
    """Tells whether `host[:port]` is this machine, so that unencrypted http is safe."""
    name = hostname(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def hostname(host: str) -> str:
    """Returns `host[:port]` without its port, and an IPv6 address without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def normalise_platform(platform: str) -> str:
    """Returns `os/arch[/variant]` as in the OCI image spec; arm64/v8 and amd64/v1 lose their variant.

    Raises `InvalidReference`.
    """
    if not _PLATFORM.fullmatch(platform.strip()):
        raise InvalidReference(f"{platform[:80]!r} is not a platform such as linux/arm64.")
    os, _, rest = platform.strip().lower().partition("/")
    architecture, _, variant = rest.partition("/")
    architecture = _ALIASES.get(architecture, architecture)
    if architecture == "arm" and not variant:
        variant = "v7"
    keep = variant and (architecture, variant) not in _DEFAULT_VARIANTS
    return f"{os}/{architecture}" + (f"/{variant}" if keep else "")
