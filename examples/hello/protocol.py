"""The Model Context Protocol over stdio: newline-delimited JSON-RPC, in both of its eras.

Up to 2025-11-25 a client starts with `initialize`; since 2026-07-28 every request carries its protocol
version in `params._meta` and nothing is remembered between requests. Each message runs in a thread, so that
a slow call holds up no other.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO, TypeVar

Json = dict[str, Any]
Item = TypeVar("Item")

HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_VERSIONS = ("2026-07-28",)
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, RESOURCE_NOT_FOUND, UNSUPPORTED_VERSION = -32603, -32002, -32022
META = "io.modelcontextprotocol/"
CACHEABLE = {
    *("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"),
    "resources/read",
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


class ProtocolError(Exception):
    """Answered as a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.data = code, data


class ToolError(Exception):
    """Answered as the result of a tool that failed, for the model to read."""


@dataclass
class Call:
    """A request in progress: how a tool reports progress, and notices that nobody waits any more."""

    send: Callable[[Json], None]
    progress_token: Any = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    answer_wanted: bool = True

    def progress(self, done: int, total: int, message: str) -> None:
        if self.progress_token is not None and not self.cancelled.is_set():
            params = {
                "progressToken": self.progress_token,
                "progress": done,
                "total": total,
                "message": message,
            }
            self.send({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


@dataclass(frozen=True)
class Tool:
    """`run(call, **arguments)` returns a text, or a dict that `output_schema` describes."""

    name: str
    description: str
    properties: Json
    required: tuple[str, ...]
    run: Callable[..., str | Json]
    output_schema: Json | None = None

    def describe(self) -> Json:
        schema = {"type": "object", "properties": self.properties, "required": list(self.required)}
        described: Json = {"name": self.name, "description": self.description, "inputSchema": schema}
        return described | ({"outputSchema": self.output_schema} if self.output_schema else {})

    def call(self, call: Call, arguments: Json) -> Json:
        try:
            self._check(arguments)
            result = self.run(call, **arguments)
        except ToolError as error:
            return {"content": [_text(str(error))], "isError": True}
        if isinstance(result, str):
            return {"content": [_text(result)], "isError": False}
        return {"content": [_text(json.dumps(result))], "structuredContent": result, "isError": False}

    def _check(self, arguments: Json) -> None:
        if missing := [name for name in self.required if name not in arguments]:
            raise ToolError(f"missing argument: {', '.join(missing)}")
        for name, value in arguments.items():
            if name not in self.properties:
                raise ToolError(f"unknown argument: {name}")
            kind = self.properties[name]["type"]
            if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
                raise ToolError(f"argument {name} must be of type {kind}")


@dataclass(frozen=True)
class Resource:
    uri: str
    name: str
    description: str
    read: Callable[[], str]
    mime_type: str = "text/plain"

    def describe(self) -> Json:
        return {
            "uri": self.uri,
            "name": self.name,
            "description": self.description,
            "mimeType": self.mime_type,
        }


@dataclass(frozen=True)
class Prompt:
    """`render(**arguments)` gives the user's message; every argument is a string."""

    name: str
    description: str
    arguments: Json  # name → description, all required
    render: Callable[..., str]

    def describe(self) -> Json:
        arguments = [
            {"name": name, "description": text, "required": True} for name, text in self.arguments.items()
        ]
        return {"name": self.name, "description": self.description, "arguments": arguments}


@dataclass
class Server:
    """Serves tools, resources and prompts; `run()` returns when the client closes stdin."""

    name: str
    version: str
    instructions: str
    tools: list[Tool]
    resources: list[Resource]
    prompts: list[Prompt]
    output: TextIO = sys.stdout
    _calls: dict[Any, Call] = field(default_factory=dict)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def run(self, lines: TextIO = sys.stdin) -> None:
        threads: list[threading.Thread] = []
        for line in lines:
            if not line.strip():
                continue
            try:
                message = json.loads(line)
            except ValueError:
                self._write(_error(None, PARSE_ERROR, "not JSON"))
                continue
            self._register(message)
            threads = [thread for thread in threads if thread.is_alive()]
            threads.append(threading.Thread(target=self._serve, args=(message,)))
            threads[-1].start()
        for call in list(self._calls.values()):
            call.cancelled.set()
        for thread in threads:
            thread.join()

    def _register(self, message: Any) -> None:
        """Known before its thread starts: a cancellation that follows at once finds it."""
        for one in message if isinstance(message, list) else [message]:
            if isinstance(one, dict) and "method" in one and _is_id(one.get("id")):
                self._calls[one["id"]] = self._call(one)

    def _call(self, message: Json) -> Call:
        return Call(self._write, _meta(message).get("progressToken"))

    def _serve(self, message: Any) -> None:
        """Answer one message, or the batch that revision 2025-03-26 allows."""
        if isinstance(message, list) and message:
            answers = [answer for one in message if (answer := self._answer(one))]
            if answers:
                self._write(answers)
        elif answer := self._answer(message):
            self._write(answer)

    def _answer(self, message: Any) -> Json | None:
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return _error(None, INVALID_REQUEST, "not a JSON-RPC 2.0 message")
        if "method" not in message:
            return None  # an answer to a request; this server makes none
        if "id" not in message:
            self._notified(message)
            return None
        if not _is_id(message["id"]):
            return _error(None, INVALID_REQUEST, "an id is a string or an integer")
        call = self._calls.get(message["id"]) or self._call(message)
        try:
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": self._result(message, call)}
        except ProtocolError as error:
            answer = _error(message["id"], error.code, str(error), error.data)
        except Exception as error:  # noqa: BLE001 - whatever a tool raises, the client gets an answer
            print(f"{message['method']} failed: {error!r}", file=sys.stderr)
            answer = _error(message["id"], INTERNAL_ERROR, "internal error")
        finally:
            self._calls.pop(message["id"], None)
        return answer if call.answer_wanted else None

    def _notified(self, message: Json) -> None:
        if message["method"] == "notifications/cancelled":
            call = self._calls.get((message.get("params") or {}).get("requestId"))
            if call is not None:
                call.answer_wanted = False
                call.cancelled.set()

    def _result(self, message: Json, call: Call) -> Json:
        params = message.get("params", {})
        if not isinstance(params, dict):
            raise ProtocolError(INVALID_PARAMS, "params must be an object")
        stateless = message["method"] == "server/discover" or f"{META}protocolVersion" in _meta(message)
        if stateless:
            _check_envelope(_meta(message))
        method = self._methods().get(message["method"])
        if method is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method: {message['method']}")
        result = method(params, call)
        return self._completed(message["method"], result) if stateless else result

    def _completed(self, method: str, result: Json) -> Json:
        """What revision 2026-07-28 adds to a result."""
        identity = {f"{META}serverInfo": {"name": self.name, "version": self.version}}
        cache = {"ttlMs": 60_000, "cacheScope": "public"} if method in CACHEABLE else {}
        return {**result, "resultType": "complete", **cache, "_meta": identity}

    def _methods(self) -> dict[str, Callable[[Json, Call], Json]]:
        return {
            "initialize": self._initialize,
            "server/discover": self._discover,
            "ping": lambda params, call: {},
            "tools/list": lambda params, call: {"tools": [tool.describe() for tool in self.tools]},
            "tools/call": self._call_tool,
            "resources/list": lambda params, call: {
                "resources": [item.describe() for item in self.resources]
            },
            "resources/templates/list": lambda params, call: {"resourceTemplates": []},
            "resources/read": self._read_resource,
            "prompts/list": lambda params, call: {"prompts": [prompt.describe() for prompt in self.prompts]},
            "prompts/get": self._get_prompt,
        }

    def _initialize(self, params: Json, call: Call) -> Json:
        asked = params.get("protocolVersion")
        return {
            "protocolVersion": asked if asked in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1],
            "serverInfo": {"name": self.name, "version": self.version},
            **self._abilities(),
        }

    def _discover(self, params: Json, call: Call) -> Json:
        return {"supportedVersions": list(STATELESS_VERSIONS), **self._abilities()}

    def _abilities(self) -> Json:
        return {
            "capabilities": {"tools": {}, "resources": {}, "prompts": {}},
            "instructions": self.instructions,
        }

    def _call_tool(self, params: Json, call: Call) -> Json:
        tool = _named(self.tools, "name", params, INVALID_PARAMS)
        arguments = params.get("arguments") or {}
        if not isinstance(arguments, dict):
            raise ProtocolError(INVALID_PARAMS, "arguments must be an object")
        return tool.call(call, arguments)

    def _read_resource(self, params: Json, call: Call) -> Json:
        stateless = f"{META}protocolVersion" in (params.get("_meta") or {})
        item = _named(self.resources, "uri", params, INVALID_PARAMS if stateless else RESOURCE_NOT_FOUND)
        return {"contents": [{"uri": item.uri, "mimeType": item.mime_type, "text": item.read()}]}

    def _get_prompt(self, params: Json, call: Call) -> Json:
        prompt = _named(self.prompts, "name", params, INVALID_PARAMS)
        arguments = params.get("arguments") or {}
        if set(arguments) != set(prompt.arguments):
            raise ProtocolError(INVALID_PARAMS, f"arguments of {prompt.name}: {', '.join(prompt.arguments)}")
        message = {"role": "user", "content": _text(prompt.render(**arguments))}
        return {"description": prompt.description, "messages": [message]}

    def _write(self, message: Json | list[Json]) -> None:
        # The client may be gone already: there is nobody to tell.
        with self._writing, contextlib.suppress(BrokenPipeError):
            self.output.write(json.dumps(message, separators=(",", ":")) + "\n")
            self.output.flush()


def _check_envelope(meta: Json) -> None:
    needed = [f"{META}protocolVersion", f"{META}clientCapabilities"]
    if missing := [key for key in needed if key not in meta]:
        raise ProtocolError(INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}")
    version = meta[needed[0]]
    if version not in STATELESS_VERSIONS:
        data = {"supported": list(STATELESS_VERSIONS), "requested": version}
        raise ProtocolError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def _named(items: list[Item], key: str, params: Json, code: int) -> Item:
    for item in items:
        if getattr(item, key) == params.get(key):
            return item
    raise ProtocolError(code, f"there is none with {key} {params.get(key)!r}", {key: params.get(key)})


def _meta(message: Json) -> Json:
    params = message.get("params")
    if not isinstance(params, dict) or not isinstance(params.get("_meta"), dict):
        return {}
    meta: Json = params["_meta"]
    return meta


def _is_id(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _error(request_id: Any, code: int, message: str, data: Any = None) -> Json:
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
