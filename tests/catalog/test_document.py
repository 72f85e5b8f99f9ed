from __future__ import annotations

import json

import pytest
from jsonschema import Draft7Validator

from catalog import document
from hosting.errors import Invalid
from tests.catalog import documents


def test_a_document_and_a_registrys_answer_read_alike() -> None:
    one = documents.document(documents.SEARCH)
    assert document.parse(json.dumps(one)) == one
    assert document.parse(json.dumps({"server": one, "_meta": {}}).encode()) == one


def test_the_digest_minds_the_content_and_not_the_order() -> None:
    one = documents.document(documents.SEARCH)
    assert document.digest(one) == document.digest(dict(reversed(one.items())))
    assert document.digest(one) != document.digest({**one, "version": "2"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ('{"servers": []}', "choose one server"),
        ('{"name": "no-slash", "version": "1", "description": "x"}', "name"),
        (json.dumps({"name": "a/b", "description": "x" * 300_000}), "larger"),
        ('{"$schema": "https://x/2025-07-09/server.schema.json", "name": "a/b"}', "2025-12-11"),
    ],
)
def test_what_is_none_says_where_it_is_wrong(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        document.parse(text)
    assert said in str(caught.value)


def test_the_schema_is_the_official_one() -> None:
    Draft7Validator.check_schema(document.validator().schema)
    assert document.validator().schema["$id"] == document.SCHEMA_URL
    assert (document.SCHEMA_FILE.parent / "LICENSE").read_text().startswith("MIT License")
