"""What an operator does about a push, or a look at a registry, that failed. Pure."""

from __future__ import annotations

import re

from registry.errors import INNER, RegistryError
from registry.pull_rights import Way
from registry.reference import Reference

NAME_IT = (
    "If images of {host} may be asked for there, an administrator adds {host} to REGISTRY_PRIVATE_HOSTS and "
    "restarts the platform"
)
# By kind; the first that matches, and the last of each kind always does. {again} is how to go on.
_ADVICE = {
    "tag": (("", "The engine no longer holds what was built: redeploy with mode rebuild."),),
    "auth_expired": (
        (
            r"refresh command",
            "Run REGISTRY_REFRESH_COMMAND by hand, with REGISTRY_HOST={host}, to see why it fails; "
            "then {again}",
        ),
        (
            r"credential helper",
            "Run the helper by hand (echo {host} | docker-credential-NAME get) to see why it fails; "
            "then {again}",
        ),
        (
            r"no credentials for .* are configured",
            "Add a login for {host} to the file that REGISTRY_AUTH_DOCKERCONFIG names; then {again}",
        ),
        (
            r"cannot be read|not valid JSON|must be|must hold|not base64|not a docker config|names no login"
            r"|is a Kubernetes",
            "Correct the file that REGISTRY_AUTH_DOCKERCONFIG names; then {again}",
        ),
        (
            "",
            "Renew the login for {host} in the file that REGISTRY_AUTH_DOCKERCONFIG names, "
            "which is read anew; then {again}",
        ),
    ),
    "push": (
        (
            r"docker engine does not answer|docker engine's answer",
            "Start the engine, or check DOCKER_HOST; then {again}",
        ),
        (
            r"http response to https client|wrong version number|record layer failure",
            "The registry speaks plain http: list {host} in REGISTRY_INSECURE, and in insecure-registries of "
            "the engine; then {again}",
        ),
        (
            r"x509|certificate",
            "Give its authority, or its own certificate, to the platform (REGISTRY_CA_BUNDLE) and to the "
            "engine (/etc/docker/certs.d/{host}/ca.crt); then {again}",
        ),
        (
            r"took longer than|no progress",
            "Raise REGISTRY_PUSH_TIMEOUT if the image is large, or see what holds the registry up. "
            "What arrived is not sent again; {again}",
        ),
        (
            "",
            "Check that the registry runs, that REGISTRY names it, and the network between it and the "
            "engine. What arrived is not sent again; {again}",
        ),
    ),
    "remote": (
        (INNER, NAME_IT + "; then {again}"),
        (r"no space left|insufficient storage|quota|\b507\b", "Make room at the registry; then {again}"),
        (r"toomanyrequests|\b429\b", "The registry limits how much it takes: wait a while; then {again}"),
        (
            r"too large|\b413\b",
            "Raise the largest size of a request at the registry or the proxy before it, or make the image "
            "smaller; then {again}",
        ),
        (
            r"denied|insufficient[_ ]scope|\b403\b",
            "Give the account of REGISTRY_AUTH_DOCKERCONFIG the right to push to {repository} and to pull "
            "from it, or renew its login: some registries deny what has expired; then {again}",
        ),
        (
            r"Docker manifest list",
            "The registry takes no image of several platforms: update it, or let REGISTRY_ARCH_TARGETS name "
            "one platform; then {again}",
        ),
        (
            r"\bredirect",
            "Name the registry where that redirect leads, with a login of its own; then {again}",
        ),
        (
            r"name[_ ](unknown|invalid)|\b404\b",
            "Check that {repository} exists at the registry, and REGISTRY; then {again}",
        ),
        (
            r"is built for",
            "Let every stage of the Dockerfile build for the target platform; then redeploy.",
        ),
        ("", "See the registry's own log; once it is well, {again}"),
    ),
}


def advice(error: RegistryError, ref: Reference, slug: str) -> str:
    """`slug` names the server whose push can be resumed, "" where there is no push."""
    again = f"resume: manage.py redeploy {slug} --mode resume --wait" if slug else "redeploy."
    known = _ADVICE[error.kind]
    words = next(words for pattern, words in known if re.search(pattern, error.message, re.IGNORECASE))
    return words.format(host=ref.host, repository=ref.endpoint, again=again)


def of_a_team(error: RegistryError, way: Way, host: str) -> str:
    """For an image that a team pulls as itself, and that its registry did not give."""
    if INNER in error.message:
        return NAME_IT.format(host=host) + "."
    if not error.keeps_it_back:
        return (
            f"Check that the platform reaches {host}. What the engine has already, and every team may have, "
            "can be listed in REGISTRY_SHARED_PREFIXES by an administrator."
        )
    if way is Way.TEAM:
        return f"Check its name, and the login for {host} that the team gave (Teams, Registry logins)."
    return (
        f"Check its name. It is asked for without a login: give the team one for {host} (Teams, Registry "
        "logins), or ask an administrator to list the image in REGISTRY_SHARED_PREFIXES."
    )
