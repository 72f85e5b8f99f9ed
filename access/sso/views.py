"""The two addresses of single sign-on: its start, and where the provider sends people back."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps

from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from requests import RequestException

from access.sso.account import told
from access.sso.provider import Adapter, app

View = Callable[[HttpRequest], HttpResponse]


def _with_provider(view: View) -> View:
    """Answers 404 without OIDC_ISSUER, and our own page if the provider is down or wrong."""

    @never_cache
    @require_GET
    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if not settings.OIDC_ISSUER:
            raise Http404("Single sign-on is not set up.")
        try:
            return view(request)
        except (OAuth2Error, RequestException) as error:
            return told(request, None, error)

    return checked


@_with_provider
def login(request: HttpRequest) -> HttpResponse:
    """Sends the browser to the provider, with PKCE and a nonce. `next` must be an address of ours."""
    wanted = request.GET.get("next", "")
    here = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure())
    nonce = secrets.token_urlsafe(24)
    provider = Adapter(request, app().provider_id).get_provider()
    answer: HttpResponse = provider.redirect(
        request, AuthProcess.LOGIN, wanted if here else "", auth_params={"nonce": nonce}, nonce=nonce
    )
    return answer


@_with_provider
def callback(request: HttpRequest) -> HttpResponse:
    """Handles the provider's answer (`SocialAdapter`)."""
    answer: HttpResponse = OAuth2CallbackView.adapter_view(Adapter(request, app().provider_id))(request)
    return answer
