"""Keeps the Kubernetes secret with which nodes pull images equal to the registry's credentials."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from django.conf import settings

from hosting.errors import RuntimeFault, UserError
from hosting.runtimes.kube_client import Cluster, Json
from hosting.runtimes.kube_faults import Clash
from registry.credentials import Credential
from registry.dockerconfig import DockerConfig
from registry.errors import CredentialError, RegistryError
from registry.events import Stopwatch
from registry.reference import Reference
from servers.deploying import registries
from servers.timeline import Timeline

TYPE, KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"
PATIENCE_SECONDS = 5.0  # a push waits that long at most
ROUNDS = 5  # if others write it at the same time, it is read and written again


def renew(timeline: Timeline, ref: Reference, *, tell_unchanged: bool = True) -> None:
    """Writes the platform's credentials for `ref` into the secret, if they differ.

    A failure is reported, but the deployment goes on. `tell_unchanged` reports also that nothing differed.
    """
    if not (settings.K8S_REGISTRY_SECRET_NAME and settings.REGISTRY_AUTH_DOCKERCONFIG):
        return
    about = {"secret": settings.K8S_REGISTRY_SECRET_NAME, "namespace": settings.K8S_NAMESPACE}
    watch = Stopwatch()
    try:
        changed = patch(
            name=settings.K8S_REGISTRY_SECRET_NAME,
            namespace=settings.K8S_NAMESPACE,
            context=settings.K8S_CONTEXT,
            config_path=settings.REGISTRY_AUTH_DOCKERCONFIG,
            logins=_login(ref),
        )
    except UserError as error:
        failure = {**about, "error": str(error), "error_kind": error.kind, "duration_ms": watch.ms()}
        timeline.event("pull_secret_failed", failure)
        timeline.say(f"The pull secret was not renewed: {error}")
        return
    if changed or tell_unchanged:
        timeline.event("pull_secret_patched", {**about, "changed": changed, "duration_ms": watch.ms()})


def hand_on(timeline: Timeline, image: str) -> None:
    """Renews the secret before a start on nodes that pull for themselves.

    It is needed even if nothing was pushed, because somebody else may have renewed the credentials.
    """
    renew(timeline, Reference.parse(image), tell_unchanged=False)


def _login(ref: Reference) -> Json:
    try:
        return login_of(registries.credentials().for_host(ref.host, ref.repository), ref.host)
    except RegistryError:  # the push or pull reports it better; the entries of the file are still written
        return {}


def patch(
    *, name: str, namespace: str, config_path: Path, logins: Json | None = None, context: str = ""
) -> bool:
    """Creates the secret, or changes it if its content differs; returns whether it was written.

    `logins` are entries that the file `config_path` does not hold, in the form of `login_of`. Entries of
    other registries, and other fields, are kept. Raises `RuntimeFault`.
    """
    wanted = _usable(config_path, logins or {})
    cluster = Cluster(namespace, context, patience=PATIENCE_SECONDS)
    for _ in range(ROUNDS):
        try:
            return _write(cluster, name, wanted)
        except Clash:
            continue
        except RuntimeFault as fault:
            raise _explained(fault, name, namespace) from fault
    raise RuntimeFault(
        f"The pull secret {name} is changed by others again and again.", hint="Try again.", permanent=False
    )


def _write(cluster: Cluster, name: str, wanted: Json) -> bool:
    found = cluster.get("v1", "Secret", name)
    if found is None:
        about = {"name": name, "labels": {"app.kubernetes.io/managed-by": "mcphost"}}
        cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": about,
                "type": TYPE,
                "data": _data({"auths": wanted}),
            }
        )
        return True
    held = _held(found)
    merged = {**held, "auths": {**held.get("auths", {}), **wanted}}
    if merged == held:
        return False
    version = {"resourceVersion": found["metadata"]["resourceVersion"]}
    cluster.merge("v1", "Secret", name, {"metadata": version, "data": _data(merged)})
    return True


def _held(secret: Json) -> Json:
    """Returns the secret's content. Raises `RuntimeFault` if it is no pull secret."""
    name = secret["metadata"]["name"]
    if secret["type"] != TYPE:
        raise RuntimeFault(
            f"The secret {name} is of type {secret['type']}, not {TYPE}: no node can pull with it.",
            hint="Delete it, or name another one in K8S_REGISTRY_SECRET_NAME.",
        )
    try:
        held = json.loads(base64.b64decode(secret["data"][KEY]))
        if isinstance(held, dict) and isinstance(held.get("auths", {}), dict):
            return held
    except (KeyError, ValueError):
        pass
    raise RuntimeFault(f"The secret {name} holds no docker config.", hint="Delete it: it is made anew.")


def login_of(credential: Credential, host: str) -> Json:
    """Returns the entry of a user and password that a credential helper gave; {} for another credential.

    Nodes have no credential helper, so the entry is written out for them.
    """
    if not credential.from_helper or not credential.password:
        return {}
    auth = credential.engine_auth(host)
    return {auth["serveraddress"]: {"username": credential.username, "password": credential.password}}


def _usable(path: Path, logins: Json) -> Json:
    """Returns the entries that a node can use.

    Kubernetes knows neither credential helpers nor identity tokens.
    """
    usable = {**_auths(path, optional=bool(logins)), **logins}
    if not usable:
        raise RuntimeFault(
            f"{path} names no password that a node could pull with.",
            hint="Identity tokens do not work on nodes: let the file, or a helper, give a password.",
        )
    return usable


def _auths(path: Path, *, optional: bool) -> Json:
    try:
        config = DockerConfig.read(path)
    except CredentialError as fault:
        if not os.access(path, os.R_OK):
            raise RuntimeFault(fault.message, reason=fault.reason) from fault
        config = DockerConfig(path)
    if not config.auths and not optional:
        raise RuntimeFault(f"{path} has no entry auths for the pull secret.")
    entries = ((key, _for_nodes(config, key)) for key in config.auths)
    return {key: entry for key, entry in entries if entry}


def _for_nodes(config: DockerConfig, key: str) -> Json:
    """Returns an entry in the form that nodes read; {} if it has no password or is no valid entry.

    One invalid entry would make the kubelet drop all of them.
    """
    try:
        fields = config.entry(key, key)
    except CredentialError:
        return {}
    if not fields["password"]:
        return {}
    auth = Credential(fields["username"], fields["password"]).basic.removeprefix("Basic ")
    entry: Json = config.auths[key]
    return entry if entry.get("auth") in (None, "", auth) else {"auth": auth}


def _data(content: Json) -> dict[str, str]:
    return {KEY: base64.b64encode(json.dumps(content, sort_keys=True).encode()).decode()}


def _explained(fault: RuntimeFault, name: str, namespace: str) -> RuntimeFault:
    what = f"the secret {name} in the namespace {namespace}"
    status, said = fault.details.get("status"), fault.details.get("kubernetes", "")
    if status == 403:
        message = f"Kubernetes does not allow the platform to write {what}."
        hint = "Grant it get, create and patch on secrets: deploy/kubernetes/role.yaml does."
        return RuntimeFault(message, hint=hint, details=fault.details)
    if status == 404:
        return RuntimeFault(
            f"The namespace {namespace} does not exist.",
            hint="Create it, or set K8S_NAMESPACE.",
            details=fault.details,
        )
    if status is None:
        return fault
    return RuntimeFault(
        f"Kubernetes refused to write {what}: {status} {said}",
        hint=fault.hint,
        permanent=fault.permanent,
        details=fault.details,
    )
