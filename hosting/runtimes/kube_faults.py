"""Turns errors of the Kubernetes API and of its client library into `RuntimeFault`s that say what to do."""

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

# By HTTP status: message, hint, whether another attempt would fail too, cause.
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
# A rule of the namespace refuses it. For a missing right the text is `forbidden: User "…" cannot …`.
_RULED_OUT = re.compile(r'is forbidden: (?!User ")|denied the request')


class Gone(RuntimeFault):
    """HTTP 410: the resourceVersion of a watch is too old; the objects have to be listed again."""


class Absent(RuntimeFault):
    """HTTP 404: there is no such object."""


class Clash(RuntimeFault):
    """HTTP 409: somebody else has created or changed the object in the meantime."""

    permanent = False


class Unreachable(RuntimeFault):
    """The API server does not answer."""

    permanent = False


_CLASSES: dict[int, type[RuntimeFault]] = {404: Absent, 409: Clash, 410: Gone}


@contextmanager
def translated() -> Iterator[None]:
    """Raises errors of the client library and of the network inside as a `RuntimeFault`."""
    try:
        yield
    except ApiException as error:
        raise from_status(int(error.status or 0), message_of(error.body)) from error
    except (HTTPError, OSError) as error:
        raise unreachable(str(error)) from error


def from_status(status: int, text: str) -> RuntimeFault:
    """The fault for an HTTP status. `text` is the message of the API server, as `message_of` returns it."""
    if status == 403 and "not yet ready to handle request" in text:  # the API server has just started
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


def message_of(body: Any) -> str:
    """The message of a `Status` object (meta/v1) in the body of an answer; other text as it is. Shortened."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        held = json.loads(text)
    except ValueError:
        return brief(text)
    return brief(str(held.get("message") or text)) if isinstance(held, dict) else brief(text)


def brief(text: str) -> str:
    """On one line, at most 500 characters."""
    return " ".join(text.split())[:500]
