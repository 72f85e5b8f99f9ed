"""The way to pods through the API server of their cluster, for a platform outside of it (K8S_REACH=proxy).

What the API server says itself never reaches a caller: neither its words nor that it was asked.
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

ITS_OWN = frozenset({401, 403, 404, 500, 502, 503, 504})  # statuses that may be the API server's
LONGEST = 16 * 1024
log = logging.getLogger(__name__)


def tls() -> ssl.SSLContext:
    """Raises `Broken` where the access to the cluster cannot be used."""
    try:
        return cluster().tls()
    except (RuntimeFault, OSError) as fault:
        raise Broken(str(fault)) from fault


async def with_credentials(headers: RawHeaders) -> RawHeaders:
    """A caller's header cannot make the API server take us for somebody else."""
    try:
        ours = await asyncio.to_thread(cluster().authorization)
    except RuntimeFault as fault:
        raise Broken(str(fault)) from fault
    passed = [header for header in headers if not header[0].startswith(b"impersonate-")]
    return [*passed, *((name.encode(), value.encode()) for name, value in ours.items())]


async def checked(response: Response) -> Response:
    """The pod's response. Raises `NotConnected` where the API server did not reach the pod, and `Broken`."""
    if response.status not in ITS_OWN:
        return response
    try:
        body = await response.read() or b""
        while not response.whole and len(body) < LONGEST:
            body += await response.read() or b""
    except BaseException:
        response.close()  # whoever would have to does not have it yet
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
    """Thread-safe; asks nobody before it is used."""
    # Few platforms call through an API server, and its client is heavier than the gateway.
    from hosting.runtimes.kube_client import Cluster

    return Cluster(settings.K8S_NAMESPACE, settings.K8S_CONTEXT)


def _said(body: bytes) -> str | None:
    """The API server's own words: a `Status` object, or a line of old ones; None for what a pod answered."""
    text = body.decode("utf-8", "replace")
    if text.lower().startswith("error trying to reach service"):
        return text[:300]
    try:
        held = json.loads(text)
    except ValueError:
        return None
    is_status = isinstance(held, dict) and (held.get("kind"), held.get("apiVersion")) == ("Status", "v1")
    return str(held.get("message"))[:300] if is_status else None
