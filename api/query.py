"""Query parameters. Each is declared once: for the OpenAPI schema and for `checked`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError

from servers.ids import LARGEST, id_in

LONGEST = 200
Asked = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """`many`: it may be repeated, and its value is a list."""

    name: str
    description: str = ""
    many: bool = False
    required: bool = False
    default: Any = None

    def read(self, text: str) -> Any:
        """The value of a text. Raises `ValidationError` with a sentence; `checked` adds the parameter's
        name."""
        raise NotImplementedError

    @property
    def shape(self) -> dict[str, Any]:
        """The JSON schema of one value."""
        raise NotImplementedError

    def documented(self) -> OpenApiParameter:
        shape = {**self.shape, **({} if self.default is None else {"default": self.default})}
        shape = {"type": "array", "items": shape} if self.many else shape
        return OpenApiParameter(
            self.name, shape, required=self.required, description=self.description, explode=self.many or None
        )


@dataclass(frozen=True)
class Text(Parameter):
    """An empty text is a value like any other; most views treat it as absent."""

    longest: int = LONGEST

    def read(self, text: str) -> str:
        if len(text) > self.longest or "\x00" in text:
            raise ValidationError(f"At most {self.longest} characters, none of them NUL.")
        return text

    @property
    def shape(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.longest}


@dataclass(frozen=True)
class Number(Parameter):
    low: int = 0
    high: int = LARGEST

    def read(self, text: str) -> int:
        number = id_in(text)
        if number is None or not self.low <= number <= self.high:
            raise ValidationError(f"Must be a whole number from {self.low} to {self.high}.")
        return number

    @property
    def shape(self) -> dict[str, Any]:
        wide = {"format": "int64"} if self.high > 2**31 else {}
        return {"type": "integer", "minimum": self.low, "maximum": self.high, **wide}


@dataclass(frozen=True)
class Moment(Parameter):
    def read(self, text: str) -> datetime:
        # In a query "+" stands for a space, and people write RFC 3339 as it is.
        return aware(text.replace(" ", "+"))

    @property
    def shape(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class Choice(Parameter):
    among: Sequence[str] = ()

    def read(self, text: str) -> str:
        if text not in self.among:
            raise ValidationError(f"Choose among {', '.join(self.among)}.")
        return text

    @property
    def shape(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.among)}


def checked(given: QueryDict, known: Iterable[Parameter]) -> Asked:
    """The value of each known parameter by name; its default, None or [] if it was not given.

    Raises `ValidationError`, also for an unknown parameter: to ignore it could hide a mistake of the caller.
    """
    parameters = {parameter.name: parameter for parameter in known}
    if unknown := sorted(set(given) - set(parameters)):
        accepted = ", ".join(sorted(parameters)) or "none"
        raise ValidationError(dict.fromkeys(unknown, f"Unknown parameter; accepted: {accepted}."))
    return {name: _value(parameter, given.getlist(name)) for name, parameter in parameters.items()}


def _value(parameter: Parameter, texts: list[str]) -> Any:
    if not texts and parameter.required:
        raise ValidationError({parameter.name: "This parameter is required."})
    if len(texts) > 1 and not parameter.many:
        raise ValidationError({parameter.name: "Give it once."})
    try:
        values = [parameter.read(text) for text in texts]
    except ValidationError as error:
        raise ValidationError({parameter.name: error.detail}) from None
    return values if parameter.many else values[0] if values else parameter.default


def aware(text: str) -> datetime:
    """The time in UTC. A time without a zone is read as UTC. Raises `ValidationError`."""
    try:
        moment = parse_datetime(text)
        if moment is not None:
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass  # near the first and last day of the calendar, the time in UTC may not exist
    raise ValidationError("Must be a time such as 2026-11-22T16:55:53Z.")
