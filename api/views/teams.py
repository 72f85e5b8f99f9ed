from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from access import roles, teams
from access.models import Team
from api.access_serializers import MemberSerializer, NewMember, TeamSerializer
from api.doors import Door
from api.pagination import PAGED, NewestFirst
from api.permissions import ByRole
from api.views.access import actor_of, user_of

MEMBER = r"members/(?P<username>[\w.@+-]+)"


class OfTeams(ByRole):
    """Administrators of the platform make and remove teams; those of a team keep its name and members."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        return view.action not in ("create", "destroy") or roles.is_administrator(request.user)

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return request.method in SAFE_METHODS or roles.administers(request.user, obj)


@extend_schema_view(partial_update=extend_schema(description="Renames the team."))
class TeamViewSet(Door, viewsets.ModelViewSet[Team]):
    """Your teams and who belongs to them; all teams for administrators."""

    serializer_class = TeamSerializer
    pagination_class = NewestFirst
    permission_classes = [OfTeams]
    queryset = Team.objects.none()
    asks = {"list": PAGED}
    lookup_value_regex = "[0-9]+"
    http_method_names = ["get", "post", "patch", "put", "delete", "head", "options"]

    def get_queryset(self) -> QuerySet[Team]:
        return roles.teams_seen(user_of(self.request)).prefetch_related("memberships__user")

    def perform_create(self, serializer: Any) -> None:
        serializer.instance = teams.create(name=serializer.validated_data["name"], by=actor_of(self.request))

    def perform_update(self, serializer: Any) -> None:
        name = serializer.validated_data.get("name", serializer.instance.name)
        teams.rename(team=serializer.instance, name=name, by=actor_of(self.request))

    def perform_destroy(self, instance: Team) -> None:
        teams.delete(team=instance, by=actor_of(self.request))

    @extend_schema(request=NewMember, responses=MemberSerializer)
    @action(detail=True, methods=["put"], url_path=MEMBER)
    def member(self, request: Request, pk: str, username: str) -> Response:
        """Adds somebody, or gives a member another role."""
        team, wanted = self.get_object(), NewMember(data=request.data)
        wanted.is_valid(raise_exception=True)
        user = User.objects.filter(username=username).first()
        if user is None:
            raise ValidationError({"username": "There is nobody of this name."})
        role = wanted.validated_data["role"]
        member = teams.set_member(team=team, user=user, role=role, by=actor_of(request))
        return Response(MemberSerializer(member).data)

    @extend_schema(responses={204: None})
    @member.mapping.delete
    def remove_member(self, request: Request, pk: str, username: str) -> Response:
        """What they may do with the team's servers ends at once."""
        team = self.get_object()
        user = get_object_or_404(User, username=username, teams=team)
        teams.remove_member(team=team, user=user, by=actor_of(request))
        return Response(status=204)
