"""No exit, and everything counted, whatever is sent: 20,000 records, or 1,000,000 with `make test-hostile`."""

import os
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from tests.hostile.onslaught import withstand

RECORDS = int(os.environ.get("SALESPULSE_HOSTILE_RECORDS") or 20_000)
SEED = int(os.environ.get("SALESPULSE_HOSTILE_SEED") or 13)


@pytest.mark.timeout(300 + RECORDS // 50)
def test_a_worker_withstands_a_hostile_producer(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account, figures = withstand(settings, tmp_path, SEED, RECORDS)

    with capsys.disabled():
        sys.stdout.write(f"\n{account}\n{figures}\n")
    assert account.offsets > RECORDS // 2
