"""Confirmation pages: GET shows what will happen and changes nothing, POST does it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views import View

from access.actor import at_console
from console import actions, connect
from console.actions import Action, ModeForm
from hosting.errors import UserError
from servers import display, services
from servers.ids import id_in
from servers.models import Deployment, Secret, Server
from servers.states import Mode, Trigger


class ConsoleView(View):
    """Base of the admin's additional pages. It checks permissions and renders with the site's frame.

    If the address names a row (`pk`): 404 for people who may not see it, and 403 for people who may not
    operate it, unless `permission` is "view". A page without `pk` must check the rows that it uses.
    """

    model_admin: Any = None
    permission = "change"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if "pk" in kwargs:
            row = get_object_or_404(self.model_admin.get_queryset(request), pk=kwargs["pk"])
            if self.permission != "view" and not self.model_admin.may_operate(request, row):
                raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def page(self, template: str, title: str, **context: Any) -> HttpResponse:
        frame = self.model_admin.admin_site.each_context(self.request)
        opts = self.model_admin.opts
        response = render(self.request, template, {**frame, "title": title, "opts": opts, **context})
        response["Cache-Control"] = "no-store"
        return response

    def note(self, sentence: str) -> None:
        messages.success(self.request, sentence)

    def fail(self, error: UserError | ValidationError) -> None:
        messages.error(self.request, str(error) if isinstance(error, UserError) else " ".join(error.messages))


class ActionView(ConsoleView):
    action: Action[Any] = actions.REDEPLOY

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._confirm(self._target(pk), self._form(request.GET.dict()))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        target, form = self._target(pk), self._bound(request)
        if form is not None and not form.is_valid():
            return self._confirm(target, form)
        try:
            self.note(self.action.act(target, at_console(request), form.cleaned_data if form else {}))
        except (UserError, ValidationError) as error:
            self.fail(error)
        return HttpResponseRedirect(self._home(target))

    def _target(self, pk: int) -> Any:
        if self.model_admin.model is Deployment:
            rows = Deployment.objects.select_related("server__current_deployment__run", "build", "run")
            return get_object_or_404(rows, pk=pk)
        return get_object_or_404(Server.objects.select_related("current_deployment__run"), pk=pk)

    def _form(self, initial: dict[str, Any]) -> forms.Form | None:
        return self.action.form(initial=initial) if self.action.form else None

    def _bound(self, request: HttpRequest) -> forms.Form | None:
        return self.action.form(request.POST) if self.action.form else None

    def _confirm(self, target: Any, form: forms.Form | None) -> HttpResponse:
        return self.page(
            "admin/servers/confirm.html",
            f"{self.action.label}: {target}",
            action=self.action,
            target=target,
            form=form,
            refusal=self.action.refusal(target),
            sentences=self.action.preview(target),
            back=self._home(target),
        )

    def _home(self, target: Any) -> str:
        home = display.deployment_url if isinstance(target, Deployment) else display.server_url
        return home(target.pk)


class RemoveSecretView(ConsoleView):
    def get(self, request: HttpRequest, pk: int, secret: int) -> HttpResponse:
        row = self._secret(pk, secret)
        return self.page(
            "admin/servers/confirm.html",
            f"Remove {row.name}: {row.server}",
            action={"label": "Remove secret", "icon": "delete", "danger": True},
            sentences=["Its value is gone for good.", "What runs keeps it until the next deployment."],
            back=display.server_url(pk),
        )

    def post(self, request: HttpRequest, pk: int, secret: int) -> HttpResponse:
        row = self._secret(pk, secret)
        self.note(actions.remove_secret(row, at_console(request)))
        return HttpResponseRedirect(display.server_url(pk))

    def _secret(self, pk: int, secret: int) -> Secret:
        return get_object_or_404(Secret.objects.select_related("server"), pk=secret, server_id=pk)


class TokenView(ConsoleView):
    """Makes a token for one server, and shows its value this once."""

    permission = "view"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        server = get_object_or_404(Server, pk=pk)
        by = at_console(request)
        user, given = by.person, request.POST.get("name", "").strip()[:100]
        name = given or f"{user.get_username()} for {server.slug}"
        try:
            token, value = services.issue_token(owner=user, by=by, name=name, server=server)
        except UserError as error:
            self.fail(error)
            return HttpResponseRedirect(display.server_url(pk))
        snippets = connect.snippets(server, connect.public_url(request, server), value)
        context = {"server": server, "token": token, "value": value, "snippets": snippets}
        return self.page("admin/servers/token.html", f"Token for {server}", **context)


class BulkRedeployView(ConsoleView):
    """Redeploys the servers that were ticked in the list."""

    def get(self, request: HttpRequest) -> HttpResponse:
        servers = self._servers(request.GET.get("ids", ""))
        return self._confirm(servers, ModeForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        servers, form = self._servers(request.POST.get("ids", "")), ModeForm(request.POST)
        if not form.is_valid():
            return self._confirm(servers, form)
        for server in servers:
            self._redeploy(server, Mode(form.cleaned_data["mode"]))
        return HttpResponseRedirect(reverse("admin:servers_server_changelist"))

    def _redeploy(self, server: Server, mode: Mode) -> None:
        by = at_console(self.request)
        try:
            made = services.deploy(server=server, by=by, trigger=Trigger.ADMIN, mode=mode)
        except UserError as error:
            self.fail(error)
        else:
            self.note(f"{server.name}: deployment #{made.number} is queued.")

    def _servers(self, ids: str) -> list[Server]:
        chosen = [found for part in ids.split(",") if (found := id_in(part)) is not None]
        operable = Server.objects.operable_by(self.request.user)
        servers = list(operable.filter(pk__in=chosen).select_related("current_deployment__run"))
        if not servers:
            raise Http404("None of these servers is there, or none is yours to operate.")
        return servers

    def _confirm(self, servers: list[Server], form: ModeForm) -> HttpResponse:
        names = ", ".join(server.name for server in servers)
        return self.page(
            "admin/servers/confirm.html",
            f"Redeploy {len(servers)} server{'' if len(servers) == 1 else 's'}",
            action=actions.REDEPLOY,
            form=form,
            ids=",".join(str(server.pk) for server in servers),
            sentences=[
                f"A new deployment is queued for each of: {names}.",
                "What serves goes on until the new deployment is healthy, or if it fails.",
            ],
            back=reverse("admin:servers_server_changelist"),
        )
