"""The environment in which tests run: loaded as a pytest plugin, before Django reads its settings."""

import atexit
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

# A shell starts what runs in its background deaf to Ctrl-C, and processes inherit that; ours must hear it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("ENV_FILE", str(Path(__file__).with_name("test.env")))
if "DATA_DIR" not in os.environ:
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="mcphost-test-")
    Path(os.environ["DATA_DIR"], "static").mkdir()
    atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
