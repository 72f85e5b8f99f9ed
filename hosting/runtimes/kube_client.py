"""A small client of the Kubernetes API: objects as plain JSON, by kind and name, in one namespace."""

from __future__ import annotations

import itertools
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_incluster_config, load_kube_config
from kubernetes.config.config_exception import ConfigException
from urllib3.response import BaseHTTPResponse

from hosting.errors import RuntimeFault
from hosting.runtimes.followed import CONNECTIONS, QUIET_SECONDS
from hosting.runtimes.kube_faults import Absent, Unreachable, from_status, message_of, translated

Json = dict[str, Any]
T = TypeVar("T")

FIELD_MANAGER = "mcphost"
DEFAULT_CONFIG = "~/.kube/config"
CONNECT_SECONDS, READ_SECONDS = 5, 30
PATIENCE_SECONDS = 30.0
LONGEST_PAUSE = 5.0
PIECE = 65_536
SETTLING_SECONDS = 10.0  # an API server that has just started may refuse valid credentials
WORTH_WAITING = (None, 429, 500, 502, 503, 504)  # None: no answer at all
_JSON = "application/json"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"  # also for JSON, which is YAML
_PLURALS = {
    "Secret": "secrets",
    "Service": "services",
    "Pod": "pods",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Event": "events",
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "NetworkPolicy": "networkpolicies",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "PodDisruptionBudget": "poddisruptionbudgets",
}


class Cluster:
    """One namespace of one cluster. Thread-safe. It connects on first use.

    The configuration comes from KUBECONFIG, else from the service account of the pod, else from
    ~/.kube/config; `context` names a context of the kubeconfig, "" is its current one. While the API server
    throttles (429), restarts or does not answer, requests are repeated for up to `patience` seconds. All
    methods raise `RuntimeFault`. `api` is an apiVersion such as `v1` or `apps/v1`, `selector` a label
    selector.
    """

    def __init__(self, namespace: str, context: str = "", *, patience: float = PATIENCE_SECONDS) -> None:
        self.namespace = namespace
        self._patience = patience
        self._context = context
        self._lock = threading.Lock()
        self._connected: ApiClient | None = None
        self._read: dict[Path, int] = {}
        self._tls: tuple[tuple[object, ...], ssl.SSLContext] | None = None
        self._away_at = -SETTLING_SECONDS  # when the API server last did not answer

    def apply(self, manifest: Json) -> Json:
        """Server-side apply: sets the fields of `manifest`; fields of other managers stay as they are.

        It is forced, so a conflict over fields cannot happen. A 409 then passes by itself (an object that is
        being deleted, a quota that changes at that moment), and the request is repeated.
        """
        path = self._path(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self.request("PATCH", path, query=query, body=manifest, content_type=_APPLY)

    def create(self, manifest: Json) -> Json:
        """Creates an object. Raises `Clash` where it exists already."""
        path = self._path(manifest["apiVersion"], manifest["kind"])
        return self.request("POST", path, query={"fieldManager": FIELD_MANAGER}, body=manifest)

    def merge(self, api: str, kind: str, name: str, patch: Json) -> Json:
        """Changes an object by a JSON merge patch (RFC 7396).

        With `metadata.resourceVersion` in `patch` it raises `Clash` where the object has changed since.
        """
        query = {"fieldManager": FIELD_MANAGER}
        return self.request(
            "PATCH", self._path(api, kind, name), query=query, body=patch, content_type=_MERGE
        )

    def get(self, api: str, kind: str, name: str) -> Json | None:
        """The object; None where it does not exist."""
        try:
            return self.request("GET", self._path(api, kind, name))
        except Absent:
            return None

    def list(self, api: str, kind: str, selector: str = "", *, fields: str = "") -> tuple[list[Json], str]:
        """The objects that match both selectors, and the resourceVersion from which a watch can continue."""
        wanted = {"labelSelector": selector, "fieldSelector": fields}
        found = self.request("GET", self._path(api, kind), query=wanted)
        return list(found["items"]), str(found["metadata"]["resourceVersion"])

    def delete(self, api: str, kind: str, name: str) -> None:
        """Deletes an object and, in the background, what it owns. A missing object is no error."""
        try:
            self.request("DELETE", self._path(api, kind, name), body={"propagationPolicy": "Background"})
        except Absent:
            return

    def delete_all(self, api: str, kind: str, selector: str, *, grace: int | None = None) -> None:
        """Deletes the objects that match. `grace`: seconds for pods to end; None leaves it to the pods."""
        options: Json = {"propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        self.request("DELETE", self._path(api, kind), query={"labelSelector": selector}, body=options)

    def watch(
        self, api: str, kind: str, selector: str, version: str, seconds: int
    ) -> Iterator[tuple[str, Json]]:
        """The changes after the resourceVersion `version`, for `seconds` (API concepts, "Efficient detection
        of changes"): ADDED, MODIFIED or DELETED with the object, or BOOKMARK with an object that has only a
        resourceVersion.

        Raises `Gone` when that version is too old for the API server.
        """
        query = {"labelSelector": selector, "resourceVersion": version, "watch": "true"}
        query["allowWatchBookmarks"] = "true"
        query["timeoutSeconds"] = str(seconds)
        lines = self._send("GET", self._path(api, kind), query, None, _JSON, take=_lines)
        with translated():
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise from_status(
                        int(event["object"].get("code", 0)), message_of(json.dumps(event["object"]))
                    )
                yield event["type"], event["object"]

    @property
    def url(self) -> str:
        """The URL of the API server, without a slash at its end."""
        return str(self._client().configuration.host).rstrip("/")

    def authenticate(self, session: requests.Session) -> None:
        """Gives an HTTP client the credentials and the CA for calls through the API server's proxy."""
        known = self._client().configuration
        session.headers.update(self.authorization())
        session.verify = known.ssl_ca_cert or known.verify_ssl
        session.cert = (known.cert_file, known.key_file) if known.cert_file else None

    def authorization(self) -> dict[str, str]:
        """The Authorization header, its token renewed before it expires; {} where a certificate is used."""
        client = self._client()
        _, _, headers, _, _ = client.param_serialize("GET", "/", auth_settings=["BearerToken"])
        return {name: value for name, value in headers.items() if name.lower() == "authorization"}

    def tls(self) -> ssl.SSLContext:
        """The TLS context for calls through the API server. It follows changes of the certificates' files."""
        known = self._client().configuration
        names = (known.ssl_ca_cert, known.cert_file, known.key_file)
        files = tuple((name, _written(Path(name))) for name in names if name)
        made = self._tls
        if made is None or made[0] != (known.verify_ssl, files):
            made = self._tls = (known.verify_ssl, files), _context(known)
        return made[1]

    def read(self, path: str, query: Mapping[str, str], take: Callable[[Iterator[bytes]], T]) -> T:
        """GET; the result is what `take` returns for the body, which it gets in pieces.

        `take` need not read to the end. It is called again where the connection breaks while it reads.
        """

        def taken(response: Any) -> T:
            try:
                return take(response.stream(PIECE))
            finally:
                response.close()

        found: T = self._send("GET", path, query, None, _JSON, take=taken)
        return found

    def follow(self, path: str, query: Mapping[str, str]) -> BaseHTTPResponse:
        """GET; the answer itself, which does not end and which the caller closes. It is asked for once.

        A read of it fails after QUIET_SECONDS without a byte.
        """
        with translated():
            timeout = (CONNECT_SECONDS, QUIET_SECONDS)
            response: BaseHTTPResponse = self._once("GET", path, query, None, _JSON, timeout=timeout)
            if response.status < 400:
                return response
            raise from_status(response.status, message_of(response.data))

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = _JSON,
    ) -> Json:
        """One request to an absolute path of the API; returns the JSON of the answer."""
        found: Json = json.loads(self._answer(method, path, query or {}, body, content_type))
        return found

    def path(self, kind: str, name: str, below: str) -> str:
        """The path of a subresource in v1, such as `log` of a Pod."""
        return f"{self._path('v1', kind, name)}/{below}"

    def _path(self, api: str, kind: str, name: str = "") -> str:
        root = f"/apis/{api}" if "/" in api else f"/api/{api}"
        return f"{root}/namespaces/{self.namespace}/{_PLURALS[kind]}" + (f"/{name}" if name else "")

    def _answer(
        self, method: str, path: str, query: Mapping[str, str], body: Json | None, content_type: str
    ) -> bytes:
        data: bytes = self._send(method, path, query, body, content_type, take=lambda found: found.data)
        return data

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None,
        content_type: str,
        *,
        take: Callable[[Any], Any],
    ) -> Any:
        """The result of `take` for the response. It repeats the request until `patience` ends, while the API
        server is busy or does not answer, or when the connection breaks while `take` reads.
        """
        end = time.monotonic() + self._patience
        for attempt in itertools.count():
            try:
                with translated():
                    response = self._once(method, path, query, body, content_type)
                    if response.status < 400:
                        return take(response)
                    fault = from_status(response.status, message_of(response.data))
                pause = _pause(attempt, response.headers.get("Retry-After", ""))
            except Unreachable as unreachable:
                fault, pause = unreachable, _pause(attempt)
                self._away_at = time.monotonic()
            passes = _passes(fault.details.get("status"), path, content_type) or self._settles(fault)
            left = end - time.monotonic()
            if not passes or left <= 0:
                raise fault
            time.sleep(min(pause, left))
        raise AssertionError

    def _settles(self, fault: RuntimeFault) -> bool:
        """An API server answers before it has loaded its users and rights: its refusal may pass."""
        is_refusal = fault.details.get("status") in (401, 403)
        return is_refusal and time.monotonic() - self._away_at < SETTLING_SECONDS

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None,
        content_type: str,
        *,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> Any:
        client = self._client()
        _, url, headers, sent, _ = client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return client.call_api(method, url, headers, sent, None, timeout).response

    def _client(self) -> ApiClient:
        """Reads a changed kubeconfig again. The client library itself renews the token of a pod."""
        with self._lock:
            if self._connected is None or any(_written(path) != at for path, at in self._read.items()):
                self._read = {path: _written(path) for path in _kubeconfigs()}
                self._connected = ApiClient(configured(self._context))
            return self._connected


def _context(known: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=known.ssl_ca_cert)
    if not known.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if known.cert_file:
        context.load_cert_chain(known.cert_file, known.key_file)
    return context


def is_within() -> bool:
    """Whether this process runs in a pod and is configured by its service account."""
    return not os.environ.get("KUBECONFIG") and _in_cluster(Configuration())


def configured(context: str = "") -> Configuration:
    """The configuration of the client, from the sources that `Cluster` names.

    Raises `RuntimeFault` that names the kubeconfig and the context at fault.
    """
    configuration = Configuration()
    explicit = os.environ.get("KUBECONFIG", "")
    if not explicit and _in_cluster(configuration):
        return _adjusted(configuration)
    path = explicit or DEFAULT_CONFIG
    if not explicit and not Path(path).expanduser().exists():
        raise RuntimeFault(
            "No access to Kubernetes is configured.", hint="Set KUBECONFIG, or run in a cluster."
        )
    try:
        load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(path),
            context=context or None,
            client_configuration=configuration,
            persist_config=False,
        )
    except (ConfigException, OSError, yaml.YAMLError, TypeError, ValueError) as error:
        about = f" (context {context})" if context else ""
        raise RuntimeFault(
            f"The kubeconfig {path}{about} cannot be used: {_first_line(error)}", hint="Correct KUBECONFIG."
        ) from error
    return _adjusted(configuration)


def _kubeconfigs() -> list[Path]:
    paths = (os.environ.get("KUBECONFIG") or DEFAULT_CONFIG).split(os.pathsep)
    return [Path(path) for path in paths]


def _written(path: Path) -> int:
    """The modification time in nanoseconds; 0 for a file that does not exist."""
    try:
        return path.expanduser().stat().st_mtime_ns
    except (OSError, RuntimeError):  # RuntimeError where there is no home directory
        return 0


def _in_cluster(configuration: Configuration) -> bool:
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        return False
    return True


def _adjusted(configuration: Configuration) -> Configuration:
    configuration.retries = urllib3.Retry(0, redirect=0)
    configuration.connection_pool_maxsize = CONNECTIONS
    return configuration


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _passes(status: int | None, path: str, content_type: str) -> bool:
    """Whether a request that has failed so may succeed when it is repeated."""
    if status == 409:
        return content_type == _APPLY
    if (
        status == 500
    ):  # etcd elects a leader, a webhook restarts. For a log it means a lost node: do not wait.
        return not path.endswith("/log")
    return status in WORTH_WAITING


def _pause(attempt: int, retry_after: str = "") -> float:
    asked = float(retry_after) if retry_after.isdecimal() else 0.25 * 2.0**attempt
    return min(asked, LONGEST_PAUSE)


def _lines(response: Any) -> Iterator[bytes]:
    pending = b""
    for chunk in response.stream(PIECE):
        *lines, pending = (pending + chunk).split(b"\n")
        yield from (line for line in lines if line)
