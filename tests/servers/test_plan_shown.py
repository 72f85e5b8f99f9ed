"""A plan in words."""

from __future__ import annotations

from typing import Any

from hosting.sources.plan import Choices, Plan, Step, Tool
from servers import plan_shown

SYNC = Step("install", ("uv", "sync", "--extra", "two words"), "Installing")
PLAN = Plan(
    "python",
    command=("notes", "--fast"),
    member="servers/notes",
    tool="uv",
    lock="uv.lock",
    tools=(Tool("uv", "0.9.1"),),
    version="3.12",
    steps=(SYNC, Step("build", ("make",), "Building")),
    why=("uv.lock found",),
)


def told(choices: Choices = Choices(), **kept: Any) -> dict[str, tuple[str, bool]]:  # noqa: B008  (frozen)
    facts = plan_shown.facts({**PLAN.as_json(choices), **kept})
    return {fact.name: (fact.words, fact.by_hand) for fact in facts}


def test_what_was_found() -> None:
    assert told() == {
        "Root": ("the top of the source", False),
        "Member": ("servers/notes", False),
        "Kept with": ("uv", False),
        "Lock": ("uv.lock", False),
        "Python": ("3.12", False),
        "Tools": ("uv@0.9.1", False),
        "Install": ("uv sync --extra 'two words'", False),
        "Build": ("make", False),
        "Start": ("notes --fast", False),
    }
    assert plan_shown.why(PLAN.as_json()) == ["uv.lock found"]
    assert plan_shown.in_short(PLAN.as_json()) == "uv, Python 3.12"


def test_what_was_set_by_hand_is_told_apart() -> None:
    chosen = Choices(python="3.12", build="make", additional=("mcp<2",), command=("notes", "--fast"))
    by_hand = {name: words for name, (words, by_hand) in told(chosen).items() if by_hand}
    assert by_hand == {"Python": "3.12", "Build": "make", "With": "mcp<2", "Start": "notes --fast"}


def test_what_was_set_in_vain_is_said() -> None:
    said = plan_shown.why(PLAN.as_json(Choices(node="22", target="run", python="3.12")))
    assert said[1:] == ["set by hand, though a build of the kind Python makes no use of it: node, target"]


def test_values_of_arguments_are_not_kept() -> None:
    plan = Plan("dockerfile", dockerfile="docker/Dockerfile", target="run", arguments={"KEY": "hidden"})
    kept = plan.as_json(Choices(dockerfile="docker/Dockerfile", arguments={"KEY": "hidden"}))
    facts = {fact.name: fact.words for fact in plan_shown.facts(kept)}
    assert facts["Arguments"] == "KEY"
    assert facts["Start"] == "what the Dockerfile says"
    assert "hidden" not in str(kept)
    assert [fact.words for fact in plan_shown.choices({"arguments": {"KEY": "hidden"}})] == ["KEY"]


def test_a_deployment_without_a_plan_has_nothing_to_tell() -> None:
    assert not plan_shown.facts({})
    assert not plan_shown.why({})
    assert not plan_shown.in_short({})
