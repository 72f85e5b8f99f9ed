"""Decides what templates print unescaped: only text that our code made markup (`SafeString`).

With `{{ text|safe }}`, the author of a template promises that a text is safe. unfold and Django do so for
help texts and descriptions, which here may come from a document or an upload. So these filters do nothing: a
text is escaped unless `format_html` made it.
"""

from __future__ import annotations

from typing import Any

from django.template import Library

register = Library()


@register.filter
def safe(value: Any) -> Any:
    return value


@register.filter
def safeseq(value: Any) -> Any:
    return value
