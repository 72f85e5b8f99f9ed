"""The questions of a package, and how their answers become words and variables. Pure functions.

A `Slot` is one argument or environment variable of a server.json. A `Question` is one value that a person is
asked for it: the slot's own value, or one variable of its template (`value` with `{names}` in braces).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Place = Literal["environment", "runtime", "package"]
Answers = Mapping[str, str | Sequence[str]]
LONGEST = 32_768
MOST_REPEATS = 50
BRACES = re.compile(r"\{([^{}]+)\}")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Question:
    """One question. `key` identifies it in a form, in `--set` and in the API; it is unique in a package."""

    key: str
    label: str
    place: Place
    description: str = ""
    required: bool = False
    secret: bool = False
    repeated: bool = False
    format: str = "string"
    default: str = ""
    placeholder: str = ""
    choices: tuple[str, ...] = ()

    def given(self, answers: Answers) -> list[str]:
        """Returns the answer, else the default; [] for neither. Empty answers count as none."""
        answer = answers.get(self.key)
        values = [answer] if isinstance(answer, str) else list(answer or ())
        kept = [value for value in values if value != ""]
        return kept or ([self.default] if self.default and answer is None else [])

    def problem(self, answers: Answers, *, kept: bool = False) -> str:
        """Returns what is wrong with the answer; "" for nothing.

        `kept` tells that a secret is set and may stay.
        """
        values = self.given(answers)
        if not values:
            return "A value is needed." if self.required and not kept else ""
        if len(values) > (MOST_REPEATS if self.repeated else 1):
            return "Too many values." if self.repeated else "One value only."
        return next(filter(None, map(self._problem_of, values)), "")

    def _problem_of(self, value: str) -> str:
        if "\0" in value or len(value) > LONGEST:
            return f"At most {LONGEST} characters, without NUL."
        if self.choices and value not in self.choices:
            return f"Choose one of: {', '.join(self.choices)}."
        if self.format == "number" and not NUMBER.fullmatch(value):
            return "A number is needed."
        if self.format == "boolean" and value not in ("true", "false"):
            return "Write true or false."
        return ""


@dataclass(frozen=True)
class Slot:
    """An argument or a variable. `named`: it is a flag, whose `name` includes the dashes.

    `template` is None if the value itself is asked.
    """

    place: Place
    name: str = ""
    named: bool = False
    hint: str = ""
    template: str | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    own: Question | None = None
    variables: Mapping[str, Question] = field(default_factory=dict)
    required: bool = False
    marked_secret: bool = False
    description: str = ""

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions of this slot."""
        return (self.own,) if self.own else tuple(self.variables.values())

    @property
    def secret(self) -> bool:
        """Tells whether the value is a secret."""
        return self.marked_secret or any(question.secret for question in self.questions)

    def values(self, answers: Answers) -> list[str]:
        """Returns the values; [] if the slot is left out."""
        if self.own:
            return self.own.given(answers)
        if self.template is None:
            return []
        found = {name: question.given(answers) for name, question in self.variables.items()}
        if self.variables and not self.required and not any(found.values()):
            return []
        known = {**self.constants, **{name: values[0] if values else "" for name, values in found.items()}}
        return [BRACES.sub(lambda match: known.get(match[1], match[0]), self.template)]

    def words(self, answers: Answers) -> list[str]:
        """Returns the argument as words of a command line: `--flag=value`, or only the value."""
        values = self.values(answers)
        if not self.named:
            return values
        if self.own is None and self.template is None:
            return [self.name]
        return [word for value in values for word in self._flag(value)]

    def _flag(self, value: str) -> list[str]:
        if not value:
            return [self.name]
        if self.own and self.own.format == "boolean":
            if value == "true":
                return [self.name]
            return [f"{self.name}=false"] if self.own.default == "true" else []
        return [f"{self.name}={value}"] if self.name.startswith("--") else [self.name, value]


def slots(package: Mapping[str, Any]) -> list[Slot]:
    """Returns all slots of a canonical package: environment, launcher (“runtime”), package."""
    return [
        *(_slot("environment", given) for given in package.get("environmentVariables") or ()),
        *(_slot("runtime", given) for given in package.get("runtimeArguments") or ()),
        *(_slot("package", given) for given in package.get("packageArguments") or ()),
    ]


def with_unique_keys(found: Iterable[Slot]) -> list[Slot]:
    """Returns the slots with unique question keys; a repeated key gets a number."""
    taken: set[str] = set()
    return [_with_unique_keys(slot, taken) for slot in found]


def problems(asked: Iterable[Question], answers: Answers, kept: frozenset[str]) -> dict[str, str]:
    """Returns problems by question key, also for answers to unknown questions.

    `kept` are keys of kept secrets.
    """
    by_key = {question.key: question for question in asked}
    unknown = {key: "Nothing of this name is asked." for key in answers if key not in by_key}
    wrong = {key: q.problem(answers, kept=key in kept) for key, q in by_key.items()}
    return {**unknown, **{key: text for key, text in wrong.items() if text}}


def _slot(place: Place, given: Mapping[str, Any]) -> Slot:
    name, hint = given.get("name", ""), given.get("valueHint", "")
    required = bool(given.get("isRequired"))
    base = Slot(
        place,
        name,
        named=given.get("type") == "named",
        hint=hint,
        required=required,
        marked_secret=bool(given.get("isSecret")),
        description=given.get("description", ""),
    )
    if "value" not in given:
        if _is_bare_flag(base, given):
            return replace(base, own=None, template=None)
        return replace(base, own=_question(place, name or hint, given, repeated=given.get("isRepeated")))
    variables = {n: v for n, v in (given.get("variables") or {}).items() if f"{{{n}}}" in given["value"]}
    constants = {n: v["value"] for n, v in variables.items() if "value" in v}
    asked = {n: _question(place, n, v, within=base) for n, v in variables.items() if n not in constants}
    return replace(base, template=given["value"], constants=constants, variables=asked)


def _is_bare_flag(slot: Slot, given: Mapping[str, Any]) -> bool:
    """Tells whether the flag takes no value and is always there, such as `-i`, so that nothing is asked."""
    asks = {"default", "choices", "placeholder", "format", "isSecret", "isRequired", "isRepeated"}
    if slot.place != "runtime":
        asks.add("description")
    return slot.named and not asks & set(given)


def _question(
    place: Place, name: str, given: Mapping[str, Any], *, repeated: Any = False, within: Slot | None = None
) -> Question:
    return Question(
        key=name.lstrip("-") or "value",
        label=name,
        place=place,
        description=given.get("description", ""),
        required=bool(given.get("isRequired")),
        secret=bool(given.get("isSecret")) or bool(within and within.marked_secret),
        repeated=bool(repeated),
        format=given.get("format", "string"),
        default=given.get("default", ""),
        placeholder=given.get("placeholder", ""),
        choices=tuple(given.get("choices") or ()),
    )


def _with_unique_keys(slot: Slot, taken: set[str]) -> Slot:
    if slot.own:
        return replace(slot, own=_renamed(slot.own, taken))
    return replace(slot, variables={n: _renamed(q, taken) for n, q in slot.variables.items()})


def _renamed(question: Question, taken: set[str]) -> Question:
    key = next(key for key in _candidates(question.key) if key not in taken)
    taken.add(key)
    return replace(question, key=key)


def _candidates(key: str) -> Iterator[str]:
    yield key
    for number in range(2, 10_000):
        yield f"{key}-{number}"
