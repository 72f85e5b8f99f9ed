"""The page that puts two deployments of a server side by side."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from console.views import ConsoleView
from hosting.errors import Invalid
from servers import comparison
from servers.models import Deployment

CHOICES = 100


class CompareView(ConsoleView):
    permission = "view"

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        deployment = get_object_or_404(
            Deployment.objects.select_related("server", "requested_by", "build"), pk=pk
        )
        problem = ""
        try:
            other = comparison.other_of(deployment, request.GET.get("with", ""))
        except Invalid as error:
            other, problem = comparison.other_of(deployment), str(error)
        numbers = deployment.server.deployments.exclude(pk=pk).values_list("number", flat=True)
        return self.page(
            "admin/servers/deployment/compare.html",
            f"Compare {deployment}",
            deployment=deployment,
            server=deployment.server,
            problem=problem,
            other=other,
            numbers=list(numbers.order_by("-number")[:CHOICES]),
            found=comparison.compare(deployment, other) if other else None,
        )
