from __future__ import annotations

import pytest

from hosting.builder import build_errors
from hosting.builder.progress import Progress

# Written by the CLI of Docker 20.10 and by buildx 0.13.
CLASSIC = """\
#1 [internal] load build definition from Dockerfile
#1 sha256:7f1e0d0a5c4b3a29181716151413121110090807060504030201aabbccddeeff
#1 transferring dockerfile: 142B 0.0s done
#1 DONE 0.0s

#3 [internal] load metadata for docker.io/local/busybox:amd64
#3 sha256:7f1e0d0a5c4b3a29181716151413121110090807060504030201aabbccddeeff
#3 DONE 0.0s

#4 [1/3] FROM docker.io/local/busybox:amd64
#4 sha256:7f1e0d0a5c4b3a29181716151413121110090807060504030201aabbccddeeff
#4 CACHED

#6 [2/3] RUN --mount=type=cache,target=/x PIP_CERT=/x echo hello; sleep 1
#6 sha256:7f1e0d0a5c4b3a29181716151413121110090807060504030201aabbccddeeff
#6 0.312 hello
#6 DONE 1.4s

#7 [3/3] RUN echo broken; exit 3
#7 0.211 broken
"""
FAILED = """\
#7 ERROR: executor failed running [/bin/sh -c echo broken; exit 3]: exit code: 3
------
 > [3/3] RUN echo broken; exit 3:
------
executor failed running [/bin/sh -c echo broken; exit 3]: exit code: 3
"""


def fed(text: str) -> tuple[Progress, list[str], list[tuple[int, int]]]:
    lines: list[str] = []
    steps: list[tuple[int, int]] = []
    progress = Progress(lines.append, lambda done, known: steps.append((done, known)))
    for line in text.splitlines():
        progress.feed(line)
    return progress, lines, steps


def test_what_a_person_wants_to_see() -> None:
    _, lines, steps = fed(CLASSIC)

    assert lines == [
        "Looking up base image docker.io/local/busybox:amd64",
        "Step 1/3: FROM docker.io/local/busybox:amd64",
        "  cached",
        "Step 2/3: RUN echo hello; sleep 1",
        "hello",
        "Step 3/3: RUN echo broken; exit 3",
        "broken",
    ]
    assert steps == [(1, 3), (2, 3)]


def test_the_failing_step_and_its_last_lines() -> None:
    progress, _, _ = fed(CLASSIC + FAILED)

    error = build_errors.translate(progress, 1, "linux/amd64")

    assert (
        error.message
        == "The step [3/3] RUN echo broken; exit 3 ended with exit code 3 (for linux/amd64).\nbroken"
    )
    assert error.details["lines"] == ["broken"]


def test_stages_are_counted_together() -> None:
    _, lines, steps = fed("#1 [build 1/2] FROM x\n#2 [stage-1 1/1] FROM y\n#1 DONE 0.1s\n#2 CACHED\n")

    assert lines == ["Step 1/2 of build: FROM x", "Step 1/1: FROM y", "  cached"]
    assert steps == [(1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("said", "message", "permanent"),
    [
        (
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: "
            "dockerfile parse error line 2: unknown instruction: RUUN",
            "The Dockerfile cannot be read: dockerfile parse error line 2: unknown instruction: RUUN.",
            True,
        ),
        (
            "ERROR: failed to solve: rpc error: code = Unknown desc = the Dockerfile cannot be empty",
            "The build failed: the Dockerfile cannot be empty.",
            True,
        ),
        (
            "error during connect: Post http://%2Fx.sock/build: EOF",
            "The Docker Engine does not answer.",
            False,
        ),
        (
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            "The Docker Engine does not answer.",
            False,
        ),
        (
            "failed to copy files: write /var/lib/x: no space left on device",
            "The disk filled up during the build.",
            False,
        ),
        (
            "#3 [internal] load metadata for host.example/x:1\n#3 ERROR: host.example/x:1: not found",
            "The base image host.example/x:1 cannot be pulled: host.example/x:1: not found.",
            True,
        ),
        (
            "#3 [internal] load metadata for host.example/x:1\n"
            "#3 ERROR: failed to do request: Head: dial tcp: connect: connection refused",
            "The base image host.example/x:1 cannot be pulled: failed to do request: Head: dial tcp: "
            "connect: connection refused.",
            False,
        ),
        (
            "#3 [internal] load metadata for host.example/x:1\n"
            "#3 ERROR: failed to do request: Head: http2: server sent GOAWAY and closed the connection",
            "The base image host.example/x:1 cannot be pulled: failed to do request: Head: http2: server "
            "sent GOAWAY and closed the connection.",
            False,
        ),
        (
            "#4 [1/2] FROM host.example/x:1@sha256:0a\n"
            "#4 ERROR: failed to copy: stream error: stream ID 5; INTERNAL_ERROR; received from peer",
            "The base image host.example/x:1@sha256:0a cannot be pulled: failed to copy: stream error: "
            "stream ID 5; INTERNAL_ERROR; received from peer.",
            False,
        ),
        (
            "#4 FROM host.example/x:1\n#4 ERROR: unexpected status: 524 <none>",
            "The base image host.example/x:1 cannot be pulled: unexpected status: 524 <none>.",
            False,
        ),
        (
            '#5 [2/2] RUN psql -c "SELECT 1 FROM host"\n#5 ERROR: exit code: 1',
            'The step [2/2] RUN psql -c "SELECT 1 FROM host" ended with exit code 1 (for linux/arm64).',
            True,
        ),
        (
            "#5 [2/2] RUN x\n#5 0.1 exec /bin/sh: exec format error\n#5 ERROR: exit code: 1",
            "The build for linux/arm64 ran a program of another architecture.",
            True,
        ),
        (
            "#5 [2/2] RUN yarn install --frozen-lockfile\n#5 0.1 error Your lockfile needs to be updated, "
            "but yarn was run with `--frozen-lockfile`.\n#5 ERROR: exit code: 1",
            "yarn.lock is out of step with package.json.\n"
            "The step [2/2] RUN yarn install --frozen-lockfile ended with exit code 1 (for linux/arm64).",
            True,
        ),
        (
            "#5 [build 5/8] RUN --mount=type=cache,id=a,target=/root/.cache/uv UV_LINK_MODE=copy A='b c' "
            "/opt/tools/bin/uv sync --frozen\n#5 0.1 odd\n#5 ERROR: exit code: 2",
            "The step [build 5/8] RUN /opt/tools/bin/uv sync --frozen ended with exit code 2 "
            "(for linux/arm64).\nodd",
            True,
        ),
        ("", "The build failed: exit code 17.", True),
    ],
)
def test_why_a_build_failed(said: str, message: str, permanent: bool) -> None:
    progress, _, _ = fed(said)

    error = build_errors.translate(progress, 17, "linux/arm64")

    assert (error.message, error.permanent, error.kind) == (message, permanent, "build")
