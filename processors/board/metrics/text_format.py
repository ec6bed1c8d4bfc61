"""The Prometheus text format, as far as the board writes it itself."""

from collections.abc import Iterable, Sequence

from processors.board.metrics.families import Labels, Value


def escape(value: str) -> str:
    """A label's value within its quotation marks."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def pairs(labels: Labels) -> str:
    """Labels as they stand within braces."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in labels)


def head(name: str, meaning: str) -> str:
    """The lines before a family of gauges."""
    return f"# HELP {name} {meaning}\n# TYPE {name} gauge\n"


def family(name: str, meaning: str, samples: Iterable[tuple[Labels, Value]]) -> str:
    """A whole family of gauges."""
    return head(name, meaning) + "".join(f"{name}{{{pairs(labels)}}} {value}\n" for labels, value in samples)


def rep_template(name: str, rows: Sequence[Labels]) -> str:
    """The series of one rep in a family, to be filled with (rep's labels, value) for each by the operator `%`."""
    own = [pairs(row).replace("%", "%%") for row in rows]
    return "".join(f"{name}{{%s{',' if row else ''}{row}}} %s\n" for row in own)


def fill(template: str, rep_labels: str, values: Sequence[Value]) -> bytes:
    """A template with the values in it."""
    filling: list[str | Value] = [rep_labels] * (2 * len(values))
    filling[1::2] = values
    return (template % tuple(filling)).encode()
