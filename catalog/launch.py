"""Reads how a package is launched: its `runtimeArguments` are options of npx, uvx or docker. Pure functions.

A document describes the command line `runtimeHint runtimeArguments… identifier packageArguments…`. Publishers
also write parts of it elsewhere: options of the launcher and the package's own name in `packageArguments`, an
option and its value as two arguments or as one.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from catalog import identifiers
from catalog.identifiers import Named
from catalog.inputs import Question, Slot
from catalog.launchers import Launcher, launcher_of

# Of a requirement: its parser recurses with each bracket.
LONGEST, MOST_BRACKETS = 300, 10
COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
PYTHON = re.compile(r"(?:c?python-?@?)?(3\.[0-9]{1,2}(?:\.[0-9]{1,2})?)")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFERS = re.compile(r"\$?\{[^{}]+\}|\$[A-Za-z_]\w*|<[^<>]+>")
# Names that `docker run -e NAME` passes on, and that are secrets although the document does not say so.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|PAT|DSN)S?(?:_|$)",
    re.IGNORECASE,
)
BESIDE = re.compile(r",(?=\s*[A-Za-z][A-Za-z0-9._-]*\s*(?:[\[<>=!~;@,]|$))(?![^\[]*\])")


@dataclass(frozen=True)
class Launch:
    """What the launcher's options mean for a server.

    `command` starts the package ("" means its own). `extras`, `beside` (requirements) and `python` belong to
    its installation. `slots` are all questions and values, variables first. `read` and `left_out` are
    sentences for people; `refusal` says why it cannot be launched here, "" if it can.
    """

    slots: tuple[Slot, ...] = ()
    command: str = ""
    extras: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    python: str = ""
    version: str = ""
    read: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def build(self) -> dict[str, Any]:
        """The values for `Server.build`, without empty ones."""
        found = {"extras": list(self.extras), "with": list(self.beside), "python": self.python}
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True)
class Word:
    """A word of the command line.

    `slot` is its place in the document; `asked` tells that a person fills it in.
    """

    text: str
    slot: Slot
    asked: bool = False


def read(package: Mapping[str, Any], slots: list[Slot]) -> Launch:
    """Reads the launcher's options.

    `package` is canonical (npm, PyPI or an image); `slots` are all of its slots.
    """
    reader = _Reader(package, [slot for slot in slots if slot.place == "environment"])
    before = [slot for slot in slots if slot.place == "runtime"]
    after = [slot for slot in slots if slot.place == "package"]
    told = reader.own_name_in(after)
    words = [*_hinted(package), *(word for slot in [*before, *after[:told]] for word in _words_of(slot))]
    reader.go(words)
    return reader.done(after[told:])


def _hinted(package: Mapping[str, Any]) -> Iterator[Word]:
    """Yields the words after the launcher's name in `runtimeHint`, as in `uv tool run`."""
    for word in str(package.get("runtimeHint", "")).split()[1:]:
        yield Word(word, Slot("runtime", template=word))


def _words_of(slot: Slot) -> Iterator[Word]:
    if slot.named:
        yield Word(slot.name, slot)
        if slot.own is not None:
            yield Word(slot.own.default, slot, asked=not slot.own.default)
        elif slot.template:
            yield Word(slot.template, slot, asked=bool(slot.variables))
        return
    if slot.own is not None or slot.template is None:
        default = slot.own.default if slot.own else ""
        yield Word(default, slot, asked=not default)
    elif slot.template.startswith("-") and " " in slot.template and not slot.variables:
        yield from (Word(text, slot) for text in _split(slot.template))
    else:
        yield Word(slot.template, slot, asked=bool(slot.variables))


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


@dataclass
class _Reader:
    package: Mapping[str, Any]
    variables: list[Slot]
    waiting: deque[Word] = field(default_factory=deque)
    program: list[Slot] = field(default_factory=list)
    command: str = ""
    needs_command: bool = False
    extras: set[str] = field(default_factory=set)
    beside: list[str] = field(default_factory=list)
    python: str = ""
    version: str = ""
    said: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = str(self.package["registryType"])
        hint = str(self.package.get("runtimeHint", "")).partition(" ")[0]
        hint = hint.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")
        self.launcher: Launcher = launcher_of(self.kind, hint)
        self.own = Named("") if self.kind == "oci" else identifiers.named(self.package)
        self.extras |= set(self.own.extras)
        self.places = {slot.name: n for n, slot in enumerate(self.variables)}

    def own_name_in(self, after: list[Slot]) -> int:
        """Returns how many of the package's arguments belong to the launcher: those up to the package's own
        name.

        0 if another word than an option of the launcher comes before the name.
        """
        expects_value = False
        for n, slot in enumerate(after):
            option = slot.name if slot.named else slot.template or ""
            if slot.questions:
                return 0
            if option.startswith("-"):
                name = option.partition("=")[0].partition(" ")[0]
                if not (name in self.launcher.usual or self.launcher.takes_value(name)):
                    return 0
                expects_value = option == name and not slot.named and self.launcher.takes_value(name)
            elif expects_value:
                expects_value = False
            else:
                return n + 1 if n and self._is_own(option) else 0
        return 0

    def go(self, words: list[Word]) -> None:
        self.waiting.extend(_without_verbs(words, self.launcher.verbs))
        while self.waiting:
            word = self.waiting.popleft()
            if word.text.startswith("-") and not word.asked:
                self._option(word)
            else:
                self._plain(word)

    def done(self, after: list[Slot]) -> Launch:
        rest = list(after)
        if self.needs_command and not self.command and rest and _is_command(rest[0]):
            self._start(rest.pop(0).template or "")
        return Launch(
            slots=(*self.variables, *self.program, *rest),
            command=self.command,
            extras=tuple(sorted(self.extras)),
            beside=tuple(dict.fromkeys(self.beside)),
            python=self.python,
            version=self.version,
            read=tuple(self.said),
            left_out=tuple(dict.fromkeys(self.left)),
            refusal=next(iter(self.refusals), ""),
        )

    def _plain(self, word: Word) -> None:
        if not word.asked and self._is_own(word.text):
            self._rest_is_the_programs()
        elif not word.asked and self.needs_command and COMMAND.fullmatch(word.text):
            self._start(word.text)
            self._rest_is_the_programs()
        else:
            self._leave(word, word.text or word.slot.hint)

    def _rest_is_the_programs(self) -> None:
        last: Slot | None = None
        for word in self.waiting:
            whole = word.slot.named or bool(word.slot.questions)
            if not whole:
                self.program.append(Slot("package", template=word.text))
            elif word.slot is not last:
                self.program.append(replace(word.slot, place="package"))
            last = word.slot
        self.waiting.clear()

    def _option(self, word: Word) -> None:
        name, value = self._named(word)
        meaning = self.launcher.meanings.get(name)
        if name in self.launcher.usual:
            return
        if meaning == "package":
            self._package(name, "" if value is None or value.asked else value.text)
        elif meaning == "never":
            self.refusals.append(f"It is started by {name} of {self.launcher.name}, which is not used here.")
        elif meaning is None or value is None or (value.asked and meaning != "variable"):
            self._leave(word, name)
        else:
            means = {
                "beside": self._beside, "python": self._python, "module": self._module,
                "variable": self._variable, "index": self._index,
            }  # fmt: skip
            means[meaning](replace(value, slot=_stricter(value.slot, word.slot)), name)

    def _named(self, word: Word) -> tuple[str, Word | None]:
        """Returns the option and its value: after `=`, as the next word, or joined as in `-eNAME`."""
        name, equals, value = word.text.partition("=")
        if equals and name.startswith("--"):
            return name, replace(word, text=value)
        short, rest = word.text[:2], word.text[2:]
        if not name.startswith("--") and rest and word.text not in self.launcher.usual:
            if short in self.launcher.meanings:
                return short, replace(word, text=rest.removeprefix("="))
            if short in self.launcher.with_value:
                return short, replace(word, text=rest)
        return word.text, self.waiting.popleft() if self._value_follows(word) else None

    def _value_follows(self, word: Word) -> bool:
        if not self.waiting:
            return False
        next_one = self.waiting[0]
        if word.slot.named and next_one.slot is word.slot:
            return True
        return self.launcher.takes_value(word.text) and not next_one.text.startswith("-")

    def _package(self, name: str, text: str) -> None:
        """Reads `--from` or `-p`: the package to install; its command follows. Refuses another package."""
        if not text or self._is_own(text):
            self.needs_command = True
            return
        where = "from another place than the package index" if "://" in text else "another package"
        self.refusals.append(f"{name} of {self.launcher.name} installs {text[:200]}: {where}.")

    def _beside(self, word: Word, name: str) -> None:
        for wanted in _requirements_in(word.text):
            if trouble := _trouble_with(wanted):
                self.refusals.append(f"{name} of {self.launcher.name} installs {wanted[:200]}: {trouble}.")
            elif not self._is_own(wanted):
                self.beside.append(str(Requirement(wanted)))
                self.said.append(f"{name} {wanted} is read: it bounds a dependency, or is installed as well.")

    def _python(self, word: Word, name: str) -> None:
        if found := PYTHON.fullmatch(word.text.strip().lower()):
            self.python = found[1]
            self.said.append(f"{name} {word.text} is read: it runs on Python {self.python}.")
        else:
            self._leave(word, f"{name} {word.text}")

    def _module(self, word: Word, name: str) -> None:
        if MODULE.fullmatch(word.text):
            self.command = f"python -m {word.text}"
            self.said.append(f"{name} {word.text} is read: it starts with {self.command}.")
            self._rest_is_the_programs()
        else:
            self._leave(word, name)

    def _variable(self, word: Word, name: str) -> None:
        """Reads `-e NAME=value`, which sets a variable, or `-e NAME`, which is asked if
        nothing else sets it.
        """
        variable, equals, value = word.text.partition("=")
        if not VARIABLE.fullmatch(variable):
            self._leave(word, f"{name} {word.text}".strip())
            return
        known = self.variables[self.places[variable]] if variable in self.places else None
        fixed = bool(equals) and not (REFERS.fullmatch(value) and not word.slot.variables)
        if known and known.questions:
            self._sharpen(known, word.slot, value if fixed and not word.slot.variables else "")
        elif fixed:
            self._add(_set_to(word.slot, variable, value))
        elif known is None:
            self._add(_passed_on(word.slot, variable))
            self.said.append(f"{name} {variable} is read: its value is asked for.")

    def _add(self, slot: Slot) -> None:
        self.places[slot.name] = len(self.variables)
        self.variables.append(slot)

    def _sharpen(self, known: Slot, other: Slot, default: str) -> None:
        """Adds what `-e` says to a variable that is asked already."""
        made = _stricter(known, other)
        if made.own:
            own = replace(
                made.own, required=made.required, secret=made.secret, default=made.own.default or default
            )
            made = replace(made, own=own)
        self.variables[self.places[known.name]] = made

    def _index(self, word: Word, name: str) -> None:
        if not identifiers.is_public(self.kind, word.text):
            where = f"{word.text[:200]}, another index than this platform's"
            self.refusals.append(f"{name} of {self.launcher.name} installs from {where}.")

    def _leave(self, word: Word, shown: str) -> None:
        shown = shown[:200]
        if word.slot.required:
            self.refusals.append(
                f"It needs {shown} of its own launcher ({self.launcher.name}), which is not used here."
            )
        self.left.append(f"{shown} is for {self.launcher.name} and is left out.")

    def _start(self, command: str) -> None:
        self.command = command
        self.said.append(f"It starts {command}, a command of {self.own.name}.")

    def _is_own(self, text: str) -> bool:
        if self.kind == "oci":
            given = {**self.package, "identifier": text, "version": ""}
            return bool(text) and identifiers.family(given) == identifiers.family(self.package)
        found = identifiers.read(self.kind, text) if text else Named("")
        if not text or not found.is_same(self.own):
            return False
        self.extras |= set(found.extras)
        if found.version not in identifiers.NEWEST:
            self.version = self.version or found.version
        return True


def _without_verbs(words: list[Word], verbs: tuple[tuple[str, ...], ...]) -> list[Word]:
    for verb in verbs:
        if tuple(word.text for word in words[: len(verb)]) == verb:
            return words[len(verb) :]
    return words


def _requirements_in(text: str) -> list[str]:
    """Splits several requirements of uvx: `mcp[cli,ws]<2,>=1,httpx` are two."""
    if len(text) > LONGEST:
        return [text]
    return [found for found in map(str.strip, BESIDE.split(text)) if found]


def _trouble_with(wanted: str) -> str:
    """Returns why a requirement cannot be installed here; "" if it can."""
    if len(wanted) > LONGEST or wanted.count("(") > MOST_BRACKETS:
        return "that is longer than a requirement is"
    try:
        requirement = Requirement(wanted)
    except InvalidRequirement:
        return "that is no requirement such as mcp<2"
    return "that is not from the package index" if requirement.url else ""


def _is_command(slot: Slot) -> bool:
    fixed = slot.template is not None and not slot.variables and not slot.named
    return fixed and bool(COMMAND.fullmatch(slot.template or ""))


def _stricter(slot: Slot, other: Slot) -> Slot:
    """Returns `slot`, which is required or secret if either of the two is."""
    return replace(
        slot,
        required=slot.required or other.required,
        marked_secret=slot.marked_secret or other.marked_secret,
        description=slot.description or other.description,
    )


def _set_to(slot: Slot, name: str, value: str) -> Slot:
    return replace(slot, place="environment", name=name, named=False, template=value, own=None)


def _passed_on(slot: Slot, name: str) -> Slot:
    secret = slot.marked_secret or bool(SECRET_NAME.search(name))
    question = Question(name, name, "environment", slot.description, required=slot.required, secret=secret)
    return Slot("environment", name, own=question, required=slot.required, marked_secret=secret)
