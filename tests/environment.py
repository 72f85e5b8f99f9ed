"""The environment in which tests run: loaded as a pytest plugin, before Django reads its settings."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("ENV_FILE", str(Path(__file__).with_name("test.env")))
if "DATA_DIR" not in os.environ:
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="mcphost-test-")
    Path(os.environ["DATA_DIR"], "static").mkdir()
    atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
