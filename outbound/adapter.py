"""Applies the checks of `outbound` to `requests`."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from outbound import addresses, connections


class Session(requests.Session):
    """A session that never follows redirects; callers follow them with their own limits."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Returns None.

        Otherwise `requests` would read the whole body of a redirect, even if it does not follow it.
        """
        return None


class Adapter(HTTPAdapter):
    """An adapter that connects only to allowed addresses (see `addresses.is_allowed`).

    `context` decides which certificates are trusted; `given` goes to `HTTPAdapter`. Requests also raise
    `UnknownName` and `PrivateAddress`. A proxy looks names up itself; then only a literal address is checked.
    """

    def __init__(self, context: ssl.SSLContext, *, allow_private: bool, **given: Any) -> None:
        self._context, self._allow_private = context, allow_private
        super().__init__(**given)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = connections.pools(allow_private=self._allow_private)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = connections.pools(allow_private=self._allow_private)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if select_proxy(str(request.url), kwargs.get("proxies")):
            addresses.check_literal(
                urlsplit(str(request.url)).hostname or "", allow_private=self._allow_private
            )
        return super().send(request, *args, **kwargs)
