"""One code for each cause: told in a sentence, set by somebody, and heard in one place."""

from __future__ import annotations

import ast
import errno

import pytest

from registry import reasons
from registry.engine_errors import from_engine
from registry.errors import from_response, unreachable
from registry.reasons import SENTENCES, Reason
from tests import rooms

READERS = ("registry/reasons.py", "servers/runbooks/", "servers/deploying/registry_advice.py")
# Shared words, that one table alone knows. Migrations hold those of former versions.
SHARED = ("no space left", "enospc", "toomanyrequests", "x509", "exec format error", "insufficient storage")
TELL = ("servers/runbooks/", "servers/migrations/", "hosting/read_only.py")


def _set_in(tree: ast.Module) -> set[str]:
    found = (n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name))
    return {node.attr for node in found if ast.unparse(node.value) == "Reason"}


@pytest.mark.slow  # reads all of the code
def test_every_reason_has_a_sentence_and_is_set_somewhere() -> None:
    assert set(SENTENCES) == set(Reason)
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())
    written = set().union(*(_set_in(t) for name, t in rooms.sources() if not name.startswith(READERS)))
    assert {reason.name for reason in Reason} - written == set()


@pytest.mark.slow  # reads all of the code
def test_no_module_but_the_table_knows_the_words_that_programs_share() -> None:
    knowing = {
        (name, word)
        for name, tree in rooms.sources()
        if not name.startswith((*TELL, "registry/reasons.py"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for word in SHARED
        if word in node.value.lower()
    }
    ours = {
        # Sentences, and what others call it in code: a code of the specification, an error number, a module.
        ("registry/errors.py", "no space left"),
        ("registry/errors.py", "toomanyrequests"),
        ("hosting/runtimes/docker.py", "exec format error"),
        ("hosting/runtimes/kubernetes_manifests.py", "exec format error"),
        ("servers/front/bodies.py", "enospc"),
        ("mcphost/checks.py", "x509"),
    }
    assert knowing - ours == set()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("write /x: no space left on device", Reason.FULL),
        ("npm error code ENOSPC", Reason.FULL),
        ("tls: failed to verify certificate: x509: unknown authority", Reason.UNTRUSTED),
        ("http: server gave HTTP response to HTTPS client", Reason.PLAIN_HTTP),
        ("429 Too Many Requests", Reason.RATE_LIMITED),
        ("dial tcp: lookup registry.example.org: no such host", Reason.UNREACHABLE),
        ("exec /bin/sh: exec format error", Reason.WRONG_PLATFORM),
        ("the moon is in the wrong phase", None),
    ],
)
def test_what_programs_say(text: str, reason: Reason | None) -> None:
    assert reasons.reason_in(text) is reason


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, b"", Reason.UNAUTHENTICATED),
        (403, b'{"errors": [{"code": "DENIED"}]}', Reason.DENIED),
        (403, b"", Reason.DENIED),
        (403, b'{"errors": [{"code": "DENIED", "message": "quota exceeded"}]}', Reason.FULL),
        (404, b'{"errors": [{"code": "NAME_UNKNOWN"}]}', Reason.NOT_FOUND),
        (413, b"", Reason.TOO_LARGE),
        (429, b"quota exceeded", Reason.RATE_LIMITED),
        (400, b'{"errors": [{"code": "TOOMANYREQUESTS"}]}', Reason.RATE_LIMITED),
        (503, b"", Reason.UNAVAILABLE),
        (507, b"", Reason.FULL),
        (415, b"", None),
    ],
)
def test_what_a_registry_answers(status: int, body: bytes, reason: Reason | None) -> None:
    assert from_response(status, {}, body, "PUT manifest").reason is reason


def test_an_engine_and_a_transport() -> None:
    assert from_engine("received unexpected HTTP status: 413 Request Entity Too Large").reason == "too_large"
    assert from_engine("denied: requested access to the resource is denied").reason == "denied"
    assert unreachable("GET /v2/", OSError("certificate verify failed")).reason == "untrusted"
    assert unreachable("GET /v2/", OSError("[SSL: WRONG_VERSION_NUMBER] wrong version number")).reason == (
        "plain_http"
    )
    assert unreachable("GET /v2/", ConnectionResetError()).reason == "unreachable"


def test_a_full_disk() -> None:
    assert reasons.is_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not reasons.is_full(OSError(errno.EACCES, "Permission denied"))
