"""Every failure of a registry tells the operator what to do, with the host and the command filled in."""

from __future__ import annotations

from typing import get_args

import pytest
from docker.errors import DockerException

from hosting.errors import UserError
from registry.engine import sort_fault
from registry.engine_errors import from_engine
from registry.errors import BadCredentialsFile, CredentialError, ErrorKind, RegistryError, failed_refresh
from registry.reasons import Reason
from registry.reference import Reference
from servers.deploying import registries
from servers.deploying.registry_advice import advice

TARGET = Reference.parse("registry.example.org:5000/team/notes:3-9f2c1ab")
RESUME = "manage.py redeploy notes --mode resume --wait"
REJECTED = from_engine("unauthorized: authentication required")


def _unrenewed(why: str, reason: Reason) -> RegistryError:
    return failed_refresh(REJECTED, CredentialError(why, reason))


@pytest.mark.parametrize("kind", get_args(ErrorKind))
@pytest.mark.parametrize("permanent", [True, False])
def test_whatever_fails_there_is_something_to_do(kind: ErrorKind, permanent: bool) -> None:
    words = advice(
        RegistryError("nobody has ever seen this", kind=kind, permanent=permanent), TARGET, "notes"
    )
    assert words
    assert "{" not in words
    assert RESUME in words or "mode rebuild" in words


@pytest.mark.parametrize(
    ("error", "does"),
    [
        (REJECTED, "Renew the login for registry.example.org:5000"),
        (_unrenewed("The refresh command /bin/renew failed with exit code 1.", Reason.BROKEN_REFRESH),
         "Run REGISTRY_REFRESH_COMMAND by hand, with REGISTRY_HOST=registry.example.org:5000"),
        (_unrenewed("The credential helper docker-credential-x is not on PATH.", Reason.BROKEN_HELPER),
         "echo registry.example.org:5000 | docker-credential-"),
        (_unrenewed("No credentials for registry.example.org:5000 are configured.", Reason.NO_CREDENTIALS),
         "Add a login for registry.example.org:5000"),
        (BadCredentialsFile("config.json is not valid JSON (line 1, column 2)."), "Correct the file"),
        (from_engine('Get "https://h/v2/": x509: certificate signed by unknown authority'),
         "REGISTRY_CA_BUNDLE"),
        (from_engine("Put: dial tcp 10.0.0.1:443: connect: connection refused"),
         "Check that the registry runs"),
        (RegistryError("The push took longer than 30 s.", kind="push", reason=Reason.STALLED),
         "REGISTRY_PUSH_TIMEOUT"),
        (sort_fault(DockerException("No such file")), "DOCKER_HOST"),
        (from_engine("denied: requested access to the resource is denied"),
         "the right to push to registry.example.org:5000/team/notes"),
        (from_engine("denied: denied"), "or renew its login"),
        (BadCredentialsFile("config.json is a Kubernetes SealedSecret: it must be"), "Correct the file"),
        (BadCredentialsFile("config.json names no login: it has neither"), "Correct the file"),
        (RegistryError("Nor does it take a Docker manifest list", reason=Reason.UNSUPPORTED), "one platform"),
        (RegistryError("HTTP 401 of https://y", reason=Reason.REDIRECTED), "where that redirect leads"),
        (from_engine("toomanyrequests: You have reached your limit"), "wait a while"),
        (from_engine("write /var/lib/registry: no space left on device"), "Make room at the registry"),
        (from_engine("received unexpected HTTP status: 413 Request Entity Too Large"), "largest size"),
        (from_engine("name unknown: repository name not known to registry"), "exists at the registry"),
        (from_engine("received unexpected HTTP status: 500 Internal Server Error"), "registry's own log"),
        (from_engine("No such image: mcphost/notes:3-linux-amd64"), "mode rebuild"),
    ],
)  # fmt: skip
def test_what_to_do(error: RegistryError, does: str) -> None:
    assert does in advice(error, TARGET, "notes")


def test_what_is_only_read_is_not_resumed() -> None:
    assert advice(REJECTED, TARGET, "").endswith("then redeploy.")


def test_the_operator_sees_what_failed_why_and_what_to_do() -> None:
    with pytest.raises(UserError) as raised, registries.faults("The push", TARGET, "notes"):
        raise REJECTED
    assert str(raised.value) == (
        "The push failed: unauthorized: authentication required. Renew the login for "
        "registry.example.org:5000 in the file that REGISTRY_AUTH_DOCKERCONFIG names, which is read anew; "
        "then resume: manage.py redeploy notes --mode resume --wait"
    )
    assert (raised.value.kind, raised.value.permanent) == ("auth_expired", False)
