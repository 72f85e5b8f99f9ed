"""What the views share: who asks, and which rows that person sees. Other rows answer 404."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from access import roles
from access.actor import Actor
from access.models import Via
from api import serializers
from api.doors import Door
from servers import payloads
from servers.models import Deployment, Server


def user_of(request: Request) -> User:
    return cast("User", request.user)  # IsAuthenticated has let it in


def actor_of(request: Request) -> Actor:
    address = request.META.get("REMOTE_ADDR") or None
    return Actor(user_of(request), Via.API, request.auth, address)


def servers_of(request: Request) -> QuerySet[Server]:
    visible = Server.objects.all().visible_to(request.user)
    return payloads.with_newest_deployment(visible.select_related("owner", "team"))


def deployments_of(request: Request) -> QuerySet[Deployment]:
    every = Deployment.objects.select_related(
        "server__current_deployment__run", "requested_by", "based_on", "build"
    )
    user = user_of(request)
    if roles.is_administrator(user):
        return every
    return every.filter(server__in=Server.objects.visible_to(user).order_by().values("pk"))


def server_of(request: Request, pk: int) -> Server:
    server = servers_of(request).filter(pk=pk).first()
    if server is None:
        raise Http404
    return server


class ServerView(Door):
    """A door below `/api/servers/{id}/`."""

    def server(self) -> Server:
        """The server in the address. 404 if the person may not see it, 403 if the method needs an
        operator."""
        server = server_of(self.request, self.kwargs["pk"])
        self.check_object_permissions(self.request, server)
        return server


def deployment_accepted(deployment: Deployment, request: Request) -> Response:
    """202: the work is queued; `Location` tells where to follow it."""
    body = serializers.DeploymentSerializer(deployment, context={"request": request}).data
    return Response(body, 202, headers={"Location": serializers.deployment_url(deployment, request)})


def changed_server(request: Request, changed: Server, status: int = 200) -> Response:
    """The server as it is now, with the credentials that the change dropped."""
    fresh = server_of(request, changed.pk)
    fresh.dropped = changed.dropped
    body = serializers.ChangedServer(fresh, context={"request": request}).data
    return Response(body, status, headers={"Location": body["url"]} if status == 202 else None)


def server_accepted(server: Server, request: Request) -> Response:
    body = serializers.ServerSerializer(server_of(request, server.pk), context={"request": request}).data
    return Response(body, 202, headers={"Location": body["url"]})
