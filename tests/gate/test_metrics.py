"""The catalogue of figures and the page that explains them agree."""

import re
from pathlib import Path

from mitosis_gate import metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_every_figure_of_the_gate_is_explained_and_no_other() -> None:
    shown = {
        f"{m.name}_total" if m.type == "counter" else m.name for m in metrics.REGISTRY.collect()
    }
    section = PAGE.read_text().partition("## Gate")[2].partition("\n## ")[0]
    explained = {f"mitosis_gate_{name}" for name in re.findall(r"^\| `(\w+)` \|", section, re.M)}
    assert explained == shown
