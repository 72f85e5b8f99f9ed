"""A stdio MCP server that answers a tool's call with the bytes it is given, and counts what it was told."""

import json
import sys

MODERN = "2026-07-28"


def raw(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def send(**message):
    raw(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def answer(request):
    method, params = request["method"], request.get("params") or {}
    if method == "initialize":
        version = params["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "odd"}}
    if method == "server/discover":
        return {"supportedVersions": [MODERN], "capabilities": {"tools": {}}}
    return {}


def say(request):
    """`bytes`, latin-1, with ID in place of the id of the call."""
    said = request["params"]["arguments"]["bytes"].replace("ID", json.dumps(request["id"]))
    raw(said.encode("latin-1"))


if __name__ == "__main__":
    for line in sys.stdin:
        message = json.loads(line)
        if "method" not in message:
            send(method="notifications/message", params={"level": "info", "data": {"heard": message}})
        elif message["method"] == "tools/call":
            say(message)
        elif "id" in message:
            send(id=message["id"], result=answer(message))
        elif sys.argv[1:] == ["answers-notifications"]:
            send(id=None, error={"code": -32601, "message": "Method not found"})
