"""The buttons of servers and deployments. Each knows when it is possible, previews what it will do, and calls
one service."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from django import forms
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminPasswordWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextInputWidget,
)

from access.actor import Actor
from servers import services, states
from servers.models import Deployment, Secret, Server
from servers.models.server import ENVIRONMENT_NAME, DesiredState, SecretPurpose
from servers.runbooks import previews
from servers.states import DeploymentStatus, Mode, Trigger

Target = TypeVar("Target", Server, Deployment)

MODES = {
    Mode.LATEST: "Latest: fetch the source again and build its newest state",
    Mode.REBUILD: "Rebuild: the same revision as now, built again",
    Mode.NO_CACHE: "Without cache: the same revision, built again without any cached layer",
    Mode.SAME_DIGEST: "Same image: start again what was built, without building or pushing",
    Mode.RESUME: "Resume: continue where the last deployment failed, with what it built",
}


class ModeForm(forms.Form):
    mode = forms.ChoiceField(
        label="Mode", choices=[(mode.value, text) for mode, text in MODES.items()],
        initial=Mode.LATEST, widget=UnfoldAdminRadioSelectWidget,
    )  # fmt: skip


class SecretForm(forms.Form):
    name = forms.CharField(
        max_length=128,
        validators=[ENVIRONMENT_NAME],
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "placeholder": "API_KEY"}),
    )
    value = forms.CharField(
        max_length=32_768,
        strip=False,
        help_text="Stored encrypted. It can be replaced, but not read back.",
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "class": " ".join(INPUT_CLASSES)}
        ),
    )


class Action(Generic[Target]):
    """One button. Only people who operate the server see it."""

    name: str
    label: str
    icon: str
    danger = False
    form: type[forms.Form] | None = None

    def refusal(self, target: Target) -> str:
        """Why the action is not possible now; "" if it is. The service checks again when it is called."""
        return ""

    def preview(self, target: Target) -> list[str]:
        """What pressing the button will do, a sentence each."""
        raise NotImplementedError

    def act(self, target: Target, by: Actor, data: dict[str, Any]) -> str:
        """Does it, and returns the sentence that says so. Raises `UserError` and `ValidationError`."""
        raise NotImplementedError


def _queueing(server: Server) -> list[str]:
    """What a new deployment does to those that are queued or running, a sentence each."""
    said = []
    for open_one in server.deployments.filter(status__in=states.OPEN):
        if open_one.status == DeploymentStatus.QUEUED:
            said.append(f"#{open_one.number} is queued and will be superseded.")
        else:
            said.append(f"#{open_one.number} is in progress: the new deployment waits until it is over.")
    return said


def _giving_up(server: Server, unless: str = "") -> list[str]:
    """Sentences about deployments that wait for approval: a new build replaces them."""
    held = server.deployments.filter(status=DeploymentStatus.HELD)
    return [previews.given_up(number) + unless for number in held.values_list("number", flat=True)]


def _traffic(server: Server) -> str:
    if server.serving:
        return f"#{server.serving.number} keeps serving until the new deployment is healthy, or if it fails."
    return "Nothing serves now; calls are answered once the deployment is healthy."


class Redeploy(Action[Server]):
    name, label, icon = "redeploy", "Redeploy", "rocket_launch"
    form = ModeForm

    def refusal(self, target: Server) -> str:
        return "It is being deleted." if target.desired_state == DesiredState.DELETED else ""

    def preview(self, target: Server) -> list[str]:
        said = ["A new deployment is queued and starts at once.", _traffic(target), *_queueing(target)]
        return [*said, *_giving_up(target, unless=" With the same image it keeps waiting.")]

    def act(self, target: Server, by: Actor, data: dict[str, Any]) -> str:
        made = services.deploy(server=target, by=by, trigger=Trigger.ADMIN, mode=Mode(data["mode"]))
        return f"{target.name}: deployment #{made.number} is queued."


class Start(Action[Server]):
    name, label, icon = "start", "Start", "play_arrow"

    def refusal(self, target: Server) -> str:
        if target.desired_state == DesiredState.DELETED:
            return "It is being deleted."
        if target.deployments.filter(status__in=states.OPEN).exists():
            return "A deployment of it is under way."
        return "It is running already." if _is_up(target) else ""

    def preview(self, target: Server) -> list[str]:
        current = target.current_deployment
        if current is not None and current.build.can_start:
            return [
                f"What #{current.number} built is started again, without building it.",
                *_queueing(target),
            ]
        said = "Nothing was built yet: the server is deployed from its source."
        return [said, *_queueing(target), *_giving_up(target)]

    def act(self, target: Server, by: Actor, data: dict[str, Any]) -> str:
        made = services.start(server=target, by=by, trigger=Trigger.ADMIN)
        return f"{target.name} is starting as #{made.number}."


class Stop(Action[Server]):
    name, label, icon, danger = "stop", "Stop", "stop", True

    def refusal(self, target: Server) -> str:
        return "" if target.desired_state == DesiredState.RUNNING else "It is stopped already."

    def preview(self, target: Server) -> list[str]:
        said = [
            f"#{open_one.number} is cancelled."
            for open_one in target.deployments.filter(status__in=states.OPEN)
        ]
        if target.serving:
            said.append(
                f"#{target.serving.number} is stopped: clients get an error until it is started again."
            )
        return [*said, "What was built is kept, so that it can start again quickly."]

    def act(self, target: Server, by: Actor, data: dict[str, Any]) -> str:
        services.stop(server=target, by=by)
        return f"{target.name} is stopping."


class Delete(Action[Server]):
    name, label, icon, danger = "remove", "Delete", "delete", True

    def refusal(self, target: Server) -> str:
        return "It is being deleted." if target.desired_state == DesiredState.DELETED else ""

    def preview(self, target: Server) -> list[str]:
        return [
            "What runs is stopped; its images and directories are removed.",
            f"Its deployments ({target.deployments.count()}) go with their logs, and its secrets.",
            "This cannot be undone.",
        ]

    def act(self, target: Server, by: Actor, data: dict[str, Any]) -> str:
        services.delete(server=target, by=by)
        return f"{target.name} is being deleted."


class SetSecret(Action[Server]):
    name, label, icon = "secret", "Set secret", "lock"
    form = SecretForm

    def preview(self, target: Server) -> list[str]:
        return ["A secret of the same name is replaced.", "What runs sees it with its next deployment."]

    def act(self, target: Server, by: Actor, data: dict[str, Any]) -> str:
        services.set_secret(server=target, name=data["name"], value=data["value"], by=by)
        return f"{data['name']} is set. {target.name} sees it with its next deployment."


class RollBack(Action[Deployment]):
    name, label, icon = "roll-back", "Roll back to this", "history"

    def refusal(self, target: Deployment) -> str:
        if target.status != DeploymentStatus.SUCCEEDED:
            return "Only a successful deployment can be rolled back to."
        if not target.build.can_start:
            return "What it built is no longer there."
        serving = target.server.serving
        return "What it built is serving." if serving and serving.build_id == target.build_id else ""

    def preview(self, target: Deployment) -> list[str]:
        server = target.server
        what = f"A new deployment starts what #{target.number} built, without building or pushing."
        return [what, _traffic(server), *_queueing(server)]

    def act(self, target: Deployment, by: Actor, data: dict[str, Any]) -> str:
        made = services.roll_back(server=target.server, to=target, by=by)
        return f"{target.server.name} rolls back to #{target.number} as #{made.number}."


class Cancel(Action[Deployment]):
    name, label, icon, danger = "cancel", "Cancel", "cancel", True

    def refusal(self, target: Deployment) -> str:
        if target.is_final:
            return "It is over."
        return "Cancellation was requested already." if target.cancel_requested else ""

    def preview(self, target: Deployment) -> list[str]:
        if target.status == DeploymentStatus.QUEUED:
            return [f"#{target.number} leaves the queue; it has not begun.", *_after(target)]
        said = f"#{target.number} ends at its next safe point; what it has started is removed."
        return [said, *_after(target)]

    def act(self, target: Deployment, by: Actor, data: dict[str, Any]) -> str:
        services.cancel(deployment=target, by=by)
        words = "was cancelled" if target.is_final else "is being cancelled"
        return f"{target.server.name} #{target.number} {words}."


def _after(cancelled: Deployment) -> list[str]:
    """What happens to the server then, as `servers.settle_status` decides."""
    server = cancelled.server
    if server.serving:
        return [f"#{server.serving.number} goes on serving."]
    if server.deployments.open().exclude(pk=cancelled.pk).exists():
        return []
    return ["Nothing serves: the server is stopped, and no longer started again by itself."]


def _is_up(server: Server) -> bool:
    return bool(server.serving and server.desired_state == DesiredState.RUNNING)


def remove_secret(secret: Secret, by: Actor) -> str:
    """Takes a secret away, and returns the sentence that says so."""
    services.remove_secret(secret=secret, by=by)
    kind = "credential" if secret.purpose == SecretPurpose.SOURCE else "secret"
    return f"The {kind} {secret.name} is removed. What runs keeps it until the next deployment."


REDEPLOY, START, STOP, DELETE, SET_SECRET = Redeploy(), Start(), Stop(), Delete(), SetSecret()
ROLL_BACK, CANCEL = RollBack(), Cancel()
ON_SERVERS: tuple[Action[Server], ...] = (REDEPLOY, START, STOP, DELETE, SET_SECRET)
ON_DEPLOYMENTS: tuple[Action[Deployment], ...] = (ROLL_BACK, CANCEL)
