"""Reads BuildKit's plain progress line by line: makes the build log and finds the step that failed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hosting.errors import BuildError
from hosting.process_group import LineSink

NUMBERED = re.compile(r"#(?P<number>\d+) (?P<text>.*)")
# The bounds keep the match linear for any name of a stage.
STEP = re.compile(r"\[(?P<stage>[^\]]{0,200}?)\s{0,9}(?P<step>\d{1,5})/(?P<steps>\d{1,5})\]\s+(?P<what>.*)")
UNNAMED = re.compile(r"stage-\d+")
# Mounts, and variables for package managers, in the steps of our own templates.
PLUMBING = re.compile(r"(?<!\S)(?:--mount=|(?:PIP_|SSL_|NODE_|npm_)\w+=)\S++\s+")
OUTPUT = re.compile(r"\d+\.\d+\s(?P<text>.*)")
DONE = re.compile(r"DONE (?P<seconds>[\d.]+)s")
# Digests, transfers and layers, which a reader of the log does not need.
NOISE = re.compile(
    r"sha256:[0-9a-f]{64}|transferring |resolve |extracting |exporting |writing image|naming to|importing|"
    r"unpacking to|sending tarball|importing to docker|\.\.\.$|preparing |DONE |resolving provenance",
    re.IGNORECASE,
)
PULLING = re.compile(r"^\[(?:\S+ )?internal\] load metadata for (?P<image>\S+)")
# The lines in which BuildKit (0.8 to 0.17) says that it reads an image. For COPY --from older versions do not
# load metadata; they have a vertex for the layers of the image.
READS = (
    PULLING,
    re.compile(r"^resolve image config for (?:docker-image://)?(?P<image>\S+)"),
    re.compile(r"^(?:\[[^\]]*\]\s+)?FROM (?P<image>\S+)"),
)
KEPT = 30


@dataclass
class Vertex:
    """One vertex (a numbered part) of a build: its name, its number as a step (0: it is none), its error, and
    the last lines of its output.
    """

    name: str = ""
    step: int = 0
    error: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))


class Progress:
    """Takes every line of `docker build --progress=plain`.

    `on_line` gets lines for the build log, `on_progress` the number of finished and of known steps. `failed`
    is the vertex that has ended the build, `tail` the last lines of the CLI itself. BuildKit names each image
    before it reads it, also an image that only the ONBUILD of another image names. `may_read` decides about
    each of them, and an image that it denies ends the build.
    """

    def __init__(
        self,
        on_line: LineSink,
        on_progress: Callable[[int, int], None] | None = None,
        *,
        may_read: Callable[[str], bool] = lambda image: True,
    ) -> None:
        self._may_read = may_read
        self.failed: Vertex | None = None
        self.tail: deque[str] = deque(maxlen=KEPT)
        self._on_line, self._on_progress = on_line, on_progress
        self._vertices: dict[str, Vertex] = {}
        self._steps: dict[str, int] = {}  # stage -> steps
        self._finished: set[str] = set()

    def feed(self, line: str) -> None:
        """Reads one line. Raises `BuildError` for an image that the build may not read."""
        found = NUMBERED.match(line)
        if found:
            self._check(found["text"])
            self._vertex_said(found["number"], found["text"])
        elif line.strip():
            self.tail.append(line.strip())

    def _check(self, text: str) -> None:
        # Every line is checked, because the output of a step could look like the first line of a vertex.
        reads = next((found for pattern in READS if (found := pattern.match(text))), None)
        if reads and reads["image"] != "scratch" and not self._may_read(reads["image"]):
            raise BuildError(
                f"The build reads {reads['image']}, which is not named in its Dockerfile, "
                "or is not for this server.",
                hint="Write every image out in the Dockerfile, those of its base images' ONBUILD too.",
            )

    def _vertex_said(self, number: str, text: str) -> None:
        vertex = self._vertices.setdefault(number, Vertex())
        if not vertex.name:
            self._begin(vertex, text)
        elif output := OUTPUT.fullmatch(text):
            vertex.lines.append(output["text"])
            self._on_line(output["text"])
        elif text.startswith("ERROR"):
            vertex.error = text.removeprefix("ERROR:").strip()
            self.failed = vertex
        elif text == "CACHED" or DONE.fullmatch(text):
            self._end(number, vertex, text)
        elif text != vertex.name and not NOISE.search(text):
            self._on_line(text)

    def _begin(self, vertex: Vertex, text: str) -> None:
        vertex.name = text
        if step := STEP.match(text):
            vertex.step = int(step["step"])
            self._steps[step["stage"]] = int(step["steps"])
            self._on_line(_heading(step))
        elif pulling := PULLING.match(text):
            self._on_line(f"Looking up base image {pulling['image']}")
        elif text.startswith("exporting to"):
            self._on_line("Writing the image")

    def _end(self, number: str, vertex: Vertex, text: str) -> None:
        if not vertex.step:
            return
        if text == "CACHED":
            self._on_line("  cached")
        self._finished.add(number)
        if self._on_progress:
            self._on_progress(min(len(self._finished), self._total()), self._total())

    def _total(self) -> int:
        return sum(self._steps.values())


def _heading(step: re.Match[str]) -> str:
    named = step["stage"] and not UNNAMED.fullmatch(step["stage"])
    stage = f" of {step['stage']}" if named else ""
    return f"Step {step['step']}/{step['steps']}{stage}: {PLUMBING.sub('', step['what'])}"
