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
# Workers of one run share a Redis: each takes a database of its own, or it would get the others' messages and
# count their calls.
worker = os.environ.get("PYTEST_XDIST_WORKER", "")
for name in ("BROKER_URL", "REDIS_URL"):
    if worker and (url := os.environ.get(name, "")).startswith("redis://"):
        os.environ[name] = f"{url.rstrip('/').removesuffix('/0')}/{int(worker.removeprefix('gw')) + 1}"
os.environ.setdefault("ENV_FILE", str(Path(__file__).with_name("test.env")))
if "DATA_DIR" not in os.environ:
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="mcphost-test-")
    Path(os.environ["DATA_DIR"], "static").mkdir()
    atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
