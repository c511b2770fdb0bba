import pytest

from mitosis_local import prerequisites, programs
from mitosis_local.errors import Missing
from mitosis_local.paths import GO_MODULE


def test_the_programs_say_the_version_that_the_module_names() -> None:
    version = programs.kubernetes_version((GO_MODULE / "go.mod").read_text())
    flags = programs.linker_flags(version)
    major, minor = version[1:].split(".")[:2]
    assert f"version.gitVersion={version}" in flags
    assert f"version.gitMajor={major}" in flags and f"version.gitMinor={minor}" in flags


def test_a_module_without_kubernetes_is_refused() -> None:
    with pytest.raises(Missing, match="k8s.io/kubernetes"):
        programs.kubernetes_version("module x\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.30rc1 linux/amd64", (1, 30)),
        ("go version devel", None),
    ],
)
def test_go_says_its_version(text: str, expected: tuple[int, int] | None) -> None:
    assert prerequisites.go_version(text) == expected
