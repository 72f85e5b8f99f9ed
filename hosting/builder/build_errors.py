"""Turns a failed image build into an error that says why it failed and what to do."""

from __future__ import annotations

import re

from hosting.builder import dockerfile, node_errors, python_errors
from hosting.builder.context import no_space
from hosting.builder.progress import Progress, Vertex
from hosting.errors import BuildError
from registry.engine_errors import from_engine
from registry.reasons import Reason, reason_in, says

SHOWN_LINES = 12
AWAY = re.compile(
    r"cannot connect to the docker daemon|error during connect|is the docker daemon running"
    r"|connection refused|transport is closing|closing transport|error reading from server"
    r"|unexpected EOF|no such file or directory.*docker\.sock|broken pipe|rpc error: code = Unavailable",
    re.IGNORECASE,
)
EMULATION = re.compile(r"exec user process caused|no such file.*binfmt", re.IGNORECASE)
UNREACHABLE = re.compile(r"timeout|EOF|no route|: 5\d\d ", re.I)
BASE = re.compile(r"(?:\bload metadata for|^(?:\[[^\]]*\] )?FROM) (?P<image>\S+)")
NODE = re.compile(r"\b(?:npm|pnpm|yarn|bun)\b")  # a step that runs one of them
CODE = re.compile(r"exit code: (?P<code>\d+)")
PARSE = re.compile(
    r"dockerfile parse error.*|failed to (?:parse|process|read) dockerfile.*|unknown instruction.*", re.I
)
# Options and variables that the platform's templates set around a command. They do not help a reader.
AROUND = re.compile(r"(?<= )(?:--mount=\S+|[A-Z][A-Z0-9_]*=(?:'[^']*'|\S*)) ")
COPIES = re.compile(r"\[[^]]*\] (?:COPY|ADD) ", re.IGNORECASE)
NOT_IN_CONTEXT = "Paths start at the directory that is deployed: check it, its case, and .dockerignore."
LAYERS_OF_BLAME = re.compile(
    r"^(?:error: |rpc error: code = \w+ desc = |failed to solve(?: with frontend \S+)?: |"
    r"failed to create LLB definition: )+",
    re.I,
)


def engine_away() -> BuildError:
    """The error for an engine that does not answer."""
    return BuildError(
        "The Docker Engine does not answer.",
        hint="Start it (systemctl start docker), or check DOCKER_HOST; then try again.",
        reason=Reason.ENGINE_UNAVAILABLE,
        permanent=False,
    )


def translate(progress: Progress, code: int, platform: str) -> BuildError:
    """The error for a CLI that has ended with the exit code `code`; `progress` has read its output."""
    vertex = progress.failed
    said = [*(vertex.lines if vertex else ()), vertex.error if vertex else "", *progress.tail]
    text = "\n".join(said)
    if says(Reason.FULL, text):
        return no_space()
    if vertex and (base := BASE.search(vertex.name)):
        return _of_base_image(base["image"], vertex)
    if AWAY.search(vertex.error if vertex else text):
        return engine_away()
    if vertex and vertex.step:
        return _of_step(vertex, platform)
    return _of_cli(progress, code)


def _of_step(vertex: Vertex, platform: str) -> BuildError:
    details = {"step": vertex.name, "lines": list(vertex.lines), "platform": platform}
    said = "\n".join((*vertex.lines, vertex.error))
    if says(Reason.WRONG_PLATFORM, said) or EMULATION.search(said):
        return BuildError(
            f"The build for {platform} ran a program of another architecture.",
            hint="Install qemu-user-static and binfmt-support, or check that FROM names an image for it.",
            reason=Reason.WRONG_PLATFORM,
            details=details,
        )
    if f"{dockerfile.TOOLS}/bin/" in vertex.name and (cause := python_errors.find(vertex.lines)):
        return BuildError(cause.says, hint=cause.hint, reason=cause.reason, details=details)
    name = AROUND.sub("", vertex.name) if dockerfile.TOOLS in vertex.name else vertex.name
    found = CODE.search(vertex.error)
    why = f"ended with exit code {found['code']}" if found else f"failed: {_bare(vertex.error)}"
    if NODE.search(vertex.name) and (told := node_errors.find(vertex.lines)):
        message = f"{told.says}\nThe step {name} {why} (for {platform})."
        return BuildError(message, hint=told.hint, details=details)
    lines = "\n".join(list(vertex.lines)[-SHOWN_LINES:])
    return BuildError(
        f"The step {name} {why} (for {platform})." + (f"\n{lines}" if lines else ""),
        reason=reason_in(said),
        hint=NOT_IN_CONTEXT if COPIES.match(vertex.name) and "not found" in why else "",
        details=details,
    )


def _of_base_image(image: str, vertex: Vertex) -> BuildError:
    return BuildError(
        f"The base image {image} cannot be pulled: {_bare(vertex.error)}.",
        hint="Check its name, the engine's network and its login; base images of templates are settings.",
        details={"image": image},
        reason=from_engine(vertex.error).reason,
        permanent=not _may_pass(vertex.error),
    )


def _may_pass(text: str) -> bool:
    told = from_engine(text)
    return (
        says(Reason.UNREACHABLE, text)
        or bool(UNREACHABLE.search(text))
        or (not told.permanent and told.kind in ("push", "remote"))
    )


def _of_cli(progress: Progress, code: int) -> BuildError:
    lines = [_bare(line) for line in progress.tail if not line.startswith(("---", ">"))]
    parse = next((match[0] for line in lines if (match := PARSE.search(line))), "")
    if parse:
        return BuildError(f"The Dockerfile cannot be read: {parse}.", details={"lines": lines})
    last = lines[-1] if lines else f"exit code {code}"
    return BuildError(
        f"The build failed: {last}.", reason=reason_in("\n".join(lines)), details={"lines": lines}
    )


def _bare(line: str) -> str:
    return LAYERS_OF_BLAME.sub("", line).rstrip(".").replace("not found: not found", "not found")
