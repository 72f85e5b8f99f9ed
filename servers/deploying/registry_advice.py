"""Hints for a failed push, or another failed request to a registry. Pure."""

from __future__ import annotations

from registry.errors import RegistryError
from registry.pull_rights import Way
from registry.reasons import Reason
from registry.reference import Reference

NAME_IT = (
    "If images of {host} may be asked for there, an administrator adds {host} to REGISTRY_PRIVATE_HOSTS and "
    "restarts the platform"
)
_RENEW = (
    "Renew the login for {host} in the file that REGISTRY_AUTH_DOCKERCONFIG names, which is read anew; then "
    "{again}"
)
_LOOK = (
    "Check that the registry runs, that REGISTRY names it, and the network between it and the engine. What "
    "arrived is not sent again; {again}"
)
# For errors without a reason of _BY_REASON. {again} says how to continue.
_BY_KIND = {
    "tag": "The engine no longer holds what was built: redeploy with mode rebuild.",
    "auth_expired": _RENEW,
    "push": _LOOK,
    "remote": "See the registry's own log; once it is well, {again}",
}
_BY_REASON: dict[tuple[str, Reason], str] = {
    ("auth_expired", Reason.BROKEN_REFRESH): "Run REGISTRY_REFRESH_COMMAND by hand, with "
    "REGISTRY_HOST={host}, to see why it fails; then {again}",
    ("auth_expired", Reason.BROKEN_HELPER): "Run the helper by hand (echo {host} | docker-credential-NAME "
    "get) to see why it fails; then {again}",
    ("auth_expired", Reason.NO_CREDENTIALS): "Add a login for {host} to the file that "
    "REGISTRY_AUTH_DOCKERCONFIG names; then {again}",
    ("auth_expired", Reason.BAD_CREDENTIALS_FILE): "Correct the file that REGISTRY_AUTH_DOCKERCONFIG names; "
    "then {again}",
    ("push", Reason.ENGINE_UNAVAILABLE): "Start the engine, or check DOCKER_HOST; then {again}",
    ("push", Reason.PLAIN_HTTP): "The registry speaks plain http: list {host} in REGISTRY_INSECURE, and in "
    "insecure-registries of the engine; then {again}",
    ("push", Reason.UNTRUSTED): "Give its authority, or its own certificate, to the platform "
    "(REGISTRY_CA_BUNDLE) and to the engine (/etc/docker/certs.d/{host}/ca.crt); then {again}",
    ("push", Reason.STALLED): "Raise REGISTRY_PUSH_TIMEOUT if the image is large, or see what holds the "
    "registry up. What arrived is not sent again; {again}",
    ("remote", Reason.PRIVATE_ADDRESS): NAME_IT + "; then {again}",
    ("remote", Reason.FULL): "Make room at the registry; then {again}",
    ("remote", Reason.RATE_LIMITED): "The registry limits how much it takes: wait a while; then {again}",
    ("remote", Reason.TOO_LARGE): "Raise the largest size of a request at the registry or the proxy before "
    "it, or make the image smaller; then {again}",
    ("remote", Reason.DENIED): "Give the account of REGISTRY_AUTH_DOCKERCONFIG the right to push to "
    "{repository} and to pull from it, or renew its login: some registries deny what has expired; then "
    "{again}",
    ("remote", Reason.UNSUPPORTED): "The registry takes no image of several platforms: update it, or let "
    "REGISTRY_ARCH_TARGETS name one platform; then {again}",
    ("remote", Reason.REDIRECTED): "Name the registry where that redirect leads, with a login of its own; "
    "then {again}",
    (
        "remote",
        Reason.NOT_FOUND,
    ): "Check that {repository} exists at the registry, and REGISTRY; then {again}",
    ("remote", Reason.WRONG_PLATFORM): "Let every stage of the Dockerfile build for the target platform; "
    "then redeploy.",
}


def advice(error: RegistryError, ref: Reference, slug: str) -> str:
    """Returns the hint for the platform's own work at a registry.

    `slug` is that of the server whose push can be resumed; "" if there is no push.
    """
    again = f"resume: manage.py redeploy {slug} --mode resume --wait" if slug else "redeploy."
    told = _BY_REASON.get((error.kind, error.reason)) if error.reason else None
    words = told or _BY_KIND[error.kind]
    return words.format(host=ref.host, repository=ref.endpoint, again=again)


def of_a_team(error: RegistryError, way: Way, host: str) -> str:
    """Returns the hint for an image that a team pulls with its own login, or anonymously."""
    if error.reason is Reason.PRIVATE_ADDRESS:
        return NAME_IT.format(host=host) + "."
    if not error.may_need_login:
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
