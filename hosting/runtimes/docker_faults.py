"""Turns errors of docker-py, requests and the engine into `RuntimeFault`s that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException

from hosting.errors import RuntimeFault
from registry.engine_errors import from_engine
from registry.reasons import PATTERNS, Reason

# The engine sends no codes, so its words decide: message, hint, whether it is permanent, cause.
_KNOWN: tuple[tuple[str, str, str, bool, Reason | None], ...] = (
    (
        r"\bgoaway\b|\bhttp2: |\bstream error: stream id\b|stream (was )?reset|_stream\b.*received from peer",
        "The connection was broken off in the middle.",
        "Try again: proxies and registries do so when they are restarted or have much to do.",
        False,
        Reason.IMAGE_UNAVAILABLE,
    ),
    (
        "|".join(PATTERNS[Reason.WRONG_PLATFORM]),
        "The image is built for another kind of processor.",
        "Add this machine's platform to REGISTRY_ARCH_TARGETS and redeploy.",
        True,
        Reason.WRONG_PLATFORM,
    ),
    (
        r"unable to find (user|group) |no matching entries in (passwd|group) file",
        "The image names a user that it does not have.",
        "Name it by its number in the Dockerfile (USER 65532), or add it to /etc/passwd of the image.",
        True,
        None,
    ),
    (
        r"executable file not found|no such file or directory.*unknown|permission denied: unknown",
        "The image does not contain the command, or it may not be executed.",
        "Correct the server's command, or the Dockerfile's.",
        True,
        None,
    ),
    (
        r"unauthorized|authentication required|no basic auth|access.*denied|denied:|forbidden",
        "The registry does not let the image be pulled.",
        "Check the registry's credentials, or the login that the team gave for it.",
        True,
        Reason.IMAGE_UNAVAILABLE,
    ),
    (
        r"no such image|manifest unknown|manifest for .* not found|repository .* not found|name unknown",
        "The image is not there.",
        "Redeploy the server: that builds and pushes it again.",
        True,
        Reason.IMAGE_UNAVAILABLE,
    ),
    (
        r"no matching manifest|does not match the specified platform",
        "The image does not exist for this machine's platform.",
        "Add the platform to REGISTRY_ARCH_TARGETS and redeploy.",
        True,
        Reason.IMAGE_UNAVAILABLE,
    ),
    (
        r"network .* not found",
        "The containers' network does not exist.",
        "Create it, or unset it.",
        True,
        None,
    ),
    (
        r"range of cpus|minimum memory limit",
        "The engine does not accept the server's limits.",
        "Change its CPU and memory limits.",
        True,
        None,
    ),
    (
        "|".join(PATTERNS[Reason.FULL]),
        "The engine's disk is full.",
        "Make room: docker system df shows what uses it.",
        False,
        Reason.FULL,
    ),
    (
        "|".join(PATTERNS[Reason.RATE_LIMITED]),
        "The registry asks for patience.",
        "Try again in a while.",
        False,
        Reason.RATE_LIMITED,
    ),
)
_QUOTED = re.compile(r"(error parsing HTTP \d+ response body).*", re.DOTALL)
LOOKED_AT = 4000  # characters; they may quote what a registry has answered
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)


class PortTaken(RuntimeFault):
    """Another program has taken the port since it was chosen."""

    permanent = False


@contextmanager
def translated() -> Iterator[None]:
    """Raises what docker-py and requests raise inside as a `RuntimeFault`."""
    try:
        yield
    except APIError as error:
        raise from_text(str(error.explanation or error), server_error=error.is_server_error()) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, DockerException, OSError) as error:
        raise _gone(str(error)) from error


def _gone(text: str) -> RuntimeFault:
    details = {"engine": _brief(text)}
    if "permission denied" in text.lower():
        return RuntimeFault(
            "The platform may not use the Docker Engine's socket.",
            hint="Add the platform's user to the socket's group, most often `docker`.",
            reason=Reason.ENGINE_UNAVAILABLE,
            permanent=False,
            details=details,
        )
    return RuntimeFault(
        "The Docker Engine does not answer.",
        hint="Start it (systemctl start docker), or check DOCKER_HOST.",
        reason=Reason.ENGINE_UNAVAILABLE,
        permanent=False,
        details=details,
    )


def from_text(text: str, *, server_error: bool = False) -> RuntimeFault:
    """The fault for a message of the engine. `server_error`: it came with a status of 500 or more."""
    return _known(text[:LOOKED_AT]) or _refused(text[:LOOKED_AT], server_error=server_error)


def _known(text: str) -> RuntimeFault | None:
    if _PORT_TAKEN.search(text):
        return PortTaken("The port was taken by another program meanwhile.", hint="Try again.")
    for pattern, message, hint, permanent, reason in _KNOWN:
        if re.search(pattern, text, re.IGNORECASE):
            return RuntimeFault(
                f"{message} ({_brief(text)})",
                hint=hint,
                reason=reason,
                permanent=permanent,
                details={"engine": _brief(text)},
            )
    return None


def _refused(text: str, *, server_error: bool) -> RuntimeFault:
    message = f"The Docker Engine refused: {_brief(text)}"
    return RuntimeFault(message, hint="See its log.", permanent=not server_error)


def of_a_pull(text: str, *, server_error: bool = False) -> RuntimeFault:
    """The fault for a pull that failed. The text may also quote the registry or an error of the network."""
    if known := _known(text[:LOOKED_AT]):
        return known
    told = from_engine(text)
    if told.auth_expired:
        return from_text(f"unauthorized: {text}")
    if told.permanent or told.kind not in ("push", "remote"):
        return _refused(text[:LOOKED_AT], server_error=server_error)
    return RuntimeFault(
        f"The image could not be pulled: {_brief(text)}",
        hint="Try again in a while; see the registry's own log, and the network between it and the engine.",
        reason=Reason.IMAGE_UNAVAILABLE,
        permanent=False,
        details={"engine": _brief(text)},
    )


def _brief(text: str) -> str:
    """At most 500 characters. The body of a foreign HTTP response, which the engine quotes, is left out."""
    return " ".join(_QUOTED.sub(r"\1 (not shown)", text).split())[:500]
