"""What the steps of one deployment work on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hosting.deadline import Deadline
from hosting.runtimes.base import Runtime
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise
from servers.deploying import wiring
from servers.models import Build, Deployment, Server
from servers.timeline import Timeline


@dataclass
class Job:
    deployment: Deployment
    server: Server
    timeline: Timeline
    deadline: Deadline

    @property
    def build(self) -> Build:
        return self.deployment.build

    @property
    def runtime(self) -> Runtime:
        return wiring.runtime(self.build.runtime)

    @property
    def base_number(self) -> int:
        return self.deployment.based_on.number if self.deployment.based_on else 0

    @property
    def work(self) -> Path:
        """Scratch space, gone when the deployment is over."""
        return wiring.scratch_directory() / f"{self.deployment.pk}-{self.deployment.claims}"

    @property
    def directory(self) -> Path:
        return wiring.runs_directory() / str(self.server.pk) / str(self.build.number)

    def recognised(self, fetched: BuildContext, *, images: bool) -> Plan:
        """The plan of what was fetched, kept in the row. Raises `SourceError`."""
        choices = Choices.of(self.server.build, tuple(self.server.command))
        plan = recognise(fetched, choices, images=images)
        self.build.keep(plan=plan.told(choices))
        return plan
