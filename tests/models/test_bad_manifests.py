"""What the API server refuses, the models refuse too: an old API server does not check rules."""

from typing import Any

import pytest

from manifests import bad_cases, changed, good
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.problems import Severity
from mitosis_operator.models.reading import Unreadable
from mitosis_operator.models.shard import Shard

VISIBLE = [c for c in bad_cases() if not c.update]


def refusals(body: dict[str, Any]) -> list[str]:
    try:
        if body["kind"] == "Keyspace":
            problems = Keyspace.from_body(body).problems()
        else:
            problems = Shard.from_body(body).problems(a_keyspace())
    except Unreadable as exc:
        return [str(exc)]
    return [p.message for p in problems if p.severity is Severity.REFUSED]


def a_keyspace() -> Keyspace:
    return Keyspace.from_body(good("Keyspace"))


@pytest.mark.parametrize("case", VISIBLE, ids=lambda c: c.title)
def test_a_bad_manifest_is_refused_by_the_models_with_the_same_sentence(case):
    said = refusals(changed(case))
    assert said
    if not case.schema:
        assert case.says in "; ".join(said)


@pytest.mark.parametrize("kind", ["Keyspace", "Shard"])
def test_the_manifests_that_the_cases_start_from_are_good(kind):
    assert refusals(good(kind)) == []
