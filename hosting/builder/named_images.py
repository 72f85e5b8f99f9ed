"""Finds the images that a Dockerfile names, as far as that is possible without a build.

The rules are those of docs.docker.com/reference/dockerfile: FROM, `COPY --from`, `RUN --mount=…from=`, the
directive `syntax`, and ARGs before the first FROM. In doubt it names an image too much. An image that it
misses is found in the progress of the build (see `progress`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

DIRECTIVE = re.compile(r"^\s*#\s*(?P<name>[A-Za-z]+)\s*=\s*(?P<value>.+?)\s*$")
SLASHED = re.compile(r"^\s*//\s*syntax\s*=\s*(?P<value>.+?)\s*$", re.IGNORECASE)
INSTRUCTION = re.compile(r"^\s*(?P<word>[A-Za-z]+)\s+(?P<rest>.*)$", re.DOTALL)
HEREDOC = re.compile(r"<<-?\s*(?P<quote>[\"']?)(?P<word>[A-Za-z_][A-Za-z0-9_.]*)(?P=quote)")
FLAG = re.compile(r"\s*--(?P<name>[a-z-]+)(?:=(?P<value>(?:\"[^\"]*\"|'[^']*'|\S)*))?(?:\s+|$)")
VARIABLE = re.compile(
    r"\\(?P<literal>.)|\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?P<how>:?[-+])?(?P<word>[^{}$]*)\})"
)
ASSIGNED = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:=(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*'|(?:[^\s\\]|\\.)*))?")
UNKNOWN = "\0"  # in the place of a value that only the build knows


@dataclass(frozen=True)
class Named:
    """What a Dockerfile names. In `images` variables are replaced, with UNKNOWN for values that are not
    known. `frontend` is the image of the directive `syntax`, "" where there is none.
    """

    images: tuple[str, ...] = ()
    frontend: str = ""


NOTHING_GIVEN: Mapping[str, str] = {}


def read(dockerfile: str, arguments: Mapping[str, str], given: Mapping[str, str] = NOTHING_GIVEN) -> Named:
    """The images in the text of a Dockerfile. `arguments` are those that Docker sets by itself (see
    `automatic`). `given` are the build arguments of the user, which replace the default of an ARG.
    """
    text = dockerfile.removeprefix("\ufeff").replace("\r\n", "\n")
    reader = _Reader(dict(arguments), given)
    for word, rest, maybe_text in _instructions(text, _directives(text).get("escape", "\\")):
        before = len(reader.images)
        reader.take(word, rest)
        if maybe_text:  # it may be a line of a script, where `from` can be any word
            reader.images[before:] = [image for image in reader.images[before:] if UNKNOWN not in image]
    return Named(tuple(dict.fromkeys(reader.images)), _frontend(text))


def automatic(platform: str, here: str) -> dict[str, str]:
    """The arguments that Docker sets: TARGET… for `platform`, BUILD… for `here`, the engine's platform."""
    return {**_parts("TARGET", platform), **(_parts("BUILD", here) if here else {})}


def _parts(prefix: str, platform: str) -> dict[str, str]:
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
    return {prefix + name: value for name, value in values.items()}


@dataclass
class _Reader:
    before: dict[str, str]  # ARGs ahead of the first FROM
    given: Mapping[str, str]
    images: list[str] = field(default_factory=list)
    stages: set[str] = field(default_factory=set)
    count: int = 0
    inside: dict[str, str] = field(default_factory=dict)  # ARGs of the stage

    def take(self, word: str, rest: str) -> None:
        if word == "ONBUILD":
            if inner := INSTRUCTION.match(rest):
                self.take(inner["word"].upper(), inner["rest"])
        elif word == "FROM":
            self._from(rest)
        elif word == "ARG":
            self._arguments(rest)
        elif word == "ENV":
            self.inside |= dict.fromkeys(_names(rest), UNKNOWN)
        else:
            self.images += [image for image in self._used(rest) if not self._is_stage(image)]

    def _from(self, rest: str) -> None:
        _, words = _flags(rest)
        image, *more = [*words.split(), ""][:3]
        filled = _filled(image, self.before)
        if filled.lower() not in {*self.stages, "scratch"}:
            self.images.append(filled)
        self.stages |= {more[1].lower()} if len(more) > 1 and more[0].lower() == "as" else set()
        self.count, self.inside = self.count + 1, dict(self.before)

    def _arguments(self, rest: str) -> None:
        values = self.inside if self.count else self.before
        for found in ASSIGNED.finditer(rest):
            name, value = found["name"], found["value"]
            if name in self.given:
                values[name] = self.given[name]
            elif value is not None:
                values[name] = _filled(_unquoted(value), values)
            elif self.count:
                values.setdefault(name, UNKNOWN)

    def _used(self, rest: str) -> Iterator[str]:
        for name, value in _flags(rest)[0]:
            if name == "from":
                yield _filled(_unquoted(value), self.inside)
            elif name == "mount":
                options = dict(part.partition("=")[::2] for part in _unquoted(value).split(","))
                for key, option in options.items():
                    if key.strip().lower() == "from":
                        yield _filled(option.strip().strip('"'), self.inside)

    def _is_stage(self, name: str) -> bool:
        return name.lower() in self.stages or (name.isdigit() and int(name) < self.count) or not name


def _directives(text: str) -> dict[str, str]:
    """Parser directives: comments of the form `# name=value` before anything else."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = DIRECTIVE.match(line)
        if not match or match["name"].lower() in found:
            break
        found[match["name"].lower()] = match["value"]
    return found


def _frontend(text: str) -> str:
    """The value of `syntax`, by the rules of BuildKit's DetectSyntax: a directive, after # or //, or JSON."""
    body = text.partition("\n")[2] if text.startswith("#!") else text
    named = _directives(body).get("syntax", "")
    if not named and (slashed := SLASHED.match(body.partition("\n")[0])):
        named = slashed["value"]
    if not named and body.lstrip().startswith("{"):
        try:
            named = str(json.loads(body).get("syntax", ""))
        except ValueError:
            return ""
    return [*named.split(), ""][0]


def _instructions(text: str, escape: str) -> Iterator[tuple[str, str, bool]]:
    """Each instruction: its word, the rest, and whether it may be a line of a here-document."""
    lines, ends = iter(text.split("\n")), list[str]()
    for line in lines:
        if ends and line.lstrip("\t") == ends[0]:
            ends.pop(0)
        elif line.strip() and not line.lstrip().startswith("#"):
            whole = line if ends else _joined(line, lines, escape)
            if found := INSTRUCTION.match(whole):
                yield found["word"].upper(), found["rest"], bool(ends)
                if not ends and found["word"].upper() in ("RUN", "COPY", "ADD"):
                    ends = [here["word"] for here in HEREDOC.finditer(found["rest"])]


def _joined(line: str, lines: Iterator[str], escape: str) -> str:
    """A line and its continuation lines. Comments and empty lines between them are skipped."""
    parts: list[str] = []
    while True:
        bare = line.rstrip()
        if not bare.endswith(escape):
            return "".join([*parts, bare])
        parts.append(bare[: -len(escape)])
        line = next((one for one in lines if one.strip() and not one.lstrip().startswith("#")), "")


def _flags(rest: str) -> tuple[list[tuple[str, str]], str]:
    found, at = [], 0
    while flag := FLAG.match(rest, at):
        found.append((flag["name"], flag["value"] or ""))
        at = flag.end()
    return found, rest[at:]


def _names(rest: str) -> list[str]:
    return [found["name"] for found in ASSIGNED.finditer(rest) if found["value"] is not None] or [
        rest.split()[0]
    ]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0] else text


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Replaces `$name`, `${name}`, `${name:-word}` and `${name:+word}`. Any other form becomes UNKNOWN."""

    def value(found: re.Match[str]) -> str:
        if found["literal"]:
            return found["literal"]
        name, how = found["plain"] or found["braced"], found["how"] or ""
        if name not in values and how.lstrip(":") != "-" and how.lstrip(":") != "+":
            return UNKNOWN
        held, word = values.get(name, ""), found["word"] or ""
        if held == UNKNOWN or (word and not how):
            return UNKNOWN
        is_set = bool(held) if how.startswith(":") else name in values
        if how.endswith("-"):
            return held if is_set else word
        return (word if is_set else "") if how.endswith("+") else held

    filled = VARIABLE.sub(value, _unquoted(text))
    return filled.replace("$", UNKNOWN)
