"""What templates may print unescaped: text that code of ours made markup (`SafeString`), and nothing else.

`{{ text|safe }}` is a promise by who wrote a template about a text that comes from elsewhere. unfold and
Django make it for help texts and descriptions, which with us a document or an upload may have written. So
here it promises nothing: the filters leave a text as it is, and it is escaped unless `format_html` made it.
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
