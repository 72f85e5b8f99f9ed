"""What the steps of one deployment work on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hosting.deadline import Deadline
from hosting.runtimes.base import Runtime
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise
from servers import runtime_choice
from servers.deploying import wiring
from servers.models import Deployment, Server
from servers.states import Mode
from servers.timeline import Timeline


@dataclass
class Job:
    deployment: Deployment
    server: Server
    timeline: Timeline
    deadline: Deadline

    @property
    def runtime_name(self) -> str:
        """A deployment that starts what another built runs where that one did."""
        base = self.deployment.based_on
        if self.starts_what_is_built and base:
            return base.runtime
        return runtime_choice.runtime_name_for(self.server)

    @property
    def runtime(self) -> Runtime:
        return wiring.runtime(self.deployment.runtime)

    @property
    def base_number(self) -> int:
        return self.deployment.based_on.number if self.deployment.based_on else 0

    @property
    def starts_what_is_built(self) -> bool:
        """Nothing is fetched, built or pushed: `based_on` came as far as something that can start."""
        base = self.deployment.based_on
        resumed = self.deployment.mode == Mode.RESUME and not self.deployment.platform_anew
        started = resumed and base is not None and base.can_start_again
        return self.deployment.mode == Mode.SAME_DIGEST or started

    @property
    def work(self) -> Path:
        """Scratch space, gone when the deployment is over."""
        return wiring.scratch_directory() / f"{self.deployment.pk}-{self.deployment.claims}"

    @property
    def directory(self) -> Path:
        return wiring.runs_directory() / str(self.server.pk) / str(self.deployment.number)

    def recognised(self, fetched: BuildContext, *, images: bool) -> Plan:
        """The plan of what was fetched, kept in the row. Raises `SourceError`."""
        choices = Choices.of(self.server.build, tuple(self.server.command))
        plan = recognise(fetched, choices, images=images)
        self.keep(plan=plan.told(choices))
        return plan

    def keep(self, **facts: object) -> None:
        """Writes what a step found out to the deployment's row."""
        for name, value in facts.items():
            setattr(self.deployment, name, value)
        self.deployment.save(update_fields=list(facts))
