"""What the Kubernetes API and its client raise, as `RuntimeFault`s that say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from hosting.errors import RuntimeFault
from registry.reasons import Reason

# HTTP status: what it means, what helps, whether trying again is in vain, why.
_KNOWN: dict[int, tuple[str, str, bool, Reason | None]] = {
    401: (
        "Kubernetes does not accept the platform's credentials.",
        "Renew the kubeconfig's user.",
        True,
        Reason.UNAUTHENTICATED,
    ),
    403: (
        "Kubernetes does not allow this.",
        "Grant the platform the rights of deploy/kubernetes/role.yaml.",
        True,
        Reason.DENIED,
    ),
    404: ("Kubernetes has no such thing.", "Check K8S_NAMESPACE.", True, Reason.NOT_FOUND),
    422: ("Kubernetes does not accept the server's objects.", "Change what it names.", True, None),
    429: (
        "The Kubernetes API server asks for patience.",
        "Try again in a while.",
        False,
        Reason.RATE_LIMITED,
    ),
}
# A rule of the namespace refuses it; a right that lacks is told as `forbidden: User "…" cannot …`.
_RULED_OUT = re.compile(r'is forbidden: (?!User ")|denied the request')


class Gone(RuntimeFault):
    """HTTP 410: what a watch asks to go on from is forgotten; list anew."""


class Absent(RuntimeFault):
    """HTTP 404."""


class Clash(RuntimeFault):
    """HTTP 409: another has made or changed the object meanwhile."""

    permanent = False


class Unreachable(RuntimeFault):
    """No answer."""

    permanent = False


_CLASSES: dict[int, type[RuntimeFault]] = {404: Absent, 409: Clash, 410: Gone}


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise from_status(int(error.status or 0), said(error.body)) from error
    except (HTTPError, OSError) as error:
        raise unreachable(str(error)) from error


def from_status(status: int, text: str) -> RuntimeFault:
    """`text` is the API server's own sentence."""
    if status == 403 and "not yet ready to handle request" in text:  # admission, just after its start
        status = 503
    details = {"status": status, "kubernetes": text}
    make = _CLASSES.get(status, RuntimeFault)
    if "exceeded quota" in text:
        hint = "Raise the namespace's quota, or lower the server's limits."
        message = f"The namespace's quota is used up: {text}."
        return make(message, hint=hint, reason=Reason.NO_CAPACITY, details=details)
    if known := _KNOWN.get(status):
        message, hint, permanent, reason = known
        if status == 403 and _RULED_OUT.search(text):
            hint = _hint_of_rule(text)
        message = f"{message} ({text})"
        return make(message, hint=hint, permanent=permanent, reason=reason, details=details)
    message = f"Kubernetes refused: {status} {text}".rstrip(". ") + "."
    return make(message, permanent=status not in (408, 409) and status < 500, details=details)


def _hint_of_rule(text: str) -> str:
    if "service account" in text:
        return "Create the service account, or correct K8S_SERVICE_ACCOUNT."
    return "Change the server's settings, or that rule of the namespace."


def unreachable(text: str) -> Unreachable:
    return Unreachable(
        "The Kubernetes API server does not answer.",
        hint="Check the cluster, and the server that KUBECONFIG names.",
        reason=Reason.UNREACHABLE,
        details={"kubernetes": brief(text)},
    )


def said(body: Any) -> str:
    """The message of a `Status` object, or the text itself."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        held = json.loads(text)
    except ValueError:
        return brief(text)
    return brief(str(held.get("message") or text)) if isinstance(held, dict) else brief(text)


def brief(text: str) -> str:
    return " ".join(text.split())[:500]
