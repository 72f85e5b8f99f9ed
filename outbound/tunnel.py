"""A ProxyCommand for ssh: `tunnel.py relay-port host port` connects its input and output through a `Relay`.

It runs as a file and uses only the standard library.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading

SAID = {2: "Not allowed", 4: "Could not resolve hostname", 5: "Connection refused"}


def main() -> int:
    relay, host, port = sys.argv[1:]
    with socket.create_connection(("127.0.0.1", int(relay))) as there:
        name = host.encode("ascii")
        there.sendall(b"\x05\x01\x00" + b"\x05\x01\x00\x03" + bytes([len(name)]) + name)
        there.sendall(struct.pack("!H", int(port)))
        answer = there.makefile("rb", buffering=0)
        code = _exactly(answer, 12)[3]
        if code:
            print(f"ssh: connect to host {host}: {SAID.get(code, 'Failed to connect')}", file=sys.stderr)
            return 255
        threading.Thread(target=_send, args=(there,), daemon=True).start()
        while chunk := there.recv(65_536):
            _write(chunk)
    return 0


def _exactly(stream: socket.SocketIO, length: int) -> bytes:
    found = b""
    while len(found) < length:
        more = stream.read(length - len(found))
        if not more:
            raise SystemExit("ssh: Failed to connect: the relay is gone")
        found += more
    return found


def _send(there: socket.socket) -> None:
    while chunk := os.read(0, 65_536):
        there.sendall(chunk)
    there.shutdown(socket.SHUT_WR)


def _write(chunk: bytes) -> None:
    while chunk:
        chunk = chunk[os.write(1, chunk) :]


if __name__ == "__main__":
    raise SystemExit(main())
