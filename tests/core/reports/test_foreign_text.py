"""Whatever an id is made of, it stays within its line, in the order of its letters."""

import pytest

from processors.core.reports.foreign_text import is_path_step, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("r-1", "r-1"),
        ("张伟 أحمد é 👩‍💻", "张伟 أحمد é 👩‍💻"),
        ("می‌خواهم", "می‌خواهم"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("a\x00b\x1b[31m\x85", "a\\x00b\\x1b[31m\\x85"),
        ("exe.\u202egpj", "exe.\\u202egpj"),
        ("\u2066a\u2069\u200b\u2028\ufeff", "\\u2066a\\u2069\\u200b\\u2028\\ufeff"),
    ],
)
def test_what_steers_the_printing_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(("text", "is_step"), [(".", True), ("..", True), ("...", False), ("", False), ("a..", False)])
def test_steps_of_a_path_are_known(text: str, is_step: bool) -> None:
    assert is_path_step(text) is is_step
