"""The pages of users, for administrators."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from access import audit, people, roles
from access.actor import at_console
from console.base import RecordedAdmin
from servers import display

for model in (User, Group, EmailAddress, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(model)


class PersonForm(UserChangeForm):  # type: ignore[misc]  # unfold is untyped
    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        wanted = User(pk=self.instance.pk, is_active=data["is_active"], is_superuser=data["is_superuser"])
        people.check_an_administrator_stays(wanted)
        return data


class NewPersonForm(UserCreationForm):  # type: ignore[misc]
    def clean_username(self) -> str:
        name = super().clean_username()
        if User.objects.filter(username__iexact=name).exists():
            raise ValidationError("A user with this name exists already.")
        return str(name)


@admin.register(User)
class UserAdmin(RecordedAdmin, PlainUserAdmin):  # type: ignore[misc, type-arg]
    form, add_form = PersonForm, NewPersonForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "full_name", "role", "teams_of", "may_enter", "last_seen"]
    list_filter = ["is_active", "is_superuser", ("teams", admin.RelatedOnlyFieldListFilter)]
    list_filter_sheet = True
    search_fields = ["username", "first_name", "last_name", "email"]
    search_help_text = "User name, name or e-mail"
    filter_horizontal = ()
    readonly_fields = ["teams_of", "last_seen", "joined"]
    actions = None
    fieldsets = (
        (None, {"fields": ["username", "password"]}),
        ("Person", {"fields": [("first_name", "last_name"), "email"]}),
        (
            "Access",
            {
                "fields": ["is_active", "is_superuser", "teams_of"],
                "description": "Roles are set per team, on the pages of the teams.",
            },
        ),
        ("Activity", {"fields": [("last_seen", "joined")]}),
    )
    add_fieldsets = ((None, {"fields": ["username", "password1", "password2"]}),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        labels = {"is_superuser": "Administrator", "is_active": "Active"}
        helps = {
            "is_superuser": "May see and do everything, on every server.",
            "is_active": "Off: sessions and tokens of this person end at once. Nobody is deleted.",
        }
        more = {**kwargs, "labels": labels, "help_texts": helps}
        return super().get_form(request, obj, change=change, **more)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        found: QuerySet[User] = super().get_queryset(request).prefetch_related("memberships__team")
        return found

    def has_module_permission(self, request: HttpRequest) -> bool:
        return roles.is_administrator(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return roles.is_administrator(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return roles.is_administrator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return roles.is_administrator(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # history names people

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        people.save(user=obj, by=at_console(request))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        user = self.get_object(request, id)
        before = user.password if user else ""
        answer: HttpResponse = super().user_change_password(request, id, form_url)
        if user is not None and User.objects.get(pk=user.pk).password != before:
            audit.record(action="user.password_set", by=at_console(request), target=user)
        return answer

    @admin.display(description="Name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or user.email or display.EMPTY

    @admin.display(description="Role", ordering="-is_superuser")
    def role(self, user: User) -> str:
        return "Administrator" if user.is_superuser else display.EMPTY

    @admin.display(description="Teams")
    def teams_of(self, user: User) -> str:
        if user.pk is None:
            return display.EMPTY
        held = [f"{one.team} ({one.role})" for one in user.memberships.all()]
        return ", ".join(held) or display.EMPTY

    @admin.display(description="Active", boolean=True, ordering="is_active")
    def may_enter(self, user: User) -> bool:
        return user.is_active

    @admin.display(description="Last login", ordering="last_login")
    def last_seen(self, user: User) -> SafeString | str:
        return display.moment(user.last_login) if user.last_login else "never"

    @admin.display(description="Created")
    def joined(self, user: User) -> SafeString | str:
        return display.moment(user.date_joined)
