from __future__ import annotations

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from access import roles
from access.models import Team
from api.access_serializers import GivenLogin, RegistryLoginSerializer
from api.doors import Door
from api.fields import checked
from api.views.access import actor_of, user_of
from registry.pull_rights import login_host
from servers import registry_logins
from servers.models.registry_login import check_host


class TeamView(Door):
    """A door below `/api/teams/{id}/`, for those who administer the team."""

    def team(self) -> Team:
        """The team in the address. 404 if the person may not see it, 403 if they do not administer it."""
        team = roles.teams_seen(user_of(self.request)).filter(pk=self.kwargs["pk"]).first()
        if team is None:
            raise Http404
        if not roles.administers(self.request.user, team):
            raise PermissionDenied("Logins of a team are for its administrators.")
        return team


class RegistryLogins(TeamView):
    """Where the team may pull images with a login of its own. Passwords are never shown."""

    @extend_schema(responses=RegistryLoginSerializer(many=True), operation_id="teams_registry_logins_list")
    def get(self, request: Request, pk: int) -> Response:
        rows = self.team().registry_logins.select_related("updated_by")
        return Response(RegistryLoginSerializer(rows, many=True).data)


class OneRegistryLogin(TeamView):
    @extend_schema(request=GivenLogin, responses=RegistryLoginSerializer)
    def put(self, request: Request, pk: int, host: str) -> Response:
        """Sets or replaces the login for `host[:port]`. It goes to no other registry."""
        team, wanted = self.team(), GivenLogin(data=request.data)
        wanted.is_valid(raise_exception=True)
        checked(lambda: check_host(host))
        given = wanted.validated_data
        login = registry_logins.give(team=team, host=host, by=actor_of(request), **given)
        return Response(RegistryLoginSerializer(login).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int, host: str) -> Response:
        login = get_object_or_404(self.team().registry_logins, host=login_host(host))
        registry_logins.take_away(login=login, by=actor_of(request))
        return Response(status=204)
