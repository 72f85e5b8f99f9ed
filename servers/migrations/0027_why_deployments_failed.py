"""The code of why a deployment failed, beside the sentence; old rows get the one that their sentence tells."""

from __future__ import annotations

import re
from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

BATCH = 500
OUTPUT = re.compile(r"It wrote (last: “.*|nothing\.)", re.DOTALL)
WORD = re.compile(r"\S+")
ANY = ("build", "source", "push", "remote", "runtime", "tag", "auth_expired", "internal", "timeout")
# As the classes of failure read them until this version, in their order: kinds, words, the code.
READ: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (("internal",), re.compile(r"worker was lost", re.I), "worker_lost"),
    (
        ANY,
        re.compile(r"docker engine does not answer|may not use the docker engine", re.I),
        "engine_unavailable",
    ),
    (
        ("build", "runtime", "source", "internal"),
        re.compile(r"no space left|disk (is full|filled up)|disk quota exceeded", re.I),
        "full",
    ),
    (("remote",), re.compile(r"toomanyrequests|\b429\b", re.I), "rate_limited"),
    (("remote",), re.compile(r"no space left|insufficient storage|quota|\b507\b", re.I), "full"),
    (("remote",), re.compile(r"too large|\b413\b", re.I), "too_large"),
    (("remote",), re.compile(r"denied|forbidden|insufficient[_ ]scope|\b403\b", re.I), "denied"),
    (
        ("push",),
        re.compile(r"http response to https|wrong version number|record layer", re.I),
        "plain_http",
    ),
    (("push",), re.compile(r"x509|certificate", re.I), "untrusted"),
    (("push",), re.compile(r"took longer than|no progress", re.I), "stalled"),
    (("push",), re.compile(r""), "unreachable"),
    (
        ("remote",),
        re.compile(r"\b(408|425|499|50[0234]|52\d|530|59[89])\b|does not hold it", re.I),
        "unavailable",
    ),
    (
        ("build", "source"),
        re.compile(
            r"no versions of the packages fit|package index has no|asks for python|needs python"
            r"|has to be compiled|is not what the lock says",
            re.I,
        ),
        "unsatisfiable",
    ),
    (
        ("build",),
        re.compile(r"emulation is not set up|program of another architecture|exec format error", re.I),
        "wrong_platform",
    ),
    (
        ("runtime",),
        re.compile(r"quota is used up|no node takes|evicted|disk ?pressure|ephemeral.storage", re.I),
        "no_capacity",
    ),
    (
        ("runtime",),
        re.compile(
            r"the nodes (cannot )?pull|nodes do not trust|nodes expect https|let the image be pulled"
            r"|pulling image|image is not (there|at|on)|image does not exist|image could not be pulled"
            r"|broken off in the middle",
            re.I,
        ),
        "image_unavailable",
    ),
    (
        ("runtime",),
        re.compile(r"it misses the module|it asks for what the installed", re.I),
        "missing_module",
    ),
    (
        ("runtime",),
        re.compile(
            r"it asks for the (variable|setting|argument|option) |it serves http on port \d", re.I
        ),
        "misconfigured",
    ),
    (("runtime",), re.compile(r"out of memory and was killed", re.I), "out_of_memory"),
    (
        ("runtime",),
        re.compile(
            r"has exited|exits before|keeps ending|out of memory|exit(ed with)? code|crashed with"
            r"|command was not found|could not be executed|ended by itself",
            re.I,
        ),
        "crashed",
    ),
    (
        ("runtime",),
        re.compile(r"did not answer mcp|speaks no version|answered \S* with", re.I),
        "unhealthy",
    ),
)


def read(kind: str, error: str) -> str:
    """The code for a sentence of the version before; "" where it tells none."""
    bare = WORD.sub(lambda word: "" if "/" in word[0] else word[0], error)
    return next((code for kinds, words, code in READ if kind in kinds and words.search(bare)), "")


def give_codes(apps: Apps, _schema: BaseDatabaseSchemaEditor) -> None:
    deployments = apps.get_model("servers", "Deployment").objects
    failed = deployments.filter(status="failed").exclude(error_kind="").order_by("pk")
    last, rows = 0, True
    while rows:
        rows = list(failed.filter(pk__gt=last).only("pk", "error_kind", "error")[:BATCH])
        said = _said_of_pushes(apps, [row.pk for row in rows])
        for row in rows:
            row.error_reason = read(row.error_kind, said.get(row.pk) or OUTPUT.sub("", row.error))
        deployments.bulk_update(rows, ["error_reason"])
        last = rows[-1].pk if rows else last


def _said_of_pushes(apps: Apps, pks: list[int]) -> dict[int, Any]:
    """What the push that failed last said of itself; those that only stopped beside it say nothing."""
    events = apps.get_model("metrics", "UsageMetric").objects
    told = events.filter(deployment__in=pks, event_type="push_failed").order_by("pk")
    return {
        pk: text
        for pk, details in told.values_list("deployment", "details")
        if not (text := str(details.get("error", ""))).startswith("Stopped, since")
    }


class Migration(migrations.Migration):
    dependencies = [
        ("servers", "0026_deployments_have_runs"),
        ("metrics", "0003_call_totals_and_events_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="error_reason",
            field=models.CharField(blank=True, default="", max_length=24),
        ),
        migrations.RunPython(give_codes, migrations.RunPython.noop),
    ]
