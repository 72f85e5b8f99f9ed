"""What an operator does about a push, or a look at a registry, that failed."""

from __future__ import annotations

import re

from registry.errors import RegistryError

_KNOWN = (
    (
        r"docker engine does not answer|docker engine's answer",
        "Start it, or check DOCKER_HOST; then redeploy.",
    ),
    (
        r"http response to https client|wrong version number|record layer failure",
        "The registry speaks plain http: list its host in REGISTRY_INSECURE, and in insecure-registries of "
        "the engine.",
    ),
    (
        r"x509|certificate",
        "Give its authority to the platform (REGISTRY_CA_BUNDLE) and to the engine (/etc/docker/certs.d).",
    ),
    (r"no space left|insufficient storage", "Free some space at the registry; then redeploy."),
    (r"quota|too large|\b413\b", "Free some of the quota at the registry, or make the image smaller."),
    (
        r"denied|insufficient_scope|\b403\b",
        "Let the account of REGISTRY_AUTH_DOCKERCONFIG push there.",
    ),
)
_OF_KIND = {
    "auth_expired": "Renew the login in REGISTRY_AUTH_DOCKERCONFIG; then redeploy.",
    "push": "Check that the registry runs, that REGISTRY names it, and the network; then redeploy.",
    "tag": "Redeploy: that builds the image again.",
}


def advice(error: RegistryError) -> str:
    for pattern, words in _KNOWN:
        if re.search(pattern, error.message, re.IGNORECASE):
            return words
    if error.kind in _OF_KIND:
        return _OF_KIND[error.kind]
    if error.permanent:
        return "See the registry's log; then redeploy."
    return "The registry has trouble of its own: see its log, and redeploy when it is over."
