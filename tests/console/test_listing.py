"""The console's own client reads lists of tools as discovery does, whatever their cursors are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bridge.protocol import DOCUMENT

CLIENT = Path(__file__).parents[2] / "static/mcphost/mcp.js"
PROGRAM = """
const { Mcp, RpcError } = await import(`data:text/javascript,${encodeURIComponent(SOURCE)}`);
const asked = [];
class Paged extends Mcp {
  async request(method, { cursor = null }) {
    asked.push(cursor);
    const page = PAGES.find(([known]) => known === cursor);
    if (!page && cursor) return { tools: [], nextCursor: `${cursor}1` };
    if (!page) throw new RpcError({ code: -32602, message: "Invalid cursor" });
    return { tools: page[1].map((name) => ({ name })), nextCursor: page[2] };
  }
}
const tools = await new Paged("", PROTOCOL, []).tools(1000, {});
console.log(JSON.stringify([tools.map(({ name }) => name).join(" "), asked.length]));
"""
Pages = list[tuple[str | None, list[str], str | None]]


@pytest.mark.parametrize(
    ("pages", "names", "asked"),
    [
        ([(None, ["one", "two"], "p2"), ("p2", ["three"], ""), ("", ["three"], "")], "one two three", 3),
        ([(None, ["one", "two"], ""), ("", ["one", "two"], "")], "one two", 2),
        ([(None, ["one"], "same"), ("same", ["one"], "same")], "one", 2),
        ([(None, ["one"], "")], "one", 2),
        ([(None, ["one"], ""), ("", ["two"], None)], "one two", 2),
        ([(None, ["one"], "a"), ("a", [], "b"), ("b", ["two"], None)], "one two", 3),
        ([(None, ["one"], "1")], "one", 100),
    ],
)
def test_a_list_of_tools_ends(pages: Pages, names: str, asked: int) -> None:
    def constant(name: str, value: Any) -> str:
        return f"const {name} = {json.dumps(value)};\n"

    program = (
        constant("SOURCE", CLIENT.read_text())
        + constant("PAGES", pages)
        + constant("PROTOCOL", DOCUMENT)
        + PROGRAM
    )
    argv = ["node", "--input-type=module", "--eval", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [names, asked]
