"""Asks an endpoint whether it speaks MCP, in which revisions, and what it offers.

The modern era (2026-07-28) has no sessions: a client asks `server/discover`, and each request carries the
version and the capabilities in `_meta`. The legacy era (up to 2025-11-25) begins with `initialize` and may
have a session ("Lifecycle").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bridge.protocol import (
    METHOD_NOT_FOUND,
    NEWEST_LEGACY,
    NEWEST_MODERN,
    SERVER_GONE,
    SERVER_KEY,
    UNSUPPORTED_VERSION,
)
from hosting import host_names
from hosting.deadline import Deadline
from hosting.errors import RuntimeFault, TimedOut
from hosting.mcp_client import (
    Auth,
    HostRefused,
    McpEndpoint,
    NotServing,
    RpcError,
    no_auth,
)
from hosting.mcp_lists import Lists
from hosting.runtimes import exit_words
from hosting.runtimes.base import RunStatus
from registry.reasons import Reason

Era = Literal["modern", "legacy", "both"]
Json = dict[str, Any]

REQUEST_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
EXITED = exit_words.EXITED
EXITS_IN_A_ROW = 3  # the bridge starts the server again for each attempt, and one exit may be chance


class ServerExited(NotServing):
    """The bridge answers, but its stdio server exits."""

    reason = Reason.CRASHED


@dataclass(frozen=True)
class ServerFacts:
    """What a server says about itself. `protocol_versions` has the newest first. `host` is the Host header
    that the server accepts; "" means that of `host_names.usual`.
    """

    era: Era
    protocol_versions: tuple[str, ...]
    name: str = ""
    version: str = ""
    capabilities: Json = field(default_factory=dict)
    instructions: str = ""
    host: str = ""


@dataclass(frozen=True)
class Discovery:
    """What a server offers: the entries of its lists, unchanged. See `Lists` for `truncated` and `notes`."""

    tools: list[Json] = field(default_factory=list)
    prompts: list[Json] = field(default_factory=list)
    resources: list[Json] = field(default_factory=list)
    resource_templates: list[Json] = field(default_factory=list)
    truncated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def probe(
    endpoint: str,
    *,
    deadline: Deadline,
    timeout: float = REQUEST_SECONDS,
    auth: Auth = no_auth,
    hosts: Sequence[str] = (),
) -> ServerFacts:
    """Tries the handshake of both eras. A session that was opened for it is closed again.

    `timeout` is for each request, in seconds. `hosts` are the Host headers to try, in this order, as long as
    the server refuses them; without any, those of `host_names.candidates`.

    Raises `NotServing` (a `RuntimeFault`) where neither era is answered, `HostRefused` where no Host is
    accepted; `Cancelled`, `TimedOut`.
    """
    tried = list(hosts) or list(host_names.candidates(endpoint))
    refused = ""
    for host in tried:
        try:
            facts = _probe(McpEndpoint(endpoint, deadline=deadline, timeout=timeout, auth=auth, host=host))
        except HostRefused as fault:
            refused = fault.message
        else:
            return facts if host == host_names.usual(endpoint) else replace(facts, host=host)
    raise HostRefused(
        f"It refuses each Host that it was named: {', '.join(tried)}. {refused}",
        hint=f"Let it allow {tried[0]}, or turn its check of hosts off: the gateway makes it.",
    )


def _probe(endpoint: McpEndpoint) -> ServerFacts:
    with endpoint as server:
        modern = _modern(server)
        try:
            legacy = _legacy(server)
        except NotServing:
            if not modern:
                raise
            legacy = None
    return _combined(modern, legacy)


def wait_healthy(
    endpoint: str,
    *,
    deadline: Deadline,
    alive: Callable[[], RunStatus],
    auth: Auth = no_auth,
    public: str = "",
) -> ServerFacts:
    """Repeats `probe` until the endpoint answers. `alive` returns the status of the run; of several replicas
    the first is asked, because a session belongs to one replica. `public` is the platform's own URL, or "".

    Raises `RuntimeFault` at once when the run has exited, and with the last failure as the cause when the
    deadline ends; `Cancelled`.
    """
    hosts = host_names.candidates(endpoint, public)
    pause, seen, exits = FIRST_PAUSE, "it was not asked yet", 0
    reason: Reason | None = None
    while exits < EXITS_IN_A_ROW:
        _check(deadline, seen, reason)
        status = alive()
        if not status.alive:
            raise RuntimeFault(
                f"The server has exited before it answered. {status.reason}".strip(),
                hint="" if status.advice == EXITED else EXITED,
                reason=status.cause or Reason.CRASHED,
                details={"exit_code": status.exit_code},
            )
        try:
            one = next(iter(status.endpoints.values()), endpoint)
            return probe(one, deadline=deadline, auth=auth, hosts=hosts)
        except NotServing as fault:
            exits = exits + 1 if isinstance(fault, ServerExited) else 0
            seen = f"{fault.message} {fault.hint} {status.reason}".strip()
            reason = status.cause or fault.reason
        except TimedOut:
            continue  # the deadline has ended, and `_check` raises with the last failure
        time.sleep(min(pause, deadline.remaining()))
        pause = min(pause * 2, LONGEST_PAUSE)
    raise RuntimeFault(f"The server exits before it answers: {seen}", hint=EXITED, reason=Reason.CRASHED)


def discover(endpoint: str, facts: ServerFacts, *, deadline: Deadline, auth: Auth = no_auth) -> Discovery:
    """Reads the lists that `facts.capabilities` announce, up to the limits of `mcp_lists`.

    Raises `RuntimeFault` when the server does not answer, or answers a list that it announces with an error;
    `Cancelled`, `TimedOut`.
    """
    opened = McpEndpoint(endpoint, deadline=deadline, timeout=REQUEST_SECONDS, auth=auth, host=facts.host)
    with opened as server, _opened(server, facts):
        lists = Lists(server, facts.capabilities)
        return Discovery(
            tools=lists.ask("tools", "tools/list", "tools"),
            prompts=lists.ask("prompts", "prompts/list", "prompts"),
            resources=lists.ask("resources", "resources/list", "resources"),
            resource_templates=lists.ask("resources", "resources/templates/list", "resourceTemplates"),
            truncated=tuple(lists.truncated),
            notes=tuple(lists.notes),
        )


def _check(deadline: Deadline, seen: str, reason: Reason | None) -> None:
    try:
        deadline.check()
    except TimedOut as error:
        raise RuntimeFault(
            f"The server did not answer MCP in time; seen last: {seen}",
            hint="If it is only slow to start, raise HEALTH_TIMEOUT; else its log tells what it waits for.",
            reason=reason or Reason.UNHEALTHY,
        ) from error


def _modern(server: McpEndpoint) -> ServerFacts | None:
    """None where the server does not answer `server/discover`: the legacy handshake then decides."""
    server.use(NEWEST_MODERN)
    try:
        answer = server.request("server/discover", {})
    except (RpcError, NotServing):
        return None
    versions = _strings(answer.get("supportedVersions"))
    if NEWEST_MODERN not in versions:
        return None
    meta = answer.get("_meta")
    info = meta.get(SERVER_KEY) if isinstance(meta, dict) else None
    return _facts("modern", versions, info, answer)


def _legacy(server: McpEndpoint) -> ServerFacts | None:
    try:
        answer = server.initialize()
    except RpcError as error:
        if error.code in (UNSUPPORTED_VERSION, METHOD_NOT_FOUND):
            return None
        if error.code == SERVER_GONE:
            raise ServerExited(f"{error.message}.") from error
        raise NotServing(
            f"It answered initialize with an error: {error.message.rstrip('.')}.",
            hint="See what it wrote at that moment.",
        ) from error
    server.close_session()
    versions = [str(answer.get("protocolVersion", NEWEST_LEGACY))]
    return _facts("legacy", versions, answer.get("serverInfo"), answer)


def _facts(era: Era, versions: list[str], info: Any, answer: Json) -> ServerFacts:
    info = info if isinstance(info, dict) else {}
    capabilities = answer.get("capabilities")
    return ServerFacts(
        era=era,
        protocol_versions=tuple(sorted(versions, reverse=True)),
        name=str(info.get("name", "")),
        version=str(info.get("version", "")),
        capabilities=capabilities if isinstance(capabilities, dict) else {},
        instructions=str(answer.get("instructions") or ""),
    )


def _combined(modern: ServerFacts | None, legacy: ServerFacts | None) -> ServerFacts:
    if modern and legacy:
        versions = {*modern.protocol_versions, *legacy.protocol_versions}
        return ServerFacts(
            era="both",
            protocol_versions=tuple(sorted(versions, reverse=True)),
            name=legacy.name or modern.name,
            version=legacy.version or modern.version,
            capabilities=legacy.capabilities,
            instructions=legacy.instructions or modern.instructions,
        )
    facts = modern or legacy
    if not facts:
        raise NotServing(
            "It speaks no version of MCP that is known here.",
            hint=f"{NEWEST_MODERN} and the versions up to {NEWEST_LEGACY} are.",
        )
    return facts


@contextmanager
def _opened(server: McpEndpoint, facts: ServerFacts) -> Iterator[None]:
    if facts.era == "modern":
        server.use(NEWEST_MODERN)
        yield
        return
    server.initialize()
    try:
        yield
    finally:
        server.close_session()


def _strings(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
