"""`requests` under the same guard as everything here: sessions that follow nothing, adapters that look."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from outbound import addresses, connections


class Session(requests.Session):
    """Whoever asks follows redirects by themselves, with bounds of their own."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: asked not to follow, `requests` would still read the whole body and parse the address."""
        return None


class Adapter(HTTPAdapter):
    """Connects to public addresses only, unless `inner` allows those of this machine and its networks; never
    to a cloud's metadata. `context` says whom it trusts, `given` is `HTTPAdapter`'s.

    Its requests raise `UnknownName` and `InnerAddress` besides what `requests` raises. A proxy looks names up
    itself: of what it is asked for only plain addresses are looked at.
    """

    def __init__(self, context: ssl.SSLContext, *, inner: bool, **given: Any) -> None:
        self._context, self._inner = context, inner
        super().__init__(**given)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = connections.pools(inner=self._inner)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = connections.pools(inner=self._inner)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if select_proxy(str(request.url), kwargs.get("proxies")):
            addresses.check_plain(urlsplit(str(request.url)).hostname or "", inner=self._inner)
        return super().send(request, *args, **kwargs)
