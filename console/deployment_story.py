"""The timeline on a deployment's page: the request, each step with its events, and the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.urls import reverse

from hosting.runtimes import kinds
from metrics.models import UsageMetric
from servers import display
from servers.models import Deployment, Step
from servers.states import DeploymentStatus, Mode, StepKind, StepStatus, Trigger

TITLES = {
    StepKind.CLONE: "Source", StepKind.BUILD: "Build", StepKind.CREDENTIALS: "Credentials",
    StepKind.PUSH: "Push", StepKind.PUBLISH: "Publish", StepKind.START: "Start", StepKind.HEALTH: "Health",
    StepKind.DISCOVER: "Tools",
}  # fmt: skip
PUSHING = (StepKind.CREDENTIALS, StepKind.PUSH, StepKind.PUBLISH)
PER_PLATFORM = (StepKind.BUILD, StepKind.PUSH)
# Details that a row shows elsewhere, or that do not help a reader.
QUIET = {
    "platform", "error", "error_kind", "duration_ms", "bytes_done", "bytes_total", "bytes_whole", "percent",
    "summary", "image_id", "registry_endpoint", "status", "source", "seconds",
}  # fmt: skip
LOOKS = {"healthy": "green", "expiring_soon": "amber", "expired": "red"}
Row = dict[str, Any]
Details = Mapping[str, Any]
Said = tuple[str, str]


def rows(deployment: Deployment, steps: Sequence[Step], events: Sequence[UsageMetric]) -> list[Row]:
    """The rows of the timeline in order of time. While the deployment runs, its next steps follow."""
    lines = _lines_by_step(deployment)
    in_order = sorted(steps, key=lambda step: step.started_at)
    told = [_step(step, _notes(step, events), lines.get(step.pk, 0)) for step in in_order]
    return [_request(deployment), *told, *_to_come(deployment, steps), *_end(deployment)]


def _lines_by_step(deployment: Deployment) -> dict[int, int]:
    counted = deployment.log_lines.filter(step__isnull=False).order_by().values_list("step")
    return dict(counted.annotate(count=Count("pk")))


def _request(deployment: Deployment) -> Row:
    waited_to = deployment.started_at or deployment.ended_or_now
    at_once = waited_to - deployment.created_at < timedelta(seconds=1)
    queued = deployment.status == DeploymentStatus.QUEUED
    return {
        "key": "request",
        "title": display.trigger(deployment.trigger),
        "status": "running" if queued else "succeeded",
        "began": None if at_once and not queued else deployment.created_at,
        "ended": None if queued else waited_to,
        "took_word": "in the queue for",
        "notes": [note("grey", text) for text in _wishes(deployment)],
        "link": _delivery(deployment),
        "who": deployment.requested_by,
    }


def _wishes(deployment: Deployment) -> Iterator[str]:
    base = deployment.based_on
    if deployment.mode == Mode.RESUME and base:
        yield f"Continues where #{base.number} failed."
    elif base and deployment.mode != Mode.LATEST:
        yield f"Mode {deployment.mode}, of #{base.number}."
    if deployment.refresh_credentials:
        yield "The registry's credentials are renewed first."
    if deployment.platform_anew:
        yield f"{deployment.platform_anew} is built and pushed again."
    if deployment.push_retries:
        yield f"Each push has {deployment.push_retries} attempts."
    if deployment.claims > 1:
        yield f"It was started {deployment.claims} times: the worker before was lost."


def _delivery(deployment: Deployment) -> tuple[str, str] | None:
    """Text and URL of the delivery that triggered the deployment; None if no webhook did."""
    if deployment.trigger != Trigger.WEBHOOK:
        return None
    sent = deployment.deliveries.first()
    return (str(sent), reverse("admin:hooks_delivery_change", args=[sent.pk])) if sent else None


def _step(step: Step, notes: list[Row], lines: int) -> Row:
    kind = StepKind(step.kind)
    return {
        "key": f"step-{step.pk}",
        "step": step,
        "title": TITLES[kind],
        "platform": step.platform,
        "status": step.status,
        "began": step.started_at,
        "ended": step.finished_at,
        "notes": notes,
        "error": step.error,
        "facts": facts(step.details),
        "progress": progress(step),
        "lines": lines,
    }


def progress(step: Step) -> Row | None:
    """The progress of a running push. It is there from the start, so that the page does not move later."""
    if step.kind != StepKind.PUSH or step.status != StepStatus.RUNNING:
        return None
    done, total = step.details.get("bytes_done", 0), step.details.get("bytes_total", 0)
    most = "" if step.details.get("bytes_whole") else "at most "
    text = (
        f"{display.size(done)} of {most}{display.size(total)}"
        if total
        else "Checking what the registry already has"
    )
    return {"percent": step.details.get("percent", 0), "text": text}


def _to_come(deployment: Deployment, steps: Sequence[Step]) -> Iterator[Row]:
    """The steps that a running deployment has not started. They are shown so that the page does not grow."""
    if deployment.status != DeploymentStatus.RUNNING:
        return
    begun = {(step.kind, step.platform) for step in steps}
    latest = max((list(TITLES).index(StepKind(step.kind)) for step in steps), default=-1)
    for kind in _path(deployment):
        platforms = deployment.build.platforms if kind in PER_PLATFORM else [""]
        for platform in platforms or [""]:
            if list(TITLES).index(kind) >= latest and (kind, platform) not in begun:
                yield {
                    "key": f"next-{kind}-{platform}",
                    "title": TITLES[kind],
                    "platform": platform,
                    "status": "waiting",
                }


def _path(deployment: Deployment) -> Iterable[StepKind]:
    build = deployment.build
    if not kinds.needs_image(build.runtime) or not settings.REGISTRY:
        return [kind for kind in TITLES if kind not in PUSHING]
    if build.image and not build.platforms:
        return [StepKind.START, StepKind.HEALTH, StepKind.DISCOVER]
    return TITLES


def _end(deployment: Deployment) -> Iterator[Row]:
    if not deployment.is_final:
        return
    words = {DeploymentStatus.SUCCEEDED: "Serving" if deployment.is_serving else "Served"}
    yield {
        "key": "end",
        "title": words.get(DeploymentStatus(deployment.status), "End"),
        "status": deployment.status,
        "began": deployment.started_at or deployment.created_at,
        "ended": deployment.finished_at,
        "took_word": "in total",
        "notes": [],
    }


# --- What happened within a step


def _notes(step: Step, events: Sequence[UsageMetric]) -> list[Row]:
    told = _TELL.get(StepKind(step.kind))
    if told is None:
        return []
    mine = (event for event in events if event.platform == step.platform and event.event_type in told)
    return [_note_of(told[event.event_type], event) for event in mine if event.timestamp >= step.started_at]


def _note_of(tell: Callable[[Details], Said], event: UsageMetric) -> Row:
    tone, text = tell(event.details)
    return note(tone, text, event.timestamp)


def note(tone: str, text: str, at: datetime | None = None) -> Row:
    return {"tone": tone, "text": text, "at": at}


def _retry(details: Details) -> Said:
    which = f"Attempt {details.get('attempt')} of {details.get('retry_limit')}"
    failed = f"{which} failed: {details.get('error', '')}"
    if details.get("reason") == "auth_refresh":
        return "amber", f"{failed}. It is pushed again with the renewed credential."
    after = f" in {_took(details['delay_ms'])}" if "delay_ms" in details else ""
    return "amber", f"{failed}. The next one follows{after}."


def _health(details: Details) -> Said:
    status = str(details.get("status", "unknown"))
    words = "Renewed: " if details.get("refreshed") else ""
    from_where = f" (from {details['source']})" if details.get("source") else ""
    return LOOKS.get(status, "grey"), f"{words}{status.replace('_', ' ')}{_ends(details)}{from_where}"


def _ends(details: Details) -> str:
    seconds = details.get("seconds")
    if not isinstance(seconds, int):
        return ""
    span = _took(abs(seconds) * 1000)
    return f", ends in {span}" if seconds > 0 else f", ended {span} ago"


def _took(milliseconds: float) -> str:
    return display.duration(timedelta(milliseconds=milliseconds))


_TELL: dict[StepKind, dict[str, Callable[[Details], Said]]] = {
    StepKind.CREDENTIALS: {
        "auth_health_reported": _health,
        "pull_secret_patched": lambda d: ("green", "The cluster's pull secret has the renewed credential."),
        "pull_secret_failed": lambda d: ("amber", f"The pull secret was not renewed: {d.get('error', '')}"),
    },
    StepKind.PUSH: {
        "tag_succeeded": lambda d: ("grey", f"Tagged {d.get('tag', '')}"),
        "push_started": lambda d: ("grey", f"Attempt 1 of {d.get('retry_limit')}"),
        "push_retry": _retry,
        "auth_refresh_started": lambda d: ("amber", "The credentials are renewed."),
        "auth_refresh_succeeded": lambda d: ("green", f"Renewed in {_took(d.get('duration_ms', 0))}."),
        "auth_refresh_failed": lambda d: ("red", f"Could not be renewed: {d.get('error', '')}"),
    },
    StepKind.PUBLISH: {
        "manifest_published": lambda d: ("green", f"One index of {', '.join(d.get('architectures', []))}"),
    },
}


def event_facts(details: Details, quiet: Collection[str] = QUIET) -> list[tuple[str, str]]:
    """Like `facts` for the details of an event, and how long it took."""
    took = details.get("duration_ms")
    known = facts(details, {*quiet, "duration_ms"})
    return [*known, ("took", _took(took))] if isinstance(took, int) else known


def facts(details: Details, quiet: Collection[str] = QUIET) -> list[tuple[str, str]]:
    """Details as words: plain values only, lists joined."""
    told = {key: _words(key, value) for key, value in details.items() if key not in quiet}
    return [(key.replace("_", " "), words) for key, words in told.items() if words]


def _words(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value if isinstance(part, str | int))
    if key.endswith("size"):
        return display.size(value)
    if key == "digest" and isinstance(value, str):
        return value[:19] + "…"
    return str(value) if isinstance(value, str | int | float) else ""
