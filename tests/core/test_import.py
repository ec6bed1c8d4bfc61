"""The core loads wherever a program was started, compiled or not: `salespulse` runs in any directory."""

import subprocess
import sys
from pathlib import Path


def test_the_core_loads_in_another_directory(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", "import processors.core.ledger.ledger"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
