"""Runbooks over REST: the same diagnosis and actions as on the page of a deployment."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from api.views.access import actor_of, deployment_accepted
from servers.models import Deployment
from servers.runbooks import diagnosis
from servers.runbooks.diagnosis import Offer
from servers.runbooks.remedies import REMEDIES
from servers.states import Trigger

ACTION = OpenApiParameter("remedy", location=OpenApiParameter.PATH, enum=list(REMEDIES))
NOTHING: dict[str, Any] = {"name": None, "title": "", "what": "", "means": [], "first": "", "actions": []}


def as_json(deployment: Deployment, request: Request) -> dict[str, Any]:
    found = diagnosis.diagnose(deployment)
    if found is None:
        return NOTHING
    return {
        "name": found.name,
        "title": found.title,
        "what": found.what,
        "means": list(found.means),
        "first": found.first,
        "actions": [_offer(deployment, offer, request) for offer in found.offers],
    }


def _offer(deployment: Deployment, offer: Offer, request: Request) -> dict[str, Any]:
    return {
        "name": offer.name,
        "title": offer.label,
        "preview": list(offer.preview),
        "refusal": offer.refusal,
        "method": "POST",
        "url": reverse("api:deployment-remedy", [deployment.pk, offer.name], request=request),
        "command": offer.command,
    }


def taken(deployment: Deployment, remedy: str, request: Request) -> Response:
    if remedy not in REMEDIES:
        raise Http404
    made = diagnosis.perform(deployment=deployment, name=remedy, by=actor_of(request), trigger=Trigger.API)
    return deployment_accepted(made or deployment, request)
