"""Reads `docker run -i --rm -e KEY -e A=b -v … image args`, also of podman, nerdctl and Apple's container."""

from __future__ import annotations

import re
from collections.abc import Sequence

from servers.paste import options, shell
from servers.paste.reading import Draft

_ENVIRONMENT = {"-e", "--env"}
_MOUNTS = {"-v", "--volume", "--mount", "--tmpfs", "--volumes-from", "--device"}
_PORTS = {"-p", "--publish", "--expose"}
# Options that the platform decides itself, or that have no effect here.
_USUAL = {
    "--pull", "--platform", "--restart", "--name", "-h", "--hostname", "--log-driver", "--log-opt", "-l",
    "--label", "--label-file", "--stop-signal", "--stop-timeout", "--cidfile", "--detach-keys", "-a",
    "--attach", "--annotation", "--health-cmd", "--health-interval", "--health-retries",
    "--health-timeout",
}  # fmt: skip
_LIMITS = {
    "-m", "--memory", "--memory-swap", "--memory-reservation", "--cpus", "--cpu-shares", "-c",
    "--cpuset-cpus", "--pids-limit", "--shm-size", "--ulimit", "--gpus",
}  # fmt: skip
_RIGHTS = {
    "--cap-add", "--cap-drop", "--security-opt", "-u", "--user", "--userns", "--group-add", "--ipc",
    "--pid", "--runtime", "--cgroupns", "--sysctl", "--isolation", "--uts",
}  # fmt: skip
_NETWORK = {"--network", "--net", "--add-host", "--dns", "--network-alias", "--link", "--ip", "--mac-address"}
_VALUED = {
    *_ENVIRONMENT, *_MOUNTS, *_PORTS, *_USUAL, *_LIMITS, *_RIGHTS, *_NETWORK,
    "--env-file", "--entrypoint", "-w", "--workdir",
}  # fmt: skip
_FLAGS = {
    "-i", "-t", "-d", "-q", "--interactive", "--tty", "--rm", "--init", "--detach", "--quiet",
    "--sig-proxy", "--read-only", "--no-healthcheck",
}  # fmt: skip
_OF_THE_TOOL = {"--context", "-c", "-H", "--host", "--config", "-l", "--log-level", "--url", "--connection"}
REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,250}[a-zA-Z0-9])?(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:[._/-]{1,2}[a-z0-9]+){0,60}(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


def read(words: Sequence[str], draft: Draft, *, by_client: bool = False) -> None:
    """Reads the words after `docker`. `by_client`: a client starts it, so it speaks stdio."""
    _, rest = options.split(words, _OF_THE_TOOL)
    rest = rest[1:] if rest[:1] == ["container"] else rest
    if rest[:1] == ["pull"]:
        _, rest = options.split(rest[1:], {"--platform"})
        image(rest[0] if rest else "", draft)
    elif rest[:1] == ["run"]:
        _run(rest[1:], draft, by_client)
    elif rest[:2] == ["mcp", "gateway"]:
        draft.refuse("It starts Docker's own gateway of servers: give the image of the server that you want.")
    elif rest[:1] == ["exec"]:
        draft.refuse("It enters a container that already runs on your machine: give its image.")
    elif rest[:1] == ["compose"]:
        draft.refuse("Compose files are not read: give the image, or the repository.")
    else:
        draft.refuse("Of this program `run` and `pull` are read, nothing else.")


def _run(words: list[str], draft: Draft, by_client: bool) -> None:
    given, rest = options.split(words, _VALUED, letters="epvwumhlac", flags=_FLAGS)
    if not rest:
        draft.refuse("No image stands after it.")
        return
    image(rest[0], draft)
    draft.arguments = rest[1:]
    for name, value in given:
        _option(name, value, draft)
    names = {each.name for each in given}
    listens = bool(names & {"-p", "--publish"}) and not by_client and "-i" not in names - {"-t"}
    both = bool(names & {"-p", "--publish"}) and {"-i", "-t"} <= names and not by_client
    draft.transport = "streamable-http" if listens or both or (draft.port and "-d" in names) else "stdio"
    if draft.transport == "stdio":
        draft.port = 0
    elif not draft.path:
        draft.leave("At which path it answers is not told: /mcp is taken.")


def _option(name: str, value: str | None, draft: Draft) -> None:
    told = value or ""
    if name in _ENVIRONMENT:
        pair = shell.assignment(told)
        draft.set(*(pair or (told, None)))
    elif name == "--env-file":
        draft.leave("--env-file names a file of your machine: give its variables here.")
    elif name in _MOUNTS:
        draft.leave(f"{name} {_mounted(told)}: a folder of your machine is not mounted here.")
    elif name in _PORTS:
        _publish(told, draft)
    elif name == "--name":
        draft.name = draft.name or told[:100]
    elif name == "--entrypoint":
        draft.command = [told] if told else []
    elif name in _NETWORK:
        draft.leave(f"{name} is left out: the platform decides the network.")
    elif name in _LIMITS:
        draft.leave(f"{name} is left out: set the limits of the server instead.")
    elif name in _RIGHTS or name == "--privileged":
        draft.leave(f"{name} is left out: the platform decides the rights of a container.")
    elif name not in _USUAL and name not in _FLAGS:
        draft.leave(f"{name[:40]} is not known here and is left out.")


def _mounted(value: str) -> str:
    return value if len(value) <= 100 else f"{value[:100]}…"


def _publish(value: str, draft: Draft) -> None:
    inner = value.rpartition(":")[2].partition("/")[0]
    if inner.isascii() and inner.isdigit() and 0 < int(inner[:6]) < 65536:
        draft.port = draft.port or int(inner)
        draft.say(f"It listens on port {draft.port}.")


def image(reference: str, draft: Draft) -> None:
    """Fills the draft from the name of an image."""
    reference = reference.removeprefix("docker://").removeprefix("oci://")
    draft.kind, draft.source = "image", {"reference": reference[:500]}
    if not REFERENCE.fullmatch(reference):
        draft.refuse("What stands in the image's place is no reference of an image.")
    else:
        draft.say(f"Image {reference}.")
