"""A stdio server that costs next to nothing, so that what is measured is what stands in front of it.

`echo` answers with its message, `slow` after a while; `exit` ends the process in the middle of the call.
"""

import json
import os
import sys
import time

INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "echo", "version": "1"},
}
SCHEMA = {"type": "object", "properties": {"message": {"type": "string"}}}
TOOLS = [{"name": "echo", "description": "Echoes the message.", "inputSchema": SCHEMA}]


def answer(message: dict) -> dict:
    if message["method"] == "initialize":
        return {"result": INITIALIZED}
    if message["method"] == "tools/list":
        return {"result": {"tools": TOOLS}}
    if message["method"] == "ping":
        return {"result": {}}
    if message["method"] != "tools/call":
        return {"error": {"code": -32601, "message": "Method not found"}}
    if message["params"]["name"] == "exit":
        os._exit(1)
    if message["params"]["name"] == "slow":
        time.sleep(2)
    text = message["params"]["arguments"]["message"]
    return {"result": {"content": [{"type": "text", "text": text}], "isError": False}}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        found = {"jsonrpc": "2.0", "id": message["id"], **answer(message)}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
