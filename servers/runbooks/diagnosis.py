"""Finds out what failed in a deployment, what it means and which remedies there are; and carries one out."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from access import audit
from access.actor import Actor
from hosting.errors import Conflict, Invalid
from servers import approvals, services
from servers.models import Deployment
from servers.runbooks import reading
from servers.runbooks.facts import Facts
from servers.runbooks.remedies import REMEDIES, DeployRequest, Remedy
from servers.runbooks.table import runbook_of
from servers.states import Mode, Trigger


@dataclass(frozen=True)
class Offer:
    """A remedy for one deployment, as things are now. `refusal` says why it cannot help now; "" if it can."""

    name: str
    label: str
    danger: bool
    refusal: str
    preview: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Diagnosis:
    """What failed (`what`), what it means (sentences), and the remedies, the best one first."""

    name: str
    title: str
    what: str
    means: tuple[str, ...]
    first: str
    offers: tuple[Offer, ...]

    @property
    def best(self) -> Offer | None:
        """The first remedy that can help now, or None."""
        return next((offer for offer in self.offers if not offer.refusal), None)

    @property
    def others(self) -> list[Offer]:
        """The other remedies that can help now."""
        return [offer for offer in self.offers if not offer.refusal and offer is not self.best]

    @property
    def refused(self) -> list[Offer]:
        """The remedies that cannot help now."""
        return [offer for offer in self.offers if offer.refusal]


def diagnose(deployment: Deployment) -> Diagnosis | None:
    """Returns the diagnosis; None if nothing is wrong."""
    if not reading.has_runbook(deployment):
        return None
    return _diagnosis(reading.read(deployment))


def _diagnosis(facts: Facts) -> Diagnosis:
    book = runbook_of(facts)
    return Diagnosis(
        name=book.name,
        title=book.title,
        what=_what(facts),
        means=(book.means, *book.told(facts)),
        first=book.first,
        offers=tuple(_offer(REMEDIES[name], facts) for name in book.remedies),
    )


def offer_of(deployment: Deployment, name: str) -> Offer:
    """Returns a remedy, even if the deployment's class does not offer it.

    Raises `Invalid` for an unknown name.
    """
    return _offer(_remedy(name), reading.read(deployment))


def _remedy(name: str) -> Remedy:
    if name not in REMEDIES:
        raise Invalid(f"There is no action {name}: {', '.join(REMEDIES)}.", field="action")
    return REMEDIES[name]


def _offer(remedy: Remedy, facts: Facts) -> Offer:
    refusal = remedy.refusal(facts)
    return Offer(
        name=remedy.name,
        label=remedy.label(facts),
        danger=remedy.danger,
        refusal=refusal,
        preview=() if refusal else tuple(remedy.preview(facts)),
        command=f"manage.py runbook {facts.slug}#{facts.number} --do {remedy.name} --wait",
    )


def _what(facts: Facts) -> str:
    step = facts.failed_step
    if step is None:
        return f"#{facts.number}"
    return f"{step.title} of #{facts.number}"


@transaction.atomic
def perform(*, deployment: Deployment, name: str, by: Actor, trigger: Trigger) -> Deployment | None:
    """Carries out a remedy. Returns the deployment that it queued, or None if it queued none.

    Whether it can help is checked again now, because the page may be old. Raises `Invalid` for an unknown
    name, `Conflict` with the remedy's refusal, and what the services raise.
    """
    facts, remedy = reading.read(deployment), _remedy(name)
    if refusal := remedy.refusal(facts):
        raise Conflict(refusal)
    made = _act(deployment, remedy, facts, by, trigger)
    audit.record(
        action=f"runbook.{name}",
        target=deployment.server,
        by=by,
        before={"deployment": deployment.number, "class": runbook_of(facts).name},
        after={"deployment": made.number} if made else None,
    )
    return made


def _act(
    deployment: Deployment, remedy: Remedy, facts: Facts, by: Actor, trigger: Trigger
) -> Deployment | None:
    if remedy.request:
        return _deploy(deployment, remedy.request(facts), by, trigger)
    if remedy.name == "approve":
        return approvals.approve(deployment=deployment, by=by, trigger=trigger)
    if remedy.name == "decline":
        approvals.decline(deployment=deployment, by=by)
    else:
        services.stop(server=deployment.server, by=by)
    return None


def _deploy(deployment: Deployment, request: DeployRequest, by: Actor, trigger: Trigger) -> Deployment:
    server = deployment.server
    base = server.deployments.filter(number=request.base).first() if request.base else None
    if base and request.mode == Mode.SAME_DIGEST:
        return services.roll_back(server=server, to=base, by=by)
    return services.deploy(
        server=server, by=by, trigger=trigger, mode=request.mode, based_on=base, options=request.options
    )
