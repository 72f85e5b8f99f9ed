"""Logins to the console. Every active user may enter, and sees what roles and teams allow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from access import audit, roles
from access.actor import at_console
from access.models import AuditEntry


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # unfold is untyped
    # Django's own message mentions staff accounts, which do not exist here.
    error_messages: ClassVar[dict[str, Any]] = {
        **AuthenticationForm.error_messages,
        "invalid_login": "Nobody may enter with this user name and password. Mind upper and lower case.",
    }

    def clean(self) -> dict[str, Any]:
        if not settings.PASSWORD_LOGIN:
            raise ValidationError(f"Passwords are switched off here: use {settings.OIDC_NAME}.")
        data: dict[str, Any] = super().clean()
        return data

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """Checks only that the user is active. Django's staff flag has no meaning here."""
        if not user.is_active:
            raise ValidationError(self.error_messages["inactive"], code="inactive")


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]
    login_form = LoginForm

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Shows or handles the login form, and records successful, failed and locked logins."""
        ways = {
            "password_login": settings.PASSWORD_LOGIN,
            "sso_name": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
            "next": request.GET.get("next", ""),
        }
        answer: HttpResponse = super().login(request, {**(extra_context or {}), **ways})
        if request.method == "POST":
            _write_down(request)
        return answer

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer: HttpResponse = super().password_change(request, extra_context)
        if request.method == "POST" and answer.status_code == 302:
            by = at_console(request)
            audit.record(action="user.password_changed", by=by, target=by.user)
        return answer


def _write_down(request: HttpRequest) -> None:
    """Records a login. Of a failed one, only the name of a user who exists: other text may be a password."""
    by = at_console(request)
    if by.user is not None:
        audit.record(action="login.succeeded", by=by, target=by.user, after={"through": "password"})
        return
    name = request.POST.get("username", "")[:150].replace("\x00", "")  # PostgreSQL refuses NUL
    user = User.objects.filter(username=name).first()
    locked = getattr(request, "axes_locked_out", False)
    action = "login.locked" if locked else "login.failed"
    if user is not None and not (locked and _told_lately(action, user)):
        audit.record(action=action, by=by, target=user)


def _told_lately(action: str, user: User) -> bool:
    """Tells whether this lock is recorded already. One entry is enough for all tries during a lock."""
    since = timezone.now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
    return AuditEntry.objects.filter(action=action, target_id=user.pk, at__gte=since).exists()


def for_administrators(request: HttpRequest) -> bool:
    """Tells whether the sidebar shows pages for administrators."""
    return roles.is_administrator(request.user)


def for_who_adds(request: HttpRequest) -> bool:
    """Tells whether the sidebar shows pages for users who may add servers."""
    return roles.may_add(request.user)
