"""Generated copies are fresh, and one that is not is named."""

import shutil
from pathlib import Path

import pytest
import script_files
import yaml

generate = script_files.load("generate")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in ("crds", "helm", "manifests", "docs", "scripts"):
        shutil.copytree(script_files.ROOT / folder, tmp_path / folder)
    return tmp_path


def test_all_copies_are_fresh() -> None:
    assert list(generate.find_stale(script_files.ROOT)) == []


def test_a_changed_crd_makes_its_copies_stale_until_they_are_written(checkout: Path) -> None:
    crd = checkout / "crds" / "shards.yaml"
    crd.write_text(crd.read_text().replace("shortNames: [sh]", "shortNames: [sh, shd]"))
    copies = {generate.CHART_CRDS / "shards.yaml"}
    assert copies <= set(generate.find_stale(checkout))
    assert copies | {generate.INSTALL} <= set(generate.write(checkout))
    assert list(generate.find_stale(checkout)) == []
    assert "shd" in (checkout / generate.INSTALL).read_text()


def test_the_copy_of_a_crd_that_is_gone_is_removed(checkout: Path) -> None:
    old = checkout / generate.CHART_CRDS / "gone.yaml"
    old.write_text("kind: CustomResourceDefinition\n")
    assert generate.CHART_CRDS / "gone.yaml" in set(generate.find_stale(checkout))
    generate.write(checkout)
    assert not old.exists()


def test_braces_in_a_crd_are_no_template() -> None:
    text = generate.as_template("metadata:\n  name: x\nspec: '{{ no }}'\n", "crds/x.yaml")
    assert """spec: '{{ "{{" }} no }}'""" in text


def test_install_yaml_needs_nothing_but_kubectl() -> None:
    text = (script_files.ROOT / generate.INSTALL).read_text()
    objects = [body for body in yaml.safe_load_all(text) if body]
    assert objects[0]["kind"] == "Namespace"
    assert "Pod" not in {body["kind"] for body in objects}
    cluster_wide = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for body in objects:
        if body["kind"] not in cluster_wide:
            assert body["metadata"]["namespace"] == generate.NAMESPACE
