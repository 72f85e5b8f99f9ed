"""The environment in which tests run: loaded as a pytest plugin, before Django reads its settings."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("ENV_FILE", str(Path(__file__).with_name("test.env")))
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="mcphost-test-"))
