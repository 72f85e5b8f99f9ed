"""The Kubernetes secret with which nodes pull: renewed with the registry's credentials."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from servers.errors import UserError

TYPE, KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"
SECONDS = 15


def patch(*, name: str, namespace: str, config_path: Path) -> bool:
    """Creates the secret, or patches it where its content differs; whether anything was written.

    Entries of registries that the file does not name are kept. Raises `UserError`.
    """
    wanted = _auths(config_path.read_bytes(), str(config_path))
    core = _api()
    try:
        return _write(core, name, namespace, wanted)
    except ApiException as error:
        raise UserError(_sentence(error, name, namespace), kind="runtime", permanent=False) from error
    except HTTPError as error:
        raise UserError(
            "The Kubernetes API server does not answer.", kind="runtime", permanent=False
        ) from error


def _api() -> client.CoreV1Api:
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except ConfigException:
        try:
            config.load_kube_config()  # type: ignore[no-untyped-call]
        except ConfigException as error:
            raise UserError(
                "No access to Kubernetes is configured.",
                hint="Set KUBECONFIG, or run in a cluster.",
                kind="runtime",
            ) from error
    return client.CoreV1Api()


def _write(core: client.CoreV1Api, name: str, namespace: str, wanted: dict[str, Any]) -> bool:
    try:
        found = core.read_namespaced_secret(name, namespace, _request_timeout=SECONDS)
    except ApiException as error:
        if error.status != 404:
            raise
        body: Any = {"metadata": {"name": name}, "type": TYPE, "data": _data({"auths": wanted})}
        core.create_namespaced_secret(namespace, body, _request_timeout=SECONDS)
        return True
    held = json.loads(base64.b64decode((found.data or {}).get(KEY, "")) or b"{}")
    merged = {**held, "auths": {**held.get("auths", {}), **wanted}}
    if merged == held:
        return False
    core.patch_namespaced_secret(name, namespace, {"data": _data(merged)}, _request_timeout=SECONDS)
    return True


def _auths(content: bytes, path: str) -> dict[str, Any]:
    try:
        auths = json.loads(content)["auths"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} has no entry auths for the pull secret.", kind="runtime") from None
    return {host: entry for host, entry in auths.items() if entry}


def _data(content: dict[str, Any]) -> dict[str, str]:
    return {KEY: base64.b64encode(json.dumps(content, sort_keys=True).encode()).decode()}


def _sentence(error: ApiException, name: str, namespace: str) -> str:
    what = f"the secret {name} in the namespace {namespace}"
    if error.status == 403:
        return (
            f"Kubernetes does not allow the platform to write {what}: grant get, create and patch on secrets."
        )
    return f"Kubernetes refused to write {what}: {error.status} {error.reason}."
