"""A settings file that is written says what the settings are."""

from datetime import UTC, datetime
from pathlib import Path

from config.board_settings import BoardSettings
from config.settings import ClockSettings, KafkaSettings, Settings, WorkerSettings, load_settings
from config.toml_writer import as_toml
from config.values import Secret

AT = datetime(2026, 3, 1, 9, 0, 0, 1, tzinfo=UTC)


def test_what_is_written_is_read_again_as_the_same(tmp_path: Path) -> None:
    settings = Settings(
        kafka=KafkaSettings(bootstrap="h:1,i:2", events_topics=("a", "b"), session_timeout_seconds=0.5),
        worker=WorkerSettings(metrics_port=0, data_dir=Path('/a "directory"\\with\n odd \u00fc letters')),
        clock=ClockSettings(mode="scaled", at=AT, wall_origin=AT, speed=60.0),
    )
    path = tmp_path / "settings.toml"
    path.write_text(as_toml(settings), encoding="utf-8")
    assert load_settings(path, {}) == settings


def test_defaults_need_no_words_and_secrets_get_none() -> None:
    assert as_toml(Settings()) == ""
    assert as_toml(Settings(board=BoardSettings(port=1, tokens=Secret("hunter2")))) == "[board]\nport = 1\n"
