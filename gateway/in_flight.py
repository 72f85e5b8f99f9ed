"""Writes to the database which replaced deployments still have running calls, so that they are kept."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable

from django.utils import timezone

from gateway.calls import Call
from servers.models import CallsInFlight, Deployment


class InFlight:
    """The running calls of this process. Only one thread besides the event loop may call `tell`."""

    def __init__(self) -> None:
        self._gateway = uuid.uuid4().hex
        self._calls: dict[int, Call] = {}
        self._told: frozenset[int] = frozenset()

    def begin(self, call: Call) -> None:
        self._calls[id(call)] = call

    def end(self, call: Call) -> None:
        del self._calls[id(call)]

    def tell(self) -> None:
        """Writes the number of running calls per replaced deployment; nothing for a current one."""
        held = Counter(call.deployment_id for call in list(self._calls.values()))
        replaced = _replaced(held) if held else frozenset()
        now = timezone.now()
        rows = [
            CallsInFlight(gateway=self._gateway, deployment_id=pk, calls=held[pk], at=now) for pk in replaced
        ]
        if rows:
            CallsInFlight.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["gateway", "deployment"],
                update_fields=["calls", "at"],
            )
        if over := self._told - replaced:
            CallsInFlight.objects.filter(gateway=self._gateway, deployment__in=over).delete()
        self._told = replaced


def _replaced(ids: Iterable[int]) -> frozenset[int]:
    running = Deployment.objects.with_run().filter(pk__in=list(ids))
    rows = running.values_list("pk", "server__current_deployment")
    return frozenset(pk for pk, current in rows if pk != current)
