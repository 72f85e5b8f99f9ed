"""A stdio MCP server of revision 2026-07-28 in plain Python: no initialize, an envelope per request."""

import json
import os
import sys
import threading

VERSION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
_lock = threading.Lock()
_changed = threading.Condition()
_cancelled = set()
_holding = set()


def send(message):
    with _lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(value):
    content = [{"type": "text", "text": value}]
    return {"content": content, "resultType": "complete"}


def hold(request, arguments):
    """Answers when as many calls are held as was asked for; progress first, if asked for."""
    with _changed:
        _holding.add(request["id"])
        _changed.notify_all()
        _changed.wait_for(lambda: len(_holding) >= arguments["count"])
    progress(request, arguments)
    return text(arguments["text"])


def progress(request, arguments):
    token = request["params"]["_meta"].get("progressToken")
    if token is not None:
        params = {"progressToken": token, "progress": 1, "message": arguments.get("text")}
        send({"method": "notifications/progress", "params": params})
    return text("done")


def flood(request, arguments):
    for _ in range(arguments["count"]):
        progress(request, {"text": "x" * arguments["size"]})
    return text("flooded")


def hang(request, arguments):
    progress(request, {"text": "hanging"})
    with _changed:
        _changed.wait_for(lambda: request["id"] in _cancelled)
    return


def crash(request, arguments):
    os._exit(3)


def ask(request, arguments):
    send({"id": "q", "method": "sampling/createMessage", "params": {}})
    return text("asked")


def cancelled(request, arguments):
    with _changed:
        _changed.wait_for(lambda: len(_cancelled) >= arguments["count"])
        return text(str(len(_cancelled)))


TOOLS = {
    "echo": lambda request, arguments: text(arguments["text"]),
    "pid": lambda request, arguments: text(str(os.getpid())),
    "hold": hold,
    "progress": progress,
    "flood": flood,
    "hang": hang,
    "crash": crash,
    "ask": ask,
    "cancelled": cancelled,
}


def discover(request):
    return {
        "supportedVersions": [VERSION],
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "modern", "version": "1"},
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "public",
    }


def list_tools(request):
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
    return {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "public"}


def call_tool(request):
    return TOOLS[request["params"]["name"]](request, request["params"].get("arguments", {}))


def listen(request):
    meta = {PREFIX + "subscriptionId": request["id"]}
    honored = {"toolsListChanged": True}
    params = {"_meta": meta, "notifications": honored}
    send({"method": "notifications/subscriptions/acknowledged", "params": params})
    send({"method": "notifications/tools/list_changed", "params": {"_meta": meta}})
    return {"_meta": meta, "resultType": "complete"}


METHODS = {
    "server/discover": discover,
    "tools/list": list_tools,
    "tools/call": call_tool,
    "subscriptions/listen": listen,
}


def serve(request):
    version = request.get("params", {}).get("_meta", {}).get(PREFIX + "protocolVersion")
    if version != VERSION:
        data = {"supported": [VERSION], "requested": str(version)}
        error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
        send({"id": request["id"], "error": error})
        return
    method = METHODS.get(request["method"])
    if not method:
        send({"id": request["id"], "error": {"code": -32601, "message": "Method not found"}})
        return
    result = method(request)
    if result is not None:
        send({"id": request["id"], "result": result})


def receive(message):
    if "method" in message and "id" in message:
        threading.Thread(target=serve, args=[message], daemon=True).start()
    elif message.get("method") == "notifications/cancelled":
        with _changed:
            _cancelled.add(message["params"]["requestId"])
            _changed.notify_all()


if __name__ == "__main__":
    for line in sys.stdin:
        receive(json.loads(line))
