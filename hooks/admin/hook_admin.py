"""The actions of a webhook: add, edit, new secret, remove. GET shows what will happen, POST does it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.views import View
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldBooleanSwitchWidget

from access.actor import at_console
from console.base import HistoryAdmin
from console.gateway_fields import PatternLines
from console.views import ConsoleView
from hooks import services
from hooks.admin import server_tab
from hooks.models import Kind, WebHook, validate_patterns
from servers.models import Server


class Globs(PatternLines):
    """A list of globs, one per line."""

    def validate(self, value: Any) -> None:
        validate_patterns(value)


class FilterForm(forms.Form):
    branches = Globs(
        label="Branches",
        help_text="One glob per line, such as main, release/* or tags/v*. Empty: the branch of the server.",
    )
    paths = Globs(
        label="Changed paths",
        help_text="One glob per line, such as src/** or !docs/**. Empty: any change deploys.",
    )
    enabled = forms.BooleanField(
        label="Enabled", required=False, initial=True, widget=UnfoldBooleanSwitchWidget,
        help_text="If disabled, deliveries are recorded and deploy nothing.",
    )  # fmt: skip


class NewHookForm(FilterForm):
    kind = forms.ChoiceField(
        label="Sender", choices=Kind.choices, initial=Kind.GITHUB,
        widget=UnfoldAdminRadioSelectWidget,
    )  # fmt: skip
    field_order = ["kind", "branches", "paths", "enabled"]


class OperatorView(ConsoleView):
    """404 for people who may not see the server, 403 for people who may not operate it."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        server = self.server_of(**kwargs)
        if server is None or not server.is_visible_to(request.user):
            raise Http404
        if not server.is_operable_by(request.user):
            raise PermissionDenied
        self.server = server
        return View.dispatch(self, request, *args, **kwargs)

    def server_of(self, **kwargs: Any) -> Server | None:
        raise NotImplementedError

    def confirm(self, title: str, action: dict[str, Any], **context: Any) -> HttpResponse:
        given = {"back": home(self.server), "action": action, **context}
        return self.page("admin/servers/confirm.html", title, **given)

    def secret_page(self, hook: WebHook, secret: str) -> HttpResponse:
        url = server_tab.url_of(self.request, hook)
        return self.page("admin/hooks/secret.html", str(hook), hook=hook, secret=secret, url=url)


class OfHook(OperatorView):
    def server_of(self, **kwargs: Any) -> Server | None:
        self.hook = WebHook.objects.select_related("server").filter(pk=kwargs["pk"]).first()
        return self.hook.server if self.hook else None

    hook: WebHook | None


class AddView(OperatorView):
    def server_of(self, **kwargs: Any) -> Server | None:
        return Server.objects.filter(pk=kwargs["server"]).first()

    def get(self, request: HttpRequest, server: int) -> HttpResponse:
        return self._ask(NewHookForm())

    def post(self, request: HttpRequest, server: int) -> HttpResponse:
        form, by = NewHookForm(request.POST), at_console(request)
        if not form.is_valid():
            return self._ask(form)
        hook, secret = services.create(server=self.server, by=by, fields=form.cleaned_data)
        return self.secret_page(hook, secret)

    def _ask(self, form: NewHookForm) -> HttpResponse:
        sentences = [
            "A URL and a secret are created for this server. The secret is shown once.",
            "A push that arrives there with a valid signature deploys its commit.",
        ]
        action = {"label": "Add webhook"}
        return self.confirm(f"Add a webhook: {self.server}", action, form=form, sentences=sentences)


class EditView(OfHook):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.hook
        kept = {name: getattr(self.hook, name) for name in ("branches", "paths", "enabled")}
        return self._ask(FilterForm(initial=kept))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.hook
        form = FilterForm(request.POST)
        if not form.is_valid():
            return self._ask(form)
        try:
            services.change(hook=self.hook, by=at_console(request), fields=form.cleaned_data)
        except ValidationError as error:
            self.fail(error)
        else:
            self.note(f"{self.hook} was changed.")
        return HttpResponseRedirect(home(self.server))

    def _ask(self, form: FilterForm) -> HttpResponse:
        sentences = ["These filters apply from the next delivery on. Queued deployments stay queued."]
        return self.confirm(str(self.hook), {"label": "Save"}, form=form, sentences=sentences)


class RotateView(OfHook):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.hook
        stays = "The present one is accepted for one more day, so that you can change it at the sender."
        sentences = ["A new secret is created and shown once.", self.hook.refusal() or stays]
        return self.confirm(f"New secret: {self.hook}", {"label": "Create new secret"}, sentences=sentences)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.hook
        secret = services.rotate(hook=self.hook, by=at_console(request))
        return self.secret_page(self.hook, secret)


class RemoveView(OfHook):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.hook
        count = self.hook.deliveries.count()
        sentences = [
            "Its URL answers 404 from now on.",
            f"Its deliveries ({count}) are deleted. What they deployed stays.",
        ]
        action = {"label": "Remove webhook", "danger": True}
        return self.confirm(f"Remove: {self.hook}", action, sentences=sentences)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        assert self.hook
        services.remove(hook=self.hook, by=at_console(request))
        self.note(f"The {self.hook} is removed.")
        return HttpResponseRedirect(home(self.server))


def home(server: Server) -> str:
    return reverse("admin:servers_server_webhooks", args=[server.pk])


@admin.register(WebHook)
class WebHookAdmin(HistoryAdmin):
    """Registers the URLs of the pages above. The webhooks themselves are shown on the tab of their server."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        views: dict[str, type[OfHook]] = {"edit": EditView, "rotate": RotateView, "remove": RemoveView}
        own = [
            path(f"<id:pk>/{name}/", wrap(view.as_view(model_admin=self)), name=f"hooks_webhook_{name}")
            for name, view in views.items()
        ]
        add = path("for/<id:server>/", wrap(AddView.as_view(model_admin=self)), name="hooks_webhook_for")
        return [add, *own, *super().get_urls()]
