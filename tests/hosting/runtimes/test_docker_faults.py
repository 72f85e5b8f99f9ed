from __future__ import annotations

import pytest
import requests
from docker.errors import APIError

from hosting.errors import RuntimeFault
from hosting.runtimes.docker_faults import PortTaken, from_text, of_a_pull, translated
from hosting.runtimes.exit_words import describe_exit


@pytest.mark.parametrize(
    ("text", "words", "permanent"),
    [
        (
            "standard_init_linux.go:228: exec user process caused: exec format error",
            "kind of processor",
            True,
        ),
        (
            'OCI runtime create failed: exec: "nope": executable file not found in $PATH: unknown',
            "command",
            True,
        ),
        ("unauthorized: authentication required", "does not let", True),
        (
            "pull access denied for x, repository does not exist or may require 'docker login'",
            "not let",
            True,
        ),
        ("manifest for 127.0.0.1:5000/x@sha256:1 not found: manifest unknown", "not there", True),
        ("network hosted not found", "network does not exist", True),
        (
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            "limits",
            True,
        ),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full", False),
        ("something else", "refused: something else", True),
    ],
)
def test_what_the_engine_says_is_told_with_what_to_do(text: str, words: str, permanent: bool) -> None:
    fault = from_text(text)
    assert words in fault.message
    assert fault.hint
    assert fault.permanent is permanent
    assert fault.kind == "runtime"


@pytest.mark.parametrize(
    ("text", "words", "permanent"),
    [
        ("http2: server sent GOAWAY and closed the connection; LastStreamID=401", "broken off", False),
        ("stream error: stream ID 403; INTERNAL_ERROR; received from peer", "broken off", False),
        ("unexpected EOF", "could not be pulled", False),
        ('Get "https://r.example/v2/": net/http: TLS handshake timeout', "could not be pulled", False),
        ("read tcp 10.0.0.1:443: read: connection reset by peer", "could not be pulled", False),
        ("received unexpected HTTP status: 524 <none>", "could not be pulled", False),
        ("toomanyrequests: slow down", "asks for patience", False),
        ("unauthenticated: User cannot be authenticated with the token provided.", "does not let", True),
        ("denied: denied", "does not let", True),
        ("manifest for r.example/x:1 not found: manifest unknown", "not there", True),
        ("something else", "refused: something else", True),
    ],
)
def test_what_the_engine_says_of_a_pull(text: str, words: str, permanent: bool) -> None:
    """In its stream, after HTTP 200: nothing else tells whether it passes."""
    fault = of_a_pull(text)
    assert words in fault.message
    assert fault.hint
    assert (fault.kind, fault.permanent) == ("runtime", permanent)


@pytest.mark.parametrize(
    "text", ["Bind for 127.0.0.1:80 failed: port is already allocated", "Address already in use"]
)
def test_a_taken_port_is_known(text: str) -> None:
    assert isinstance(from_text(text), PortTaken)


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("x"), requests.ReadTimeout("x"), ConnectionResetError()]
)
def test_an_engine_that_is_away_is_no_permanent_fault(error: Exception) -> None:
    with pytest.raises(RuntimeFault, match="does not answer") as caught, translated():
        raise error
    assert caught.value.permanent is False


def test_a_socket_that_may_not_be_used_is_told_apart() -> None:
    with pytest.raises(RuntimeFault, match="may not use") as caught, translated():
        raise requests.ConnectionError("('Connection aborted.', PermissionError(13, 'Permission denied'))")
    assert "group" in caught.value.hint


def test_a_refusal_keeps_the_engines_words() -> None:
    with pytest.raises(RuntimeFault, match="odd thing"), translated():
        raise APIError("400", explanation="odd thing")


def test_exit_codes_are_told_in_words() -> None:
    assert "SIGSEGV" in describe_exit(-11)
    assert "SIGSEGV" in describe_exit(139)
    assert "memory" in describe_exit(137)
    assert describe_exit(3) == "It exited with code 3."
    assert "not known" in describe_exit(None)
