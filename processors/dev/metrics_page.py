"""A page of one of our own processes over HTTP, and sums over the samples of a metrics page."""

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException

from prometheus_client.parser import text_string_to_metric_families

from processors.dev.process import LOOPBACK

TIMEOUT_SECONDS = 5.0

Labels = dict[str, str]
Sample = tuple[Labels, float]


class MetricsPage:
    """The samples of a metrics page, by name."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels; 0 if there are none."""
        return sum(value for _, value in self._with(name, labels))

    def totals_by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The same for each value of one label."""
        sums: dict[str, float] = {}
        for found, value in self._with(name, labels):
            sums[found[label]] = sums.get(found[label], 0.0) + value
        return sums

    def _with(self, name: str, labels: Labels) -> Iterator[Sample]:
        return (sample for sample in self._samples.get(name, ()) if labels.items() <= sample[0].items())


def get(port: int, path: str) -> str | None:
    """The page at a port of loopback; None when nobody answers, or not with 200."""
    connection = HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return text if response.status == 200 else None


def metrics(port: int) -> MetricsPage | None:
    """The metrics page at a port of loopback; None when nobody serves one there."""
    text = get(port, "/metrics")
    return None if text is None else MetricsPage(text)
