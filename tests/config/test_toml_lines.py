"""Every key of a TOML text is found on the line where it stands."""

import tomllib

import pytest

from config.settings import HERE
from config.toml_lines import KeyPath, TomlLines

TRICKY = '''\
# [not] = "a header"
top = 1  # [[neither]]
text = """
[inside]
key = "no key"
"""
raw = \'\'\'
[[inside]]
\'\'\'
list = [ # the first line of it
  "]", '[', "\\"", # three texts
  { a = 1, b = [2] },
]
"quoted key".'x y'.z = 3

[table."a.b"]
deep.er = true
[[many]]
name = "first"
[many.sub]
x = 1
[[many]]
name = "second"
[[many.inner]]
x = 1
[[many.inner]]
x = """"two" quotes"""
[many.sub]
x = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("text",), 3),
        (("raw",), 7),
        (("list",), 10),
        (("list", 3, "a"), 10),
        (("quoted key", "x y", "z"), 14),
        (("quoted key",), 14),
        (("table", "a.b"), 16),
        (("table", "a.b", "deep", "er"), 17),
        (("many", 0), 18),
        (("many", 0, "name"), 19),
        (("many", 0, "sub", "x"), 21),
        (("many", 1), 22),
        (("many", 1, "inner", 0, "x"), 25),
        (("many", 1, "inner", 1), 26),
        (("many", 1, "inner", 1, "x"), 27),
        (("many", 1, "sub", "x"), 29),
        (("many", 1, "missing"), 22),
        (("missing",), None),
        ((), None),
    ],
)
def test_a_key_is_found_or_the_nearest_table_around_it(path: KeyPath, line: int | None) -> None:
    assert TomlLines(TRICKY).line(path) == line


@pytest.mark.parametrize("name", ["default.toml", "policy.toml"])
def test_every_key_of_the_shipped_files_stands_on_its_line(name: str) -> None:
    text = (HERE / name).read_text(encoding="utf-8")
    lines, found = TomlLines(text), 0
    for path in _leaves(tomllib.loads(text)):
        line = lines.line(path)
        assert line is not None
        assert text.splitlines()[line - 1].startswith(str(path[-1]))
        found += 1
    assert found > 5


def _leaves(value: object, path: KeyPath = ()) -> list[KeyPath]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key))]
    if isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        return [leaf for number, inner in enumerate(value) for leaf in _leaves(inner, (*path, number))]
    return [path]
