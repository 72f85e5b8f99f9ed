"""Serves a stdio MCP server over Streamable HTTP, as a relay of JSON-RPC messages.

It needs only the standard library of Python 3.9 or later, and all of it is in this directory: the directory
is copied into images and started as `python3 /path/to/bridge … -- command`. `bridge.mjs` is the same program
for images that have Node and no Python. See docs/design/bridge.md.
"""
