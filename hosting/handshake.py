"""Whether an endpoint speaks MCP, which eras of it, and what it offers.

The modern era (2026-07-28) knows no session: `server/discover`, with the version and capabilities in each
request's `_meta`. The legacy era (up to 2025-11-25) opens with `initialize` and may keep a session.
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
    Equip,
    HostRefused,
    McpEndpoint,
    NotServing,
    RpcError,
    unchanged,
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
EXITS_IN_A_ROW = 3  # behind the bridge each attempt starts the server anew: once may be bad luck


class ServerExited(NotServing):
    """The bridge answers, but the server behind it exits."""

    reason = Reason.CRASHED


@dataclass(frozen=True)
class ServerFacts:
    """What a server says of itself; `protocol_versions` newest first. `host` is the Host that it takes, ""
    for the usual one (`host_names`)."""

    era: Era
    protocol_versions: tuple[str, ...]
    name: str = ""
    version: str = ""
    capabilities: Json = field(default_factory=dict)
    instructions: str = ""
    host: str = ""


@dataclass(frozen=True)
class Discovery:
    """What a server offers, as it describes it. `truncated` names the lists that were cut at a bound; `notes`
    are sentences on lists whose pages do not come to an end as they should."""

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
    equip: Equip = unchanged,
    hosts: Sequence[str] = (),
) -> ServerFacts:
    """Shakes hands in both eras. Raises `NotServing`, a `RuntimeFault`, where neither is answered.

    `timeout` seconds for each request. A session that was opened is closed again. `hosts` are the Host
    headers to try, one after the other as long as the server refuses them.
    """
    tried = list(hosts) or list(host_names.candidates(endpoint))
    refused = ""
    for host in tried:
        try:
            facts = _probe(McpEndpoint(endpoint, deadline=deadline, timeout=timeout, equip=equip, host=host))
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
    equip: Equip = unchanged,
    public: str = "",
) -> ServerFacts:
    """Asks until the endpoint answers; of several replicas one, as a session is with it alone. `public` is
    the platform's own URL, or "".

    Raises `RuntimeFault` at once when the run has exited, and when the deadline ends with what was seen last;
    `Cancelled`.
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
            return probe(one, deadline=deadline, equip=equip, hosts=hosts)
        except NotServing as fault:
            exits = exits + 1 if isinstance(fault, ServerExited) else 0
            seen = f"{fault.message} {fault.hint} {status.reason}".strip()
            reason = status.cause or fault.reason
        except TimedOut:
            continue  # the deadline has ended: the check says what was seen before
        time.sleep(min(pause, deadline.remaining()))
        pause = min(pause * 2, LONGEST_PAUSE)
    raise RuntimeFault(f"The server exits before it answers: {seen}", hint=EXITED, reason=Reason.CRASHED)


def discover(endpoint: str, facts: ServerFacts, *, deadline: Deadline, equip: Equip = unchanged) -> Discovery:
    """Asks for what `facts.capabilities` announce, page by page up to the bounds of `pages`.

    Raises `RuntimeFault` when the server answers one of its own capabilities with an error.
    """
    opened = McpEndpoint(endpoint, deadline=deadline, timeout=REQUEST_SECONDS, equip=equip, host=facts.host)
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
    """None is no verdict on the server: whatever does not answer this is asked in the legacy way."""
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
