"""The console's front door: whoever is active may enter, and sees what roles and teams let them see."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django.forms import ValidationError
from django.http import HttpRequest
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from access import roles


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # unfold is untyped
    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """Django would ask for its staff flag, which means nothing here."""
        if not user.is_active:
            raise ValidationError(self.error_messages["inactive"], code="inactive")


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]
    login_form = LoginForm

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active)


def for_administrators(request: HttpRequest) -> bool:
    """What the sidebar asks for pages that only administrators have."""
    return roles.is_administrator(request.user)
