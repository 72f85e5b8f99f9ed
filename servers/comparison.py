"""Compares two deployments of one server: what was deployed, how long it took, and which tools it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hosting import tool_changes
from hosting.errors import Invalid
from hosting.tool_changes import ToolChanges
from servers import plan_shown
from servers.models import Deployment, Step
from servers.states import DeploymentStatus, StepKind

_PATH = list(StepKind)
SHOWN = 22  # characters of a value


@dataclass(frozen=True)
class Row:
    """One thing that is compared, in words; "" if a deployment has no value for it."""

    name: str
    before: str
    after: str

    @property
    def same(self) -> bool:
        return self.before == self.after

    @property
    def shown(self) -> tuple[str, str]:
        """Returns both values shortened for a table.

        These are their starts. If the starts are equal, as those of tags may be, these are their ends.
        """
        starts = _start(self.before), _start(self.after)
        if self.same or starts[0] != starts[1]:
            return starts
        return _end(self.before), _end(self.after)

    @property
    def is_hash(self) -> bool:
        return self.name in ("revision", "image") or self.name.startswith("digest")


def _start(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _end(text: str) -> str:
    return text if len(text) <= SHOWN else "…" + text[1 - SHOWN :]


@dataclass(frozen=True)
class Took:
    """How many milliseconds one step took in each deployment; None if it did not run or did not end."""

    step: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Names:
    """Names of environment variables that differ. `changed` are those that have another value."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class Comparison:
    """What differs between two deployments, `before` being the older one.

    `configuration_known` is False if one of them was never started, `plan_known` if one was not built from a
    source, `tools_known` if the tools of one were not listed.
    """

    before: Deployment
    after: Deployment
    facts: tuple[Row, ...]
    durations: tuple[Took, ...]
    plan_known: bool
    plan: tuple[Row, ...]
    configuration_known: bool
    environment: Names
    secrets: Names
    settings: tuple[Row, ...]
    tools_known: bool
    tools: ToolChanges


COLUMNS: dict[str, Callable[[Deployment], str]] = {
    "status": lambda deployment: deployment.status,
    "revision": lambda deployment: deployment.build.revision,
    "summary": lambda deployment: deployment.build.summary,
    "trigger": lambda deployment: deployment.trigger,
    "mode": lambda deployment: deployment.mode,
    "runtime": lambda deployment: deployment.build.runtime,
    "digest": lambda deployment: deployment.build.digest,
    "image": lambda deployment: deployment.build.image,
}


def other_of(deployment: Deployment, number: str = "") -> Deployment | None:
    """Returns the deployment to compare with, or None if the server has no earlier one.

    This is the one with `number` if it is given. Otherwise it is the newest earlier one that succeeded, or
    the newest earlier one at all. Raises `Invalid` for an unknown number.
    """
    others = deployment.server.deployments.exclude(pk=deployment.pk).select_related(
        "server", "requested_by", "build"
    )
    if number:
        chosen = others.filter(number=number).first() if number.isdecimal() and len(number) < 10 else None
        if chosen is None:
            raise Invalid(f"{deployment.server.name} has no other deployment #{number}.", field="with")
        return chosen
    earlier = others.filter(number__lt=deployment.number).order_by("-number")
    return earlier.filter(status=DeploymentStatus.SUCCEEDED).first() or earlier.first()


def compare(one: Deployment, other: Deployment) -> Comparison:
    """Compares two deployments, in any order."""
    before, after = sorted((one, other), key=lambda deployment: deployment.number)
    old, new = before.configuration, after.configuration
    known = bool(old and new)
    return Comparison(
        before=before,
        after=after,
        facts=tuple(_facts(before, after)),
        durations=tuple(_durations(before, after)),
        plan_known=bool(before.build.plan and after.build.plan),
        plan=tuple(_plans(before.build.plan, after.build.plan)),
        configuration_known=known,
        environment=_names(old.get("environment", {}), new.get("environment", {})) if known else Names(),
        secrets=_names(old.get("secrets", {}), new.get("secrets", {})) if known else Names(),
        settings=tuple(_settings(old.get("settings", {}), new.get("settings", {}))) if known else (),
        tools_known=bool(before.discovery and after.discovery),
        tools=_tools(before, after),
    )


def _facts(before: Deployment, after: Deployment) -> Iterable[Row]:
    for column, of in COLUMNS.items():
        yield Row(column, str(of(before)), str(of(after)))
    for platform in dict.fromkeys((*before.build.images, *after.build.images)):
        yield Row(f"digest of {platform}", _digest(before, platform), _digest(after, platform))
    yield Row("tools", _count(before), _count(after))


def _digest(deployment: Deployment, platform: str) -> str:
    image = deployment.build.images.get(platform, {})
    return str(image.get("digest") or image.get("image_id") or "")


def _count(deployment: Deployment) -> str:
    return str(len(deployment.discovery.get("tools", []))) if deployment.discovery else ""


def _durations(before: Deployment, after: Deployment) -> Iterable[Took]:
    old, new = _times(before), _times(after)
    yield Took("all", _milliseconds(before), _milliseconds(after))
    for kind, platform in sorted(
        old.keys() | new.keys(), key=lambda step: (_PATH.index(StepKind(step[0])), step[1])
    ):
        step = kind, platform
        yield Took(f"{kind} {platform}".strip(), old.get(step), new.get(step))


def _times(deployment: Deployment) -> dict[tuple[str, str], int]:
    done = (step for step in deployment.steps.all() if step.finished_at)
    return {(step.kind, step.platform): _milliseconds(step) or 0 for step in done}


def _milliseconds(what: Deployment | Step) -> int | None:
    if not (what.started_at and what.finished_at):
        return None
    return int((what.finished_at - what.started_at).total_seconds() * 1000)


def _plans(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Row]:
    """Yields what differs between two plans; nothing if one is empty."""
    if not (old and new):
        return
    before, after = _by_name(old), _by_name(new)
    for name in dict.fromkeys((*before, *after)):
        row = Row(name.lower(), before.get(name, ""), after.get(name, ""))
        if not row.same:
            yield row


def _by_name(plan: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for fact in plan_shown.facts(plan):
        found.setdefault(fact.name, []).append(fact.words)
    return {name: "; ".join(words) for name, words in found.items()}


def _names(old: Mapping[str, Any], new: Mapping[str, Any]) -> Names:
    return Names(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
    )


def _settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Row]:
    for name in dict.fromkeys((*old, *new)):
        row = Row(name, _words(old.get(name)), _words(new.get(name)))
        if not row.same:
            yield row


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value if value is not None else "")


def _tools(before: Deployment, after: Deployment) -> ToolChanges:
    if not (before.discovery and after.discovery):
        return ToolChanges()
    return tool_changes.compare(before.discovery.get("tools", []), after.discovery.get("tools", []))
