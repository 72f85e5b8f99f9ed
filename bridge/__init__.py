"""Serves a stdio MCP server over Streamable HTTP: a raw JSON-RPC relay.

Standard library only, Python 3.9 or later, and complete in this directory: it is copied into images and
started as `python3 /path/to/bridge … -- command`. See docs/design/bridge.md. `bridge.mjs` is its twin for
images that have Node and no Python.
"""
