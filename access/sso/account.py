"""Hooks of allauth: a login ends here, with a session or with a page that says why not."""

from __future__ import annotations

import logging
import secrets
from typing import Any

import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base.constants import AuthError
from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url

from access import audit
from access.actor import at_console
from access.sso import provider_http
from access.sso.admission import Refused, admit

LONGEST_REASON = 500  # characters; it may hold the provider's whole answer
BACKEND = "django.contrib.auth.backends.ModelBackend"
logger = logging.getLogger(__name__)


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth is untyped
    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Ends the login always, because allauth's own pages for new accounts and links are not served."""
        raise ImmediateHttpResponse(_enter(request, sociallogin))

    def get_requests_session(self) -> requests.Session:
        return provider_http.session()

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None,
        extra_context: Any = None,
    ) -> None:  # fmt: skip
        raise ImmediateHttpResponse(told(request, error, exception))


def _enter(request: HttpRequest, login: SocialLogin) -> HttpResponse:
    nonce = str(login.account.extra_data.get("nonce", ""))
    if not secrets.compare_digest(nonce.encode(), str(login.state.get("nonce", "-")).encode()):
        return told(request, None, "The answer belongs to another login.")
    try:
        user = admit(login, by=at_console(request))
    except Refused as refused:
        told_of = {"sub": login.account.uid, "reason": str(refused)}
        audit.record(action="login.refused", by=at_console(request), after=told_of)
        return page(request, str(refused), refused.hint, 403)
    auth.login(request, user, backend=BACKEND)
    through = {"through": settings.OIDC_NAME}
    audit.record(action="login.succeeded", by=at_console(request), target=user, after=through)
    return HttpResponseRedirect(login.state.get("next") or resolve_url(settings.LOGIN_REDIRECT_URL))


def told(request: HttpRequest, error: Any, exception: Any) -> HttpResponse:
    """Returns the page for a login that failed, and logs the exact reason."""
    if error == AuthError.CANCELLED:
        return page(request, f"{settings.OIDC_NAME} was left without a login.", "", 403)
    reason = str(exception or error or "unknown state")[:LONGEST_REASON]
    logger.warning("single sign-on failed", extra={"reason": reason})
    hint = "Start again from the login page. If it comes again, an administrator finds the reason in the log."
    return page(request, f"Signing in with {settings.OIDC_NAME} did not work.", hint, 401)


def page(request: HttpRequest, message: str, hint: str, status: int) -> HttpResponse:
    """Returns the page that says why a login failed."""
    shown = {"message": message, "hint": hint, "name": settings.OIDC_NAME}
    response = render(request, "sso_failed.html", shown, status=status)
    response["Cache-Control"] = "no-store"
    return response
