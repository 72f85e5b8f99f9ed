"""The pages of tokens: the list, a new one, whose value is shown once, and its revocation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access import roles
from access.actor import at_console
from console import connect
from console.base import RoleAdmin
from console.gateway_fields import CallsPerMinute, PatternLines
from console.views import ConsoleView
from hosting.errors import UserError
from servers import display, services
from servers.models import Server, Token
from servers.models.token import REST, Scope


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    calls_per_minute = CallsPerMinute(setting="RATE_LIMIT_PER_TOKEN")
    tools_allowed = PatternLines(
        label="Tools allowed", help_text="One name or pattern per line. Empty: all that the server allows."
    )
    tools_denied = PatternLines(label="Tools denied", help_text="Neither listed nor called with this token.")

    class Meta:
        model = Token
        fields = [
            "name", "owner", "scope", "server", "expires_at", "calls_per_minute", "tools_allowed",
            "tools_denied",
        ]  # fmt: skip
        help_texts = {
            "server": "Empty: every server that the owner can see.",
            "expires_at": "In UTC. Empty: valid until it is revoked.",
            "scope": "The gateway is /mcp/, the REST API /api/.",
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("scope") in REST and data.get("server"):
            self.add_error("server", "A token for the REST API cannot be limited to one server.")
        if data.get("expires_at") and data["expires_at"] <= timezone.now():
            self.add_error("expires_at", "This time has passed: choose a later one, in UTC.")
        return data


class RevokeView(ConsoleView):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        token = get_object_or_404(Token, pk=pk)
        made = token.made.filter(revoked_at__isnull=True).count()
        with_it = [f"The tokens that were created with it ({made}) are revoked too."] if made else []
        return self.page(
            "admin/servers/confirm.html",
            f"Revoke {token}",
            action={"label": "Revoke", "icon": "block", "danger": True},
            refusal="It is revoked already." if token.revoked_at else "",
            sentences=[
                "Whoever uses it is refused from now on.",
                *with_it,
                "This cannot be undone; create a new token instead.",
            ],
            back=reverse("admin:servers_token_changelist"),
        )

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        token = get_object_or_404(Token, pk=pk)
        services.revoke_token(token=token, by=at_console(request))
        self.note(f"{token} is revoked.")
        return HttpResponseRedirect(reverse("admin:servers_token_changelist"))


@admin.register(Token)
class TokenAdmin(RoleAdmin):
    form = TokenForm
    list_display = ["label", "owner", "scope", "opens", "state", "used", "created", "buttons"]
    list_display_links = None
    list_filter = [
        "scope",
        ("revoked_at", admin.EmptyFieldListFilter),
        ("owner", admin.RelatedOnlyFieldListFilter),
    ]
    list_select_related = ["owner", "server"]
    search_fields = ["name", "prefix", "owner__username", "server__name"]
    search_help_text = "Name, prefix, owner or server"
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def may_operate(self, request: HttpRequest, obj: Token) -> bool:
        return True  # of the tokens that one sees: one's own, and an administrator's all

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Only an administrator makes tokens for others."""
        return [] if roles.is_administrator(request.user) else ["owner"]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "server":
            kwargs["queryset"] = Server.objects.visible_to(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        view = RevokeView.as_view(model_admin=self)
        own = path("<id:pk>/revoke/", self.admin_site.admin_view(view), name="servers_token_revoke")
        return [own, *super().get_urls()]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"owner": request.user.pk, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Token, form: TokenForm, change: bool) -> None:
        data = {"owner": request.user, **form.cleaned_data}
        try:
            wanted = {key: data[key] for key in TokenForm.Meta.fields}
            made, value = services.issue_token(by=at_console(request), **wanted)
        except (UserError, ValidationError) as error:
            messages.error(request, str(error))
            return
        obj.__dict__.update(made.__dict__)
        obj.shown_once = value  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        if obj.pk is None:
            return HttpResponseRedirect(reverse("admin:servers_token_changelist"))
        page = {**self.admin_site.each_context(request), "title": f"Token {obj.name}", "opts": self.opts}
        server = obj.server if obj.scope == Scope.MCP else None
        snippets = (
            connect.snippets(server, connect.public_url(request, server), obj.shown_once) if server else []
        )
        shown = {"token": obj, "value": obj.shown_once, "server": server, "snippets": snippets}
        response = render(request, "admin/servers/token.html", {**page, **shown})
        response["Cache-Control"] = "no-store"
        return response

    def get_queryset(self, request: HttpRequest) -> QuerySet[Token]:
        return Token.objects.all().visible_to(request.user).defer("digest")

    @admin.display(description="Token", ordering="name")
    def label(self, token: Token) -> SafeString:
        return format_html(
            '<span class="mh-name">{}</span><span class="mh-sub"><code>{}…</code></span>',
            token.name,
            token.prefix,
        )

    @admin.display(description="Access")
    def opens(self, token: Token) -> SafeString | str:
        if token.scope in REST:
            return "REST API" if token.scope == Scope.API else "REST API, read-only"
        if token.server is None:
            return "All of the owner's servers"
        return format_html(
            '<a class="mh-link" href="{}">{}</a>', display.server_url(token.server.pk), token.server
        )

    @admin.display(description="Status")
    def state(self, token: Token) -> SafeString:
        if token.revoked_at:
            return _pill("grey", "Revoked")
        if token.expires_at and token.expires_at <= timezone.now():
            return _pill("grey", "Expired")
        return _pill("green", "Valid")

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, token: Token) -> SafeString | str:
        return display.moment(token.last_used_at) if token.last_used_at else "never"

    @admin.display(description="Created", ordering="created_at")
    def created(self, token: Token) -> SafeString | str:
        return display.moment(token.created_at)

    @admin.display(description="")
    def buttons(self, token: Token) -> SafeString | str:
        if token.revoked_at:
            return ""
        url = reverse("admin:servers_token_revoke", args=[token.pk])
        return format_html('<a class="mh-button mh-small" href="{}">Revoke…</a>', url)


def _pill(tone: str, text: str) -> SafeString:
    return format_html('<span class="mh-pill" data-tone="{}">{}</span>', tone, text)
