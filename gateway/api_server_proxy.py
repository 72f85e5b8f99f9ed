"""Reaches pods through the API server of their cluster, for a platform outside of it (K8S_REACH=proxy).

Callers never see an answer of the API server itself, nor that it is in between.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import ssl
from typing import TYPE_CHECKING

from django.conf import settings

from gateway.http1 import Broken, NotConnected, Response
from gateway.types import RawHeaders
from hosting.errors import RuntimeFault

if TYPE_CHECKING:
    from hosting.runtimes.kube_client import Cluster

ITS_OWN = frozenset({401, 403, 404, 500, 502, 503, 504})  # statuses that the API server itself may send
LONGEST = 16 * 1024
log = logging.getLogger(__name__)


def tls() -> ssl.SSLContext:
    """Returns the TLS context for the API server.

    Raises `Broken` if the access to the cluster cannot be used.
    """
    try:
        return cluster().tls()
    except (RuntimeFault, OSError) as fault:
        raise Broken(str(fault)) from fault


async def with_credentials(headers: RawHeaders) -> RawHeaders:
    """Adds the platform's credentials, and removes headers by which a caller could impersonate another user.

    Raises `Broken` if there are no credentials.
    """
    try:
        ours = await asyncio.to_thread(cluster().authorization)
    except RuntimeFault as fault:
        raise Broken(str(fault)) from fault
    passed = [header for header in headers if not header[0].startswith(b"impersonate-")]
    return [*passed, *((name.encode(), value.encode()) for name, value in ours.items())]


async def checked(response: Response) -> Response:
    """Returns the pod's response.

    Raises `NotConnected` if the API server did not reach the pod, and `Broken` for its other errors.
    """
    if response.status not in ITS_OWN:
        return response
    try:
        body = await response.read() or b""
        while not response.whole and len(body) < LONGEST:
            body += await response.read() or b""
    except BaseException:
        response.close()  # the caller, who would close it, does not have it yet
        raise
    text = _said(body)
    if text is None:
        response.put_back(body)
        return response
    response.close()
    log.warning("the API server does not pass a call on: %s %s", response.status, text)
    if response.status == 404 or "dial tcp" in text or "no endpoints" in text:
        raise NotConnected(text)
    raise Broken(text)


@functools.cache
def cluster() -> Cluster:
    """Returns the client of the cluster. It is thread-safe, and connects only when it is used."""
    # Imported here: few platforms call through an API server, and its client is larger than the gateway.
    from hosting.runtimes.kube_client import Cluster

    return Cluster(settings.K8S_NAMESPACE, settings.K8S_CONTEXT)


def _said(body: bytes) -> str | None:
    """Returns the API server's own message (a `Status` object, or a line of old versions); None for a pod's
    answer.
    """
    text = body.decode("utf-8", "replace")
    if text.lower().startswith("error trying to reach service"):
        return text[:300]
    try:
        held = json.loads(text)
    except ValueError:
        return None
    is_status = isinstance(held, dict) and (held.get("kind"), held.get("apiVersion")) == ("Status", "v1")
    return str(held.get("message"))[:300] if is_status else None
