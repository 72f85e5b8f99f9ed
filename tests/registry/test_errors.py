"""What engines and registries said under real faults, and how each of it is to be understood."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
import urllib3

from registry.engine import PushLog, sort_fault
from registry.engine_errors import from_engine
from registry.errors import RegistryError, from_response, read_retry_after, unreachable
from registry.progress import PushProgress

FIXTURES = Path(__file__).parent / "fixtures"
CLASSIC, CONTAINERD = ("engine-20.10", "engine-26.1"), ("engine-26.1-containerd",)
EVERYWHERE = (*CLASSIC, *CONTAINERD)


class Expected(NamedTuple):
    why: str
    kind: str = "pushed"
    permanent: bool = False


PUSHED = Expected("the engine got over it by itself")
REJECTED = Expected("the credential is rejected: a refresh may help", "auth_expired")
BUSY = Expected("the registry says that it is overloaded: it may pass", "remote")
BROKEN = Expected("the registry had an inner error: it may pass", "remote")
CUT = Expected("the connection broke: the next may hold", "push")
DENIED = Expected("the account is known but may not push: nothing that we do changes it", "remote", True)
TOO_LARGE = Expected("the registry takes no such large layer, now or later", "remote", True)
NO_IMAGE = Expected("the engine holds no image of this name", "tag", True)
BAD_NAME = Expected("the engine takes no such name", "tag", True)

# What the containerd store does otherwise: it does not ping, sends a blob with one PUT and no PATCH, tries
# once more after a 429, and asks its token server again in the middle of a push.
BY_CASE: dict[str, dict[tuple[str, ...], Expected]] = {
    "401-midway-put": {CLASSIC: REJECTED},
    "413-patch": {CLASSIC: TOO_LARGE, CONTAINERD: PUSHED},
    "429-manifest": {EVERYWHERE: BUSY},
    "429-ping": {EVERYWHERE: PUSHED},
    "429-post": {EVERYWHERE: BUSY},
    "429-post-once": {CLASSIC: BUSY, CONTAINERD: PUSHED},
    "500-manifest": {EVERYWHERE: BROKEN},
    "500-ping": {EVERYWHERE: PUSHED},
    "500-plain-manifest": {EVERYWHERE: BROKEN},
    "500-post-upload": {EVERYWHERE: BROKEN},
    "500-put-blob": {EVERYWHERE: BROKEN},
    "eof-ping": {CLASSIC: CUT, CONTAINERD: PUSHED},
    "hang-patch-client-timeout": {CLASSIC: Expected("the engine fell silent: it may pass", "push")},
    "hang-ping": {CLASSIC: CUT, CONTAINERD: PUSHED},
    "htpasswd-none": {EVERYWHERE: REJECTED},
    "htpasswd-wrong": {EVERYWHERE: REJECTED},
    "identitytoken-unknown": {EVERYWHERE: REJECTED},
    "invalid-name": {EVERYWHERE: BAD_NAME},
    "no-such-image": {EVERYWHERE: NO_IMAGE},
    "ok-again-layer-exists": {EVERYWHERE: PUSHED},
    "ok-htpasswd": {EVERYWHERE: PUSHED},
    "ok-token": {EVERYWHERE: PUSHED},
    "refused": {EVERYWHERE: CUT},
    "reset-manifest": {EVERYWHERE: CUT},
    "reset-once-patch": {EVERYWHERE: PUSHED},
    "reset-patch": {CLASSIC: CUT},
    "reset-ping": {CLASSIC: CUT, CONTAINERD: PUSHED},
    "reset-put": {CONTAINERD: CUT},
    "token-denied-scope": {EVERYWHERE: DENIED},
    "token-expired-jwt": {EVERYWHERE: REJECTED},
    "token-none": {EVERYWHERE: REJECTED},
    "token-refreshed-midway": {EVERYWHERE: PUSHED},
    "token-revoked-midway": {CLASSIC: REJECTED, CONTAINERD: PUSHED},
    "token-server-429": {EVERYWHERE: BUSY},
    "token-server-500": {EVERYWHERE: BROKEN},
    "token-wrong": {EVERYWHERE: REJECTED},
}


def _expected(path: Path) -> Expected:
    by_engine = BY_CASE[path.stem.removeprefix("push-")]
    return next(expected for engines, expected in by_engine.items() if path.parent.name in engines)


def _captured() -> list[Path]:
    return sorted(FIXTURES.glob("*/push-*.jsonl"))


def _replay(path: Path) -> PushLog:
    log = PushLog(line=lambda _: None, sent=PushProgress(None))
    for text in path.read_text().splitlines():
        message = json.loads(text)
        if message.get("_raised"):
            raise _as_raised(message["_raised"])
        log.take(message)
    return log


def _as_raised(text: str) -> RegistryError:
    if "ReadTimeoutError" in text:
        pool = urllib3.HTTPConnectionPool("localhost")
        return sort_fault(urllib3.exceptions.ReadTimeoutError(pool, "/", "Read timed out."))
    explanation = re.search(r'\("(.*)"\)$', text)
    assert explanation
    return from_engine(explanation[1])


@pytest.mark.parametrize("path", _captured(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_captured_push_streams(path: Path) -> None:
    expected = _expected(path)
    if expected.kind == "pushed":
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", _replay(path).digest), expected.why
        return
    with pytest.raises(RegistryError) as raised:
        _replay(path)
    assert (raised.value.kind, raised.value.permanent) == (expected.kind, expected.permanent), expected.why
    assert raised.value.auth_expired == (expected.kind == "auth_expired")


def test_every_expectation_has_its_capture() -> None:
    assert {path.stem.removeprefix("push-") for path in _captured()} == set(BY_CASE)


def test_engine_retries_become_one_line_for_each_countdown() -> None:
    lines: list[str] = []
    log = PushLog(line=lines.append, sent=PushProgress(None))
    for text in (FIXTURES / "engine-20.10/push-reset-once-patch.jsonl").read_text().splitlines():
        log.take(json.loads(text))
    assert lines == ["54a76d324573: Retrying in 5 seconds"]


@pytest.mark.parametrize(
    ("text", "kind", "permanent"),
    [
        (
            "denied: Your authorization token has expired. Reauthenticate and try again.",
            "auth_expired",
            False,
        ),
        ("unauthorized: project acme not found", "auth_expired", False),
        ("denied: permission_denied: write_package", "remote", True),
        ("name unknown: repository name not known to registry", "remote", True),
        ("manifest invalid: manifest invalid", "remote", True),
        ("manifest blob unknown: blob unknown to registry", "remote", False),
        ("blob upload unknown: blob upload unknown to registry", "remote", False),
        ("unavailable: try later", "remote", False),
        ("unknown: unknown error", "remote", False),
        ("write /var/lib/registry/x: no space left on device", "remote", True),
        ("quota exceeded for project", "remote", True),
        ("toomanyrequests: Quota exceeded for requests per minute", "remote", False),
        ('Get "https://r.example/v2/": x509: certificate signed by unknown authority', "push", True),
        ('Get "https://r.example/v2/": http: server gave HTTP response to HTTPS client', "push", True),
        ('Get "https://r.example/v2/": dial tcp: lookup r.example: no such host', "push", False),
        ('Get "https://r.example/v2/": net/http: TLS handshake timeout', "push", False),
        ('Patch "https://r.example/v2/": write: broken pipe', "push", False),
        ("unexpected EOF", "push", False),
        ("the cat sat on the router", "remote", True),
        # What ends an HTTP/2 connection or a stream of it, with numbers that are no statuses
        (
            "http2: server sent GOAWAY and closed the connection; LastStreamID=401, ErrCode=NO_ERROR, "
            'debug=""',
            "push",
            False,
        ),
        (
            "http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=ENHANCE_YOUR_CALM",
            "push",
            False,
        ),
        (
            'Put "https://r.example/v2/x/blobs/uploads/1": stream error: stream ID 403; INTERNAL_ERROR; '
            "received from peer",
            "push",
            False,
        ),
        ("failed to copy: stream error: stream ID 413; PROTOCOL_ERROR", "push", False),
        ("stream error: stream ID 5; REFUSED_STREAM", "push", False),
        ("http2: client connection lost", "push", False),
        ("http2: client connection force closed via ClientConn.Close", "push", False),
        (
            "http2: Transport: cannot retry err [http2: Transport received Server's graceful shutdown "
            "GOAWAY] after Request.Body was written; define Request.GetBody to avoid this error",
            "push",
            False,
        ),
        ("http2: timeout awaiting response headers", "push", False),
        (
            'rpc error: code = Unavailable desc = closing transport due to: connection error: desc = "error '
            'reading from server: EOF", received prior goaway: code: NO_ERROR',
            "push",
            False,
        ),
        (
            "rpc error: code = Internal desc = stream terminated by RST_STREAM with error code: 2",
            "push",
            False,
        ),
        (
            "net/http: HTTP/1.x transport connection broken: write tcp: write: connection timed out",
            "push",
            False,
        ),
        ("http: server closed idle connection", "push", False),
        ("local error: tls: bad record MAC", "push", False),
        ("short read: expected 100 bytes but got 20: unexpected EOF", "push", False),
        ("dial tcp 10.0.0.1:443: connect: host is down", "push", False),
        (
            "read tcp 10.0.0.1:443: wsarecv: An existing connection was forcibly closed by the remote host.",
            "push",
            False,
        ),
        # Statuses of content delivery networks
        *(
            (f"received unexpected HTTP status: {status} <none>", "remote", False)
            for status in (425, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530)
        ),
        ("received unexpected HTTP status: 501 Not Implemented", "remote", True),
        # What means that a credential is not good any more
        ("unauthenticated: User cannot be authenticated with the token provided.", "auth_expired", False),
        (
            "unexpected status from PUT request to https://r.example/v2/x/blobs/uploads/1: 403 Server failed "
            "to authenticate the request.",
            "auth_expired",
            False,
        ),
        ("denied: The security token included in the request is expired", "auth_expired", False),
        ("denied: ExpiredTokenException", "auth_expired", False),
        ("denied: token expired", "auth_expired", False),
        ("denied: The access token is no longer valid", "auth_expired", False),
        ("denied: your credentials have been revoked", "auth_expired", False),
        ("denied: Bad credentials", "auth_expired", False),
        ("error getting credentials: jwt expired", "auth_expired", False),
        (
            "failed to authorize: failed to fetch oauth token: 400 Bad Request: invalid_grant",
            "auth_expired",
            False,
        ),
        ("x509: certificate has expired or is not yet valid", "push", True),
        # What limits
        ("denied: too many requests", "remote", False),
        ("error: rateLimitExceeded", "remote", False),
    ],
)
def test_engine_text(text: str, kind: str, permanent: bool) -> None:
    error = from_engine(text)
    assert (error.kind, error.permanent, error.message) == (kind, permanent, text)


@pytest.mark.parametrize(
    ("text", "perhaps"),
    [
        ("denied: denied", True),
        ("denied: access forbidden", True),
        ("denied: requested access to the resource is denied", True),
        ("unexpected status: 403 Forbidden", True),
        ("server message: insufficient_scope: authorization failed", False),
        ("name unknown: repository name not known to registry", False),
        ("denied: your token has expired", False),
    ],
)
def test_a_denial_that_may_mean_an_expired_login(text: str, perhaps: bool) -> None:
    assert from_engine(text).perhaps_expired is perhaps


@pytest.mark.parametrize("name", ["unauthorized", "denied", "eof", "v500", "429-proxy", "quota", "timeout"])
def test_names_in_addresses_say_nothing(name: str) -> None:
    """The reason counts, not what somebody called a repository."""
    text = f'Put "https://r.example:5000/v2/{name}/manifests/{name}": the cat sat on r.example:5000/{name}'
    assert (from_engine(text).kind, from_engine(text).permanent) == ("remote", True)


@pytest.mark.parametrize(
    ("status", "body", "kind", "permanent"),
    [
        (
            401,
            b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
            "auth_expired",
            False,
        ),
        (403, b'{"errors":[{"code":"DENIED","message":"Your token has expired"}]}', "auth_expired", False),
        (403, b'{"errors":[{"code":"DENIED","message":"no"}]}', "remote", True),
        (404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no"}]}', "remote", True),
        (400, b'{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}', "remote", True),
        (400, b'{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"again"}]}', "remote", False),
        (413, b"<html>", "remote", True),
        (500, b"write: no space left on device", "remote", True),
        (507, b"", "remote", True),
        (429, b"Quota exceeded for requests per minute", "remote", False),
        *((status, b"", "remote", False) for status in (408, 425, 429, 499, 500, 502, 503, 504, 599)),
        *((status, b"error code: 1", "remote", False) for status in range(520, 531)),
        *((status, b"", "remote", True) for status in (402, 404, 405, 409, 410, 451, 501, 505, 511)),
        *((status, b"", "auth_expired", False) for status in (401, 419, 440, 498)),
        (400, b'{"errors":[{"code":"DENIED","message":"ExpiredToken"}]}', "auth_expired", False),
        (
            400,
            b'{"error":"invalid_grant","error_description":"refresh token expired"}',
            "auth_expired",
            False,
        ),
        (403, b'{"errors":[{"code":"UNAUTHENTICATED"}]}', "auth_expired", False),
        (403, b'{"message":"The security token included in the request is expired"}', "auth_expired", False),
        (403, b'{"errors":[{"code":"DENIED","message":"not authenticated"}]}', "auth_expired", False),
        (403, b"your certificate has expired", "remote", True),
        (403, b"<html>this page has expired, quota</html>", "remote", True),
        (403, b'{"errors":[{"code":"DENIED","message":"rate limit exceeded"}]}', "remote", False),
        (403, b'{"errors":[{"code":"TOOMANYREQUESTS"}, {"code":"DENIED"}]}', "remote", False),
        (503, b"<html>quota</html>", "remote", False),
        (500, b'{"errors":null}', "remote", False),
        (404, b'{"errors":[null, {"message":"gone"}]}', "remote", True),
        (418, b"teapot", "remote", True),
        (500, b"\xff\xfe not json", "remote", False),
        (400, b'{"errors":"odd"}', "remote", True),
        (400, b"[" * 100_000, "remote", True),
    ],
)
def test_http_answers(status: int, body: bytes, kind: str, permanent: bool) -> None:
    error = from_response(status, {}, body, "Publishing")
    assert (error.kind, error.permanent, error.status) == (kind, permanent, status)
    assert error.message.startswith(f"Publishing: HTTP {status}")


def test_insufficient_scope_is_a_denial_and_no_expiry() -> None:
    headers = {"WWW-Authenticate": 'Bearer realm="https://t",error="insufficient_scope"'}
    body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
    error = from_response(401, headers, body, "Publishing")
    assert (error.kind, error.permanent) == ("remote", True)


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(403, False), (409, False), (413, False), (423, False), (507, False), (524, False),
     (401, False), (404, True), (501, True)],
)  # fmt: skip
def test_a_time_to_come_back_is_believed_of_odd_statuses_too(status: int, permanent: bool) -> None:
    error = from_response(status, {"Retry-After": "7"}, b"", "Publishing")
    assert (error.permanent, error.retry_after) == (permanent, None if permanent else 7.0)
    assert from_response(status, {"Retry-After": "soon"}, b"", "Publishing").retry_after is None


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ({"code": "MANIFEST_INVALID", "message": "invalid", "detail": "no index"},
         "MANIFEST_INVALID: invalid: no index"),
        ({"code": "MANIFEST_INVALID", "detail": {"why": ["a", 1]}}, 'MANIFEST_INVALID: {"why": ["a", 1]}'),
        ({"code": "UNAUTHORIZED", "message": "no", "detail": [{"Action": "pull"}]}, "UNAUTHORIZED: no"),
        ({"code": None, "message": "words only", "detail": None}, "words only"),
        ({"code": "X", "detail": "d" * 9_999}, "X: " + "d" * 299 + "…"),
        ({"code": "X", "detail": {"password": "hunter2hunter2"}}, 'X: {"password": "***"}'),
    ],
)  # fmt: skip
def test_the_detail_of_a_refusal_is_shown(error: dict[str, object], shown: str) -> None:
    body = json.dumps({"errors": [error]}).encode()
    assert from_response(400, {}, body, "Publishing").message == f"Publishing: HTTP 400 {shown}"
    assert from_response(400, {}, json.dumps({"errors": error}).encode(), "Publishing").message.endswith(
        shown
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("1e9", 300.0),
        ("nan", None),
        ("7, 9", 7.0),
        ("2.5", 2.5),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert read_retry_after(value) == seconds


def test_retry_after_takes_a_date() -> None:
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert read_retry_after("Wed, 21 Oct 2099 07:28:00 GMT") == 300.0


def test_a_wrong_certificate_is_permanent_and_a_refused_connection_is_not() -> None:
    certificate = requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    assert unreachable("Asking", certificate).permanent
    refused = unreachable(
        "Asking", requests.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
    )
    assert (refused.kind, refused.permanent) == ("push", False)
    assert refused.message == "Asking: Connection refused"


def test_messages_are_without_secrets() -> None:
    told = RegistryError("Get https://ci:hunter2hunter2@r.example/v2/: EOF").message
    assert told == "Get https://***@r.example/v2/: EOF"


def test_messages_hold_what_a_database_keeps() -> None:
    body = b'{"errors": [{"code": "UNKNOWN", "message": "half \\ud83d and \\u0000none"}]}'
    assert from_response(500, {}, body, "Asking").message == "Asking: HTTP 500 UNKNOWN: half ? and none"
    assert from_response(502, {}, b"\x1f\x8b\x00gz", "Asking").message == "Asking: HTTP 502"


def test_messages_are_bounded() -> None:
    assert len(RegistryError("x" * 1_000_000).message) <= 4_000
