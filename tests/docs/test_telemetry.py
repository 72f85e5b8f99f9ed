"""docs/telemetry.md against the code and against the contract."""

from __future__ import annotations

import ast
import json
import re

import pytest
from prometheus_client.metrics import MetricWrapperBase

from gateway.calls import Call, Outcome
from metrics import prometheus
from servers.deploying import push_report
from servers.states import Mode, StepKind, Trigger
from servers.timeline import SPEAKS_FOR_ITSELF
from tests import rooms
from tests.docs import pages
from tests.docs.telemetry import COMMON, EXAMPLES, PAGE, SECTIONS, Event, keys_of, undocumented
from tests.metrics import contract

NAME = re.compile(
    r"(?!on_)[a-z]+(_[a-z]+)*_(started|succeeded|failed|retry|published|patched|reported|cancelled|restarted"
    r"|held|changed|approved|declined)|mcp_call"
)
each_example = pytest.mark.parametrize(
    ("section", "event"), EXAMPLES, ids=[event["event_type"] for _, event in EXAMPLES]
)


def in_code() -> set[str]:
    """The event names that the packages hold, and those of the steps, which are put together."""
    names = {
        f"{kind.value}_{word}"
        for kind in set(StepKind) - SPEAKS_FOR_ITSELF
        for word in ("started", "succeeded", "failed")
    }
    telling = ("servers/", "registry/", "gateway/", "metrics/", "hosting/")
    modules = (module for path, module in rooms.sources() if path.startswith(telling))
    said = (node for module in modules for node in ast.walk(module))
    for node in said:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
            names.add(node.value)
    return names


@pytest.mark.slow  # reads all of the code
def test_the_events_of_the_code_are_the_events_of_the_document() -> None:
    documented = {
        event["event_type"] for _, event in EXAMPLES if not event["event_type"].startswith("custom.")
    }
    assert documented == in_code()
    assert documented == contract.EVENT_TYPES


@each_example
def test_an_example_keeps_the_contract(section: str, event: Event) -> None:
    row = {"id": 1, "server": 1, "deployment": 1, "timestamp": "2026-11-22T16:55:53.120000Z", **event}
    assert contract.violations([row]) == []


@each_example
def test_an_example_has_the_keys_of_its_section(section: str, event: Event) -> None:
    if section != "Your own":
        assert undocumented(event) == []


def test_every_key_of_a_table_is_seen_in_an_example() -> None:
    seen = {(section, key) for section, event in EXAMPLES for key in event["details"]}
    for section in {section for section, _ in EXAMPLES} - {"Your own"}:
        missing = {key for key in keys_of(section) if (section, key) not in seen}
        assert missing <= {"taken_over"}, f"{section}: {missing}"


def test_the_rows_and_the_orders_are_the_contracts() -> None:
    (whole,) = pages.blocks(PAGE.partition("\n## ")[0], "json")
    assert contract.violations([json.loads(whole)]) == []
    kinds = {kind for row in pages.rows(SECTIONS[COMMON]) for kind in pages.code(row[0])}
    assert kinds >= contract.ERROR_KINDS


def test_the_words_that_keys_take() -> None:
    def words(section: str, key: str) -> set[str]:
        (row,) = (row for row in pages.rows(SECTIONS[section]) if pages.code(row[0])[:1] == [key])
        return set(pages.code(row[2]))

    assert words("Deployment", "mode") == {mode.value for mode in Mode}
    assert words("Deployment", "trigger") == {trigger.value for trigger in Trigger}
    assert words("Calls", "outcome") == {outcome.value for outcome in Outcome}
    assert words("Credentials", "status") == {"healthy", "expiring_soon", "expired", "unknown"}


def test_a_call_has_the_keys_of_the_document() -> None:
    call = next(event for _, event in EXAMPLES if event["event_type"] == "mcp_call")
    recorded = Call(server_id=1, token_id=1, token="laptop").details()
    assert set(call["details"]) == set(recorded)
    assert {key: type(value) for key, value in recorded.items()} == {
        key: type(value) for key, value in call["details"].items()
    }


def test_the_metrics_of_prometheus() -> None:
    exposed = {
        (metric.name, metric.type, labels_of(metric.name))
        for metric in prometheus.REGISTRY.collect()
        if metric.name.startswith("mcphost_")
    }
    table = {
        (pages.code(row[0])[0], row[1], tuple(filter(None, re.split(r",\s*", row[2]))))
        for row in pages.rows(SECTIONS["Prometheus"])
    }
    assert table == exposed


def labels_of(name: str) -> tuple[str, ...]:
    (collector,) = (
        kept
        for kept in vars(prometheus).values()
        if isinstance(kept, MetricWrapperBase) and next(iter(kept.describe())).name == name
    )
    return tuple(collector._labelnames)


def test_the_messages_of_the_log() -> None:
    table = {pages.code(row[0])[0]: pages.code(row[1])[0] for row in pages.rows(SECTIONS["Log lines"])}
    said = {message: event for event, message in push_report.MESSAGES.items()}
    assert table == {**said, "registry push succeeded after retry": "push_succeeded"}


def test_the_lines_of_the_build_log() -> None:
    """Each sentence stands in the library, around its gaps."""
    source = "".join(path.read_text() for path in (pages.ROOT / "registry").glob("*.py"))
    fixed = [pages.code(row[0])[0] for row in pages.rows(SECTIONS["Lines of the build log"])]
    assert len(fixed) == 4
    for sentence in fixed:
        for piece in re.split(r"\{\w+\}", sentence):
            assert piece.strip(" ()") in source, piece
