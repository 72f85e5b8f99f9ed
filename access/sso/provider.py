"""The provider of OIDC_ISSUER for allauth: discovery, PKCE, nonce and checked claims."""

from __future__ import annotations

import hashlib
from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from access.sso import tokens

TEXT_CLAIMS = frozenset({"name", "given_name", "family_name", "preferred_username", "nickname", "email"})


def app() -> SocialApp:
    """Returns the provider as the settings describe it.

    Its id depends on the issuer, because the same `sub` at another issuer is another person.
    """
    issuer = hashlib.sha256(settings.OIDC_ISSUER.encode()).hexdigest()[:16]
    return SocialApp(
        provider="openid_connect",
        provider_id=f"oidc-{issuer}",
        name=settings.OIDC_NAME,
        client_id=settings.OIDC_CLIENT_ID,
        secret=settings.OIDC_CLIENT_SECRET,
        settings={
            "server_url": settings.OIDC_ISSUER.rstrip("/"),
            "oauth_pkce_enabled": True,
            "scope": settings.OIDC_SCOPES,
        },
    )


class Provider(OpenIDConnectProvider):  # type: ignore[misc]  # allauth is untyped
    def get_oauth2_adapter(self, request: HttpRequest) -> Adapter:
        return Adapter(request, self.app.provider_id)


class Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    def get_provider(self) -> Provider:
        return Provider(self.request, app=app())

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        path = reverse("sso-callback")
        return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's metadata.

        Raises `OAuth2Error` if they are another issuer's (Discovery 1.0, section 4.3).
        """
        config: dict[str, Any] = super().openid_config
        if str(config.get("issuer", "")).rstrip("/") != settings.OIDC_ISSUER.rstrip("/"):
            raise OAuth2Error(
                f"The provider calls itself {config.get('issuer')}, not {settings.OIDC_ISSUER}."
            )
        for needed in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not config.get(needed):
                raise OAuth2Error(f"The provider's metadata have no {needed}.")
        return config

    def complete_login(self, request: HttpRequest, app: SocialApp, token: Any, **kwargs: Any) -> SocialLogin:
        claims = self._claims(app, kwargs["response"].get("id_token"))
        about = self._fetch_user_info(token.token) if self.openid_config.get("userinfo_endpoint") else {}
        if about.get("sub", claims["sub"]) != claims["sub"]:  # Core 1.0, section 5.3.2
            raise OAuth2Error("The provider's user info is about somebody else.")
        return self.get_provider().sociallogin_from_response(request, _fitting({**about, **claims}))

    def _claims(self, app: SocialApp, id_token: Any) -> dict[str, Any]:
        if not isinstance(id_token, str):
            raise OAuth2Error("The provider sent no ID token.")
        with get_adapter().get_requests_session() as session:
            keys = session.get(self.openid_config["jwks_uri"]).json()
        issuer = self.openid_config["issuer"]
        return tokens.verified(id_token, keys=keys, issuer=issuer, client_id=app.client_id)


def _fitting(claims: dict[str, Any]) -> dict[str, Any]:
    """Drops claims that should be text (Core 1.0, section 5.1) and are not; allauth does not check that."""
    return {name: said for name, said in claims.items() if name not in TEXT_CLAIMS or isinstance(said, str)}
