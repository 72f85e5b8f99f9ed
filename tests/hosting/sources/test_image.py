from __future__ import annotations

from pathlib import Path

import pytest

from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.sources.base import ExistingImage
from hosting.sources.image import ImageSource

DIGEST = "sha256:" + "a1" * 32
OTHER = "sha256:" + "b2" * 32


def fetch(reference: str, answer: str = DIGEST) -> ExistingImage:
    source = ImageSource(reference, lambda _: answer)
    return source.fetch(Path("unused"), deadline=Deadline.of(5), log=lambda _: None)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:1", "docker.io/library/busybox"),
        ("team/server:1.2", "docker.io/team/server"),
        ("ghcr.io/team/server", "ghcr.io/team/server"),
        ("127.0.0.1:5000/server:v1", "127.0.0.1:5000/server"),
        ("localhost/a/b/c:x", "localhost/a/b/c"),
        (f"host.example/server:v1@{DIGEST}", "host.example/server"),
    ],
)
def test_a_tag_is_resolved_and_the_digest_kept(reference: str, name: str) -> None:
    image = fetch(reference)

    assert image == ExistingImage(f"{name}@{DIGEST}", DIGEST)
    assert image.revision == DIGEST


@pytest.mark.parametrize(
    "reference", ["", "-x", "a b", "Host/UPPER", "x@sha256:12", "https://host/x", "a/../b", "x:"]
)
def test_what_is_not_a_reference(reference: str) -> None:
    with pytest.raises(SourceError, match="is not an image reference"):
        fetch(reference)


@pytest.mark.parametrize("answer", ["", "latest", OTHER])
def test_an_answer_that_does_not_fit(answer: str) -> None:
    with pytest.raises(SourceError, match="answered another digest"):
        fetch(f"host.example/server@{DIGEST}", answer)
