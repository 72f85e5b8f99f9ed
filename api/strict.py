"""Serializers that accept exact JSON types only, and no unknown or read-only key.

REST framework alone reads 0 as the text "0", "off" as false and "7" as a number, and ignores unknown and
read-only keys. Then a request may do something else than its sender meant, without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from rest_framework import serializers
from rest_framework.fields import Field

Row = TypeVar("Row")
AnyField = Field[Any, Any, Any, Any]
NULL, TEXT, NUMBER = "Must not be null.", "Must be text.", "Must be a number."
READ_ONLY = "This is read only: leave it out."
# More specific classes come before those that they derive from.
KINDS: tuple[tuple[type, tuple[type, ...], str], ...] = (
    (serializers.BooleanField, (bool,), "Must be true or false."),
    (serializers.IntegerField, (int, float), "Must be a whole number."),
    (serializers.FloatField, (int, float), NUMBER),
    (serializers.DecimalField, (int, float), NUMBER),
    (serializers.CharField, (str,), TEXT),
    (serializers.ChoiceField, (str,), TEXT),
    (serializers.DateTimeField, (str,), TEXT),
    (serializers.SlugRelatedField, (str,), TEXT),
    (serializers.PrimaryKeyRelatedField, (int,), "Must be an id, a whole number."),
    (serializers.ListField, (list,), "Must be a list."),
    (serializers.ManyRelatedField, (list,), "Must be a list."),
    (serializers.DictField, (dict,), "Must be an object."),
)


class Strict(serializers.BaseSerializer[Row]):
    """Checks keys and types before REST framework reads them. The schema says: no additional properties."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if isinstance(data, Mapping):
            _refuse_keys(data, getattr(self, "fields", {}))
        return super().run_validation(data)


class Shape(Strict[Any], serializers.Serializer[Any]):
    """Of what is no row."""


class RowShape(Strict[Row], serializers.ModelSerializer[Row]):  # type: ignore[type-var]
    """Of a row."""


def _refuse_keys(data: Mapping[str, Any], fields: Mapping[str, AnyField]) -> None:
    problems: dict[str, Any] = {}
    accepted = ", ".join(name for name, field in fields.items() if not field.read_only) or "none"
    for key, value in data.items():
        field = fields.get(key)
        if field is None:
            problems[key] = f"Unknown key; accepted: {accepted}."
        elif field.read_only:
            problems[key] = READ_ONLY
        elif problem := mistyped(field, value):
            problems[key] = problem
    if problems:
        raise serializers.ValidationError(problems)


def mistyped(field: AnyField, value: Any) -> str | dict[str, Any]:
    """What is wrong with the type of `value`; "" if nothing is. Problems within a list or an object are given
    by index or key. Null is left to the field, which knows whether it is allowed.
    """
    kinds, sentence = next(
        ((kinds, sentence) for kind, kinds, sentence in KINDS if isinstance(field, kind)), ((), "")
    )
    if value is None or not kinds:
        return ""
    # In Python a bool is an int; in JSON it is not.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return sentence
    inner = getattr(field, "child", None) or getattr(field, "child_relation", None)
    if inner is None or not isinstance(value, (list, dict)):
        return ""
    held = value.items() if isinstance(value, dict) else enumerate(value)
    return {str(key): problem for key, one in held if (problem := mistyped(inner, one))}
