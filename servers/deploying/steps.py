"""The steps of a deployment from its source to what can be started. Each is safe to run again."""

from __future__ import annotations

import shutil

from django.conf import settings

from hosting.builder import context, environment
from hosting.errors import RuntimeFault, SourceError
from hosting.sources.base import ExistingImage, Fetched
from servers.deploying import image_steps, wiring
from servers.deploying.job import Job
from servers.states import Mode, StepKind

SAME_REVISION = (Mode.REBUILD, Mode.NO_CACHE, Mode.RESUME)


def take_over(job: Job) -> None:
    """Nothing is built: the deployment starts what an earlier one built."""
    if not job.build.can_start:
        raise SourceError("What the earlier deployment built is gone.", hint="Redeploy with mode latest.")


def fetch(job: Job) -> Fetched:
    base = job.deployment.based_on
    same = base if job.deployment.mode in SAME_REVISION else None
    pinned = same.build.revision if same else job.deployment.wanted_revision
    with job.timeline.step(StepKind.CLONE) as step:
        into = job.work / "source"
        with context.filling(into):
            fetched = wiring.source_of(job.server, pinned).fetch(into, deadline=job.deadline, log=step.line)
        summary = (job.server.source.get("filename") or getattr(fetched, "summary", ""))[:300]
        job.build.keep(revision=fetched.revision, summary=summary)
        step.details.update(revision=fetched.revision, summary=summary)
    return fetched


def make_image(job: Job, fetched: Fetched) -> None:
    image_steps.make(job, fetched)


def make_environment(job: Job, fetched: Fetched) -> None:
    """Installs the source into a directory of its own, for the process runtime."""
    if isinstance(fetched, ExistingImage):
        raise RuntimeFault(
            "An image cannot run as a local process.",
            hint="Set CONTAINER_RUNTIME=docker, or the runtime of this server to docker.",
        )
    with job.timeline.step(StepKind.BUILD) as step:
        plan = job.recognised(fetched, images=False)
        shutil.rmtree(job.directory, ignore_errors=True)
        job.build.keep(directory=str(job.directory))
        deadline = job.deadline.within(settings.BUILD_TIMEOUT, "build")
        command = environment.install(
            plan, fetched, job.directory, settings=wiring.build_settings(), deadline=deadline, log=step.line
        )
        job.build.keep(command=list(command))


def discard(job: Job) -> None:
    """Removes the environment that a failed deployment made; its images stay, for `resume`."""
    if job.deployment.makes_build and job.build.directory:
        shutil.rmtree(job.directory, ignore_errors=True)
        job.build.keep(directory="")
