from __future__ import annotations

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from api.doors import Door
from api.small_serializers import Health
from servers.operations import health


class HealthView(Door):
    """Whether the platform can work: 503 when its database or its migrations do not let it."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(responses={200: Health, 503: Health}, auth=[])
    def get(self, request: Request) -> Response:
        checks = health.run()
        worst = health.worst(checks)
        body = {
            "status": worst,
            "version": settings.SPECTACULAR_SETTINGS["VERSION"],
            "checks": {check.name: {"status": check.status, "detail": check.detail} for check in checks},
        }
        return Response(body, 503 if worst == health.FAILED else 200, headers={"Cache-Control": "no-store"})
