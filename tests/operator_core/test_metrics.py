"""Every metric is described, and what is described exists, with those labels."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from mitosis_operator import metrics

DOCS = Path(__file__).parents[2] / "docs/metrics.md"


def test_the_page_of_metrics_is_true() -> None:
    described = {
        row[0]: set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row[1])))
        for row in re.findall(r"^\| `(mitosis_\w+)` \| (.*?) \|", DOCS.read_text(), re.MULTILINE)
    }
    real = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            suffix = "_total" if metric._type == "counter" else ""
            real[metric._name + suffix] = set(metric._labelnames)
    assert described == real
