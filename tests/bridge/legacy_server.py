"""A stdio MCP server of revision 2025-11-25 in plain Python: it does what the tests ask of it."""

import json
import os
import subprocess
import sys
import threading
import time

_lock = threading.Lock()
_answers = {}
_arrived = threading.Condition()
_cancelled = set()


def send(message):
    with _lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def notify(method, **params):
    send({"method": method, "params": params})


def ask(request_id, method, params):
    send({"id": request_id, "method": method, "params": params})
    with _arrived:
        _arrived.wait_for(lambda: request_id in _answers)
    return _answers.pop(request_id)


def wait_for_cancel(request_id):
    with _arrived:
        _arrived.wait_for(lambda: request_id in _cancelled)


def text(value):
    return {"content": [{"type": "text", "text": value}]}


def elicit(request, arguments):
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    params = {"message": "Who?", "requestedSchema": schema}
    return text(json.dumps(ask("ask-1", "elicitation/create", params)["result"]))


def sample(request, arguments):
    message = {"role": "user", "content": {"type": "text", "text": "Say it"}}
    answer = ask(7, "sampling/createMessage", {"messages": [message], "maxTokens": 5})
    return text(json.dumps(answer["result"]))


def progress(request, arguments):
    token = request["params"]["_meta"]["progressToken"]
    for step in range(arguments.get("steps", 3)):
        notify("notifications/progress", progressToken=token, progress=step + 1, total=3)
    return text("done")


def log(request, arguments):
    notify("notifications/message", level="info", data="hello")
    return text("logged")


def crash(request, arguments):
    os._exit(3)


def crash_midway(request, arguments):
    with _lock:
        sys.stdout.write('{"jsonrpc": "2.0", "secret": "unfin')
        sys.stdout.flush()
        os._exit(3)


def hang(request, arguments):
    notify("notifications/message", level="info", data="hanging")
    wait_for_cancel(request["id"])
    notify("notifications/message", level="info", data="cancelled")
    return


def print_garbage(request, arguments):
    with _lock:
        sys.stdout.write('this is not JSON\n\n42\n{"jsonrpc": "2.0", "secret": "broken"\n')
        sys.stdout.flush()
    return text("printed")


def flood(request, arguments):
    for number in range(arguments["count"]):
        notify("notifications/message", level="info", data=[number, "x" * arguments["size"]])
    return text("flooded")


def orphan(request, arguments):
    process = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    return text(json.dumps([os.getpid(), process.pid]))


TOOLS = {
    "echo": lambda request, arguments: text(arguments["text"]),
    "pid": lambda request, arguments: text(str(os.getpid())),
    "environment": lambda request, arguments: text(json.dumps(dict(os.environ))),
    "stderr": lambda request, arguments: text(str(sys.stderr.write(arguments["text"] + "\n"))),
    "sleep": lambda request, arguments: text(str(time.sleep(arguments["seconds"]))),
    "elicit": elicit,
    "sample": sample,
    "progress": progress,
    "log": log,
    "crash": crash,
    "crash_midway": crash_midway,
    "hang": hang,
    "garbage": print_garbage,
    "flood": flood,
    "orphan": orphan,
}


def initialize(request):
    return {
        "protocolVersion": request["params"]["protocolVersion"],
        "capabilities": {"tools": {}, "logging": {}},
        "serverInfo": {"name": "legacy", "version": "1"},
    }


def list_tools(request):
    return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}


def call_tool(request):
    return TOOLS[request["params"]["name"]](request, request["params"].get("arguments", {}))


METHODS = {
    "initialize": initialize,
    "ping": lambda request: {},
    "tools/list": list_tools,
    "tools/call": call_tool,
}


def serve(request):
    method = METHODS.get(request["method"])
    if not method:
        send({"id": request["id"], "error": {"code": -32601, "message": "Method not found"}})
        return
    result = method(request)
    if result is not None:
        send({"id": request["id"], "result": result})


def receive(message):
    if "method" not in message:
        with _arrived:
            _answers[message["id"]] = message
            _arrived.notify_all()
    elif "id" in message:
        threading.Thread(target=serve, args=[message], daemon=True).start()
    elif message["method"] == "notifications/cancelled":
        with _arrived:
            _cancelled.add(message["params"]["requestId"])
            _arrived.notify_all()
    elif message["method"] == "notifications/initialized":
        notify("notifications/message", level="info", data="ready")


if __name__ == "__main__":
    for line in sys.stdin:
        receive(json.loads(line))
