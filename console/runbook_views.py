"""The confirmation page of a runbook's action: GET shows a preview, POST does it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404

from access.actor import at_console
from console.views import ConsoleView
from hosting.errors import UserError
from servers import display
from servers.models import Deployment
from servers.runbooks import diagnosis
from servers.runbooks.remedies import REMEDIES
from servers.states import Trigger


class RemedyView(ConsoleView):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if kwargs["action"] not in REMEDIES:
            raise Http404("There is no such action.")
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, pk: int, action: str) -> HttpResponse:
        deployment = self._deployment(pk)
        offer = diagnosis.offer_of(deployment, action)
        return self.page(
            "admin/servers/confirm.html",
            f"{offer.label}: {deployment}",
            action=offer,
            refusal=offer.refusal,
            sentences=offer.preview,
            back=display.deployment_url(pk),
        )

    def post(self, request: HttpRequest, pk: int, action: str) -> HttpResponse:
        deployment, by = self._deployment(pk), at_console(request)
        try:
            made = diagnosis.perform(
                deployment=deployment,
                name=action,
                by=by,
                trigger=Trigger.ADMIN,
            )
        except (UserError, ValidationError) as error:
            self.fail(error)
            return HttpResponseRedirect(display.deployment_url(pk))
        if made is None:
            self.note(f"{deployment}: {REMEDIES[action].does}.")
            return HttpResponseRedirect(display.deployment_url(pk))
        self.note(f"{made.server.name}: deployment #{made.number} is queued.")
        return HttpResponseRedirect(display.deployment_url(made.pk))

    def _deployment(self, pk: int) -> Deployment:
        return get_object_or_404(
            Deployment.objects.select_related("server__current_deployment__run", "build"), pk=pk
        )
