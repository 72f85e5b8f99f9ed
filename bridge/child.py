"""One server process: its input, its output and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, cast

from bridge.log import log
from bridge.server_output import TAIL, Reader, ServerMessage

LAUNCHER = str(Path(__file__).resolve().parent / "launch.py")
MAX_LINE_BYTES = 64 << 20
MAX_UNREAD_BYTES = 32 << 20  # that may wait in memory until the server reads them
EOF_SECONDS = 0.5  # to read the pipe after an exit; a process that the server started may hold it open
CLOSE_SECONDS = 2.0  # to exit after its stdin was closed
TERM_SECONDS = 2.0  # to exit after SIGTERM

OnMessage = Callable[[ServerMessage], None]


def interpreter() -> Tuple[str, ...]:
    """The command that starts this Python. In an image with a copied Python (hosting/builder/portable.py) a
    dynamic loader and its options come before the path of Python.
    """
    try:
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    own = os.fsencode(sys.executable)
    before = words[: words.index(own)] if own in words else []
    return (*map(os.fsdecode, before), sys.executable)


class Child(asyncio.SubprocessProtocol):
    """A server process in a process group of its own (MCP, "stdio").

    `on_message` is called with each message of its stdout, and `on_exit` once, when the process is gone and
    its last message was delivered. Its stderr is that of the bridge.
    """

    def __init__(self, on_message: OnMessage, on_exit: Callable[[Child], None]) -> None:
        self._on_message = on_message
        self._on_exit = on_exit
        self._partial: List[bytes] = []
        self._partial_bytes = 0
        self._tail = b""  # of a line that is too long
        self._reader = Reader()
        self.gone = asyncio.Event()
        self._stdout_open = True
        self._exited = False
        self._ending: Optional[asyncio.Task[None]] = None
        self._given_up = False

    @classmethod
    async def start(
        cls, command: Sequence[str], on_message: OnMessage, on_exit: Callable[[Child], None]
    ) -> Child:
        """Starts a server. A command that cannot run exits with 126 or 127.

        Raises `OSError` where no process can be created, and `RuntimeError` where no thread can be created
        that waits for it (Python before 3.12).
        """
        child = cls(on_message, on_exit)
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: child,
                *(*interpreter(), "-I", "-S", LAUNCHER, str(os.getpid())),
                *command,
                stderr=None,
                env=_environment(),
                start_new_session=True,
            )
        except BaseException:
            child._given_up = True
            raise
        return child

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        if self._given_up:  # `start` has failed, so nobody would wait for the end of this process
            self._transport.close()
        self._stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
        self._stdout = cast("asyncio.ReadTransport", self._transport.get_pipe_transport(1))
        self.pid = self._transport.get_pid()

    @property
    def how_it_ended(self) -> str:
        """The end of the process as a sentence without a full stop."""
        code = self._transport.get_returncode()
        if code is None:
            return "server was ended"
        if code < 0:
            return f"server was ended by signal {-code}"
        return f"server exited with code {code}"

    def write(self, line: bytes) -> None:
        """Sends a line, which has no line end. Ignored when the process has ended."""
        if not self._exited and not self._stdin.is_closing():
            self._stdin.write(line + b"\n")

    @property
    def is_behind(self) -> bool:
        """Whether too many bytes wait because the server does not read its stdin."""
        return self._stdin.get_write_buffer_size() > MAX_UNREAD_BYTES

    def pause(self) -> None:
        """Stops reading its stdout, so that its writes block."""
        if not self._stdout.is_closing():
            self._stdout.pause_reading()

    def resume(self) -> None:
        if not self._stdout.is_closing():
            self._stdout.resume_reading()

    def end(self, close_seconds: float = CLOSE_SECONDS) -> asyncio.Task[None]:
        """Ends the process group: closes stdin, after `close_seconds` sends SIGTERM, then SIGKILL.

        Returns the task of it; a second call returns the same task.
        """
        if not self._ending:
            self._ending = asyncio.get_running_loop().create_task(self._end(close_seconds))
        return self._ending

    async def _end(self, close_seconds: float) -> None:
        self._stdin.close()
        if not await self._gone_within(close_seconds):
            self._signal(signal.SIGTERM)
            if not await self._gone_within(TERM_SECONDS):
                self._signal(signal.SIGKILL)
                await self.gone.wait()

    async def _gone_within(self, seconds: float) -> bool:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.gone.wait(), seconds)
        return self.gone.is_set()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    # Methods of asyncio.SubprocessProtocol, which the event loop calls.

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        first, *rest = data.split(b"\n")
        self._keep(first)
        for chunk in rest:
            self._emit()
            self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        if chunk and self._partial_bytes <= MAX_LINE_BYTES:
            self._partial.append(chunk)
        elif chunk:
            self._tail = (self._tail + chunk)[-TAIL:]
        self._partial_bytes += len(chunk)

    def _emit(self) -> None:
        line, tail, size = b"".join(self._partial).strip(), self._tail, self._partial_bytes
        self._partial, self._partial_bytes, self._tail = [], 0, b""
        if size > MAX_LINE_BYTES:
            found = self._reader.too_long(line, line[-TAIL:] + tail, size)
        else:
            found = self._reader.read(line) if line else []
        for received in found:
            self._on_message(received)

    def pipe_connection_lost(self, fd: int, exc: Optional[Exception]) -> None:
        if fd == 1:
            self._stdout_open = False
            self._finish_if_over()

    def process_exited(self) -> None:
        self._exited = True
        self._signal(signal.SIGKILL)  # whatever it left behind in its group
        self._finish_if_over()
        asyncio.get_running_loop().call_later(EOF_SECONDS, self._finish)

    def _finish_if_over(self) -> None:
        if self._exited and not self._stdout_open:
            self._finish()

    def _finish(self) -> None:
        if self.gone.is_set():
            return
        if self._partial_bytes:
            log(f"the server's last line on stdout was not finished: {self._partial_bytes} bytes")
        self.gone.set()
        self._transport.close()
        self._on_exit(self)


def _environment() -> Dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
