"""A document's word on the build beside a person's: pure functions on dicts."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import building


@pytest.mark.parametrize(
    ("held", "before", "now", "left"),
    [
        ({"with": ["a<2"]}, {"with": ["a<2"]}, {"with": ["a<3"]}, {"with": ["a<3"]}),
        ({"with": ["a<2", "b"]}, {"with": ["a<2"]}, {}, {"with": ["b"]}),
        ({"with": ["b"]}, {"with": ["a<2"]}, {"with": ["a<2", "c"]}, {"with": ["c", "b"]}),
        ({}, {"with": ["a<2"]}, {"with": ["a<2"]}, {}),
        ({}, {}, {"extras": ["cli"]}, {"extras": ["cli"]}),
        ({"python": "3.12"}, {"python": "3.12"}, {"python": "3.13"}, {"python": "3.13"}),
        ({"python": "3.12"}, {"python": "3.12"}, {}, {}),
        ({"python": "3.11"}, {"python": "3.12"}, {"python": "3.13"}, {"python": "3.11"}),
        ({"groups": ["web"], "build": "make"}, {}, {"python": "3.13"},
         {"groups": ["web"], "build": "make", "python": "3.13"}),
    ],
)  # fmt: skip
def test_another_version_changes_what_the_document_said(
    held: dict[str, Any], before: dict[str, Any], now: dict[str, Any], left: dict[str, Any]
) -> None:
    assert building.carried(held, before, now) == left


def test_a_persons_word_stands_beside_the_documents() -> None:
    of_document = {"with": ["a<2"], "python": "3.12"}
    by_hand = {"with": ["b", "a<2"], "python": "3.13", "extras": ["cli"]}
    assert building.joined(of_document, by_hand) == {
        "with": ["a<2", "b"], "python": "3.13", "extras": ["cli"],
    }  # fmt: skip
