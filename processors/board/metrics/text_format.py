"""The Prometheus text format: what the board writes without a client library, for speed."""

from collections.abc import Iterable, Sequence

Labels = tuple[tuple[str, str], ...]
Value = int | float


def escape(value: str) -> str:
    """Escape a label value."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def pairs(labels: Labels) -> str:
    """Labels as written between the braces."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in labels)


def head(name: str, meaning: str) -> str:
    """The HELP and TYPE lines of a family of gauges."""
    return f"# HELP {name} {meaning}\n# TYPE {name} gauge\n"


def family(name: str, meaning: str, samples: Iterable[tuple[Labels, Value]]) -> str:
    """A family of gauges with its samples."""
    return head(name, meaning) + "".join(f"{name}{{{pairs(labels)}}} {value}\n" for labels, value in samples)


def rep_template(name: str, rows: Sequence[Labels]) -> str:
    """The series of one rep in a family, with a `%s` for the rep's labels and one for the value of each."""
    own = [pairs(row).replace("%", "%%") for row in rows]
    return "".join(f"{name}{{%s{',' if row else ''}{row}}} %s\n" for row in own)


def fill(template: str, rep_labels: str, values: Sequence[Value]) -> bytes:
    """Fill a `rep_template`."""
    filling: list[str | Value] = [rep_labels] * (2 * len(values))
    filling[1::2] = values
    return (template % tuple(filling)).encode()
