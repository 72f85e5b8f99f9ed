"""The pages of servers: the list and the form. `console.server_tabs` has those of one server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from access import roles
from access.actor import Actor, at_console
from console import actions, build_fields, paste_view, placement_fields, server_list, server_tabs
from console.base import RoleAdmin
from console.server_form import EDIT_FIELDSETS, LIMITS, RUNNING, ServerForm, add_fieldsets
from console.server_tools import TicketView
from console.views import ActionView, BulkRedeployView, RemoveSecretView, TokenView
from hosting.errors import UserError
from servers import display, intake, services, uploads, validation
from servers.front.larger import takes_files
from servers.models import Server
from servers.states import Trigger
from servers.uploads import Archive


@admin.register(Server)
class ServerAdmin(RoleAdmin):
    server_path = ""
    form = ServerForm
    change_form_outer_before_template = "admin/servers/paste.html"
    change_form_before_template = "admin/servers/pasted.html"
    list_display = server_list.COLUMNS
    list_filter = server_list.FILTERS
    list_filter_sheet = True
    list_per_page = 50
    search_fields = ["name", "slug", "owner__username", "source"]
    search_help_text = "Name, slug, owner or source"
    actions = ["redeploy_selected"]

    # --- Permissions. Deleting is `actions.DELETE`: what runs is stopped before the row is deleted.

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return roles.may_add(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return Server.objects.operable_by(request.user).exists()
        return self.may_operate(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Server]:
        return server_list.with_newest(super().get_queryset(request))

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        own = [
            path(
                "redeploy/",
                site.admin_view(BulkRedeployView.as_view(model_admin=self)),
                name="servers_redeploy",
            ),
            path(
                "<id:pk>/token/",
                site.admin_view(TokenView.as_view(model_admin=self)),
                name="servers_server_token",
            ),
            path(
                "<id:pk>/ticket/",
                site.admin_view(TicketView.as_view(model_admin=self)),
                name="servers_server_ticket",
            ),
            path(
                "<id:pk>/secrets/<id:secret>/remove/",
                site.admin_view(RemoveSecretView.as_view(model_admin=self)),
                name="servers_server_secret_remove",
            ),
            path("<id:pk>/edit/", site.admin_view(self.edit_view), name="servers_server_edit"),
        ]
        own += [
            path(
                f"<id:pk>/{action.name}/",
                site.admin_view(ActionView.as_view(action=action, model_admin=self)),
                name=f"servers_server_{action.name.replace('-', '_')}",
            )
            for action in actions.ON_SERVERS
        ]
        return [*own, *server_tabs.urls(self), *super().get_urls()]

    # --- The list

    @admin.display(description="Server", ordering="name")
    def name_and_slug(self, server: Server) -> SafeString:
        return server_list.name_and_slug(server)

    @admin.display(description="Status", ordering="status")
    def state(self, server: Server) -> SafeString:
        return server_list.state(server)

    @admin.display(description="Serving")
    def serving(self, server: Server) -> SafeString:
        return server_list.serving(server)

    @admin.display(description="Latest deployment")
    def newest(self, server: Server) -> SafeString:
        return server_list.newest(server)

    @admin.display(description="Source", ordering="source_kind")
    def source_line(self, server: Server) -> SafeString:
        return server_list.source_line(server)

    @admin.display(description="Updated", ordering="updated_at")
    def changed(self, server: Server) -> SafeString:
        return format_html('<span class="mh-nowrap">{}</span>', display.moment(server.updated_at))

    @admin.action(description="Redeploy", permissions=["change"])
    def redeploy_selected(self, request: HttpRequest, queryset: QuerySet[Server]) -> HttpResponse:
        ids = ",".join(str(pk) for pk in queryset.values_list("pk", flat=True))
        return HttpResponseRedirect(f"{reverse('admin:servers_redeploy')}?ids={ids}")

    # --- The page and the form

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The server's page; its form is a page of its own (`edit_view`)."""
        return server_tabs.show(self, request, object_id)

    @takes_files(uploads.largest)
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        if request.method == "POST" and "paste" in request.POST:
            request, told = paste_view.read(self, request)
            extra_context = {**(extra_context or {}), **told}
        return super().add_view(request, form_url, extra_context)

    @takes_files(uploads.largest)
    def edit_view(self, request: HttpRequest, pk: int) -> Any:
        server = get_object_or_404(self.get_queryset(request), pk=pk)
        if not self.may_operate(request, server):
            raise PermissionDenied
        return self.changeform_view(request, str(pk), "", {"title": f"Edit {server}", "subtitle": None})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        given = request.POST or paste_view.initial_of(request)
        more: dict[str | None, Any] = {
            RUNNING[0]: build_fields.fieldset(obj, given),
            LIMITS[0]: placement_fields.fieldset(),
        }
        fieldsets = EDIT_FIELDSETS if obj else add_fieldsets(given)
        return [each for one in fieldsets for each in (one, *filter(None, [more.get(one[0])]))]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        closed = ["slug"] if roles.is_administrator(request.user) else ["slug", "owner"]
        may_share = roles.may_share(request.user, owner_id=obj.owner_id, team_id=obj.team_id)
        return closed if may_share else [*closed, "team"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        # The form makes further rows of secrets for itself.
        kwargs["fields"] = flatten_fieldsets(self.get_fieldsets(request, obj) if obj else add_fieldsets(()))
        made = super().get_form(request, obj, change=change, **kwargs)
        made.by = at_console(request)
        return made

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "team":
            kwargs["queryset"] = roles.operated_teams(request.user)
            kwargs["empty_label"] = "None: the owner alone"
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new server gets the person's team, if they operate exactly one."""
        teams = list(roles.operated_teams(request.user)[:2])
        return {
            "team": teams[0].pk if len(teams) == 1 else None,
            **super().get_changeform_initial_data(request),
            **paste_view.initial_of(request),
        }

    def save_model(self, request: HttpRequest, obj: Server, form: ServerForm, change: bool) -> None:
        try:
            with _received(form.upload) as archive:
                saved = self._save(at_console(request), obj if change else None, form, archive)
        except UserError as error:
            messages.error(request, str(error))
            return
        obj.__dict__.update(saved.__dict__)

    def _save(self, by: Actor, server: Server | None, form: ServerForm, archive: Archive | None) -> Server:
        fields, deploy = form.server_fields(), form.cleaned_data["deploy"]
        if archive is not None:
            fields["source"] = {**archive.source, **validation.clean_archive_options(fields["source"])}
        if server is None:
            secrets, token = form.first_secrets(), form.token
            made, _ = intake.create(
                by=by, fields=fields, trigger=Trigger.ADMIN, secrets=secrets, token=token, archive=archive,
                deploy=deploy,
            )  # fmt: skip
            return made
        if archive is not None:
            archive.keep(server)
        changed = intake.change(server=server, fields=fields, token=form.token, by=by)
        if deploy:
            services.deploy(server=changed, by=by, trigger=Trigger.ADMIN)
        return changed

    def response_add(self, request: HttpRequest, obj: Server, post_url_continue: Any = None) -> HttpResponse:
        if obj.pk is None:  # refused when it was received; the message says why
            return HttpResponseRedirect(reverse("admin:servers_server_add"))
        messages.success(request, f"{obj.name} was added.")
        return HttpResponseRedirect(display.server_url(obj.pk))

    def response_change(self, request: HttpRequest, obj: Server) -> HttpResponse:
        messages.success(request, f"{obj.name} was saved.")
        for secret in obj.dropped:
            messages.warning(request, display.dropped(secret, obj))
        return HttpResponseRedirect(display.server_url(obj.pk))

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        plain = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().changeform_view(request, object_id, form_url, {**plain, **(extra_context or {})})


@contextmanager
def _received(upload: Any) -> Iterator[Archive | None]:
    """The uploaded file on disk, or None where none was chosen."""
    if upload is None:
        yield None
        return
    with uploads.received(upload.chunks(), upload.name) as archive:
        yield archive
