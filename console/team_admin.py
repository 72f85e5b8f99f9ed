"""The pages of teams, with their members and registry logins."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.widgets import INPUT_CLASSES, UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from access import roles, teams
from access.actor import Actor, at_console
from access.models import Membership, Team
from console.base import RecordedAdmin
from hosting.errors import Invalid
from servers import registry_logins
from servers.models import RegistryLogin


class MemberForm(forms.ModelForm):  # type: ignore[type-arg]
    """A member, given by user name: a team's administrator may not see the list of all users."""

    username = forms.CharField(
        label="User name",
        max_length=150,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    class Meta:
        model = Membership
        fields = ["username", "role"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():  # the table's heads are no labels
            field.widget.attrs["aria-label"] = field.label
        if self.instance.pk:
            self.fields["username"].disabled = True
            self.initial["username"] = self.instance.user.get_username()

    def clean_username(self) -> str:
        name = str(self.cleaned_data["username"])
        user = User.objects.filter(username=name).first()
        if user is None:
            raise ValidationError("There is no user with this name.")
        self.instance.user = user
        return name


class Members(TabularInline):  # type: ignore[misc]  # unfold is untyped
    model, form, extra = Membership, MemberForm, 1
    verbose_name, verbose_name_plural = "member", "members"
    hide_title = True
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        found: QuerySet[Membership] = super().get_queryset(request).select_related("user")
        return found

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["username" if self.has_change_permission(request, obj) else "person", "role"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if self.has_change_permission(request, obj) else ["person"]

    @admin.display(description="User name")
    def person(self, member: Membership) -> str:
        return member.user.get_username()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or roles.administers(request.user, obj)

    has_add_permission = has_delete_permission = has_change_permission


class LoginForm(forms.ModelForm):  # type: ignore[type-arg]
    """A login at a registry. The registry of an existing row cannot be changed: its password belongs to
    it."""

    password = forms.CharField(
        label="Password or token",
        required=False,
        strip=False,
        max_length=registry_logins.LONGEST,
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "class": " ".join(INPUT_CLASSES)}
        ),
    )

    class Meta:
        model = RegistryLogin
        fields = ["host", "username"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["host"].widget.attrs |= {"placeholder": "registry.example.org", "autocomplete": "off"}
        self.fields["username"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}
        for field in self.fields.values():  # the table's heads are no labels
            field.widget.attrs["aria-label"] = field.label
        if self.instance.pk:
            self.fields["host"].disabled = True
            self.fields["password"].widget.attrs["placeholder"] = "empty: unchanged"

    def clean_password(self) -> str:
        password = str(self.cleaned_data["password"])
        if not password and self.instance.pk is None:
            raise ValidationError("A login needs a password or a token.")
        try:
            return registry_logins.checked(password) if password else ""
        except Invalid as error:
            raise ValidationError(str(error)) from None


class Logins(TabularInline):  # type: ignore[misc]  # unfold is untyped
    model, form, extra = RegistryLogin, LoginForm, 1
    fields = ["host", "username", "password"]
    verbose_name, verbose_name_plural = "registry login", "registry logins"
    hide_title = True
    show_change_link = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or roles.administers(request.user, obj)

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(Team)
class TeamAdmin(RecordedAdmin):
    list_display = ["name", "people", "servers"]
    search_fields = ["name"]
    search_help_text = "Name"
    fields = ["name"]
    inlines = [Members, Logins]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        return roles.teams_seen(request.user).annotate(
            people_count=Count("memberships", distinct=True), servers_count=Count("servers", distinct=True)
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # of one's own teams

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return roles.is_administrator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and roles.administers(request.user, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return roles.is_administrator(request.user)

    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        by = at_console(request)
        saved = teams.rename(team=obj, name=obj.name, by=by) if change else teams.create(name=obj.name, by=by)
        obj.__dict__.update(saved.__dict__)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Calls a service for each changed row. Django's formset saves nothing; it only finds the changed
        rows."""
        formset.save(commit=False)
        by = at_console(request)
        if formset.model is RegistryLogin:
            _save_logins(form.instance, formset, by)
            return
        for gone in formset.deleted_objects:
            teams.remove_member(team=form.instance, user=gone.user, by=by)
        touched = [*formset.new_objects, *(row for row, _ in formset.changed_objects)]
        for member in touched:
            teams.set_member(team=form.instance, user=member.user, role=member.role, by=by)

    def delete_model(self, request: HttpRequest, obj: Team) -> None:
        teams.delete(team=obj, by=at_console(request))

    @admin.display(description="Members", ordering="people_count")
    def people(self, team: Any) -> int:
        return int(team.people_count)

    @admin.display(description="Servers", ordering="servers_count")
    def servers(self, team: Any) -> SafeString:
        url = f"{reverse('admin:servers_server_changelist')}?team__id__exact={team.pk}"
        return format_html('<a class="mh-link" href="{}">{}</a>', url, team.servers_count)


def _save_logins(team: Team, formset: Any, by: Actor) -> None:
    for gone in formset.deleted_objects:
        registry_logins.take_away(login=gone, by=by)
    for form in formset.forms:
        if form.has_changed() and form not in formset.deleted_forms:
            given = {name: form.cleaned_data[name] for name in ("username", "password")}
            registry_logins.give(team=team, host=form.instance.host, by=by, **given)
