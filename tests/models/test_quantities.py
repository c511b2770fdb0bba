import pytest

from mitosis_operator.models import quantities


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("64Gi", 64 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("1k", 1000),
        ("1G", 10**9),
        ("1e3", 1000),
        ("12E", 12 * 10**18),
        ("1Ei", 2**60),
        ("100m", 1),
        ("1n", 1),
        (".5Ki", 512),
        ("5.", 5),
        ("+1", 1),
        ("-1Gi", -(2**30)),
        ("0", 0),
        (4096, 4096),
    ],
)
def test_amounts_are_exact_and_fractions_round_up(text, count):
    assert quantities.to_bytes(text) == count


@pytest.mark.parametrize(
    ("text", "millis"),
    [("250m", 250), ("2", 2000), (1, 1000), ("0.1", 100), ("1u", 1), ("1k", 10**6)],
)
def test_cpu_is_counted_in_thousandths(text, millis):
    assert quantities.to_millis(text) == millis


@pytest.mark.parametrize("text", ["", "Gi", "64GB", "64 Gi", "1e", "--1", "1.2.3", "0x10", "1KI"])
def test_anything_else_is_refused(text):
    with pytest.raises(quantities.BadQuantity, match="write a number and a unit"):
        quantities.parse(text)


@pytest.mark.parametrize("text", ["64Gi", "1536Mi", "1Ti", "1000", "0", "1Ki"])
def test_formatting_is_exact(text):
    assert quantities.format_bytes(quantities.to_bytes(text)) == text


@pytest.mark.parametrize("text", ["250m", "1", "1500m", "0"])
def test_formatting_of_cpu_is_exact(text):
    assert quantities.format_millis(quantities.to_millis(text)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(64 * 2**30, "64Gi"), (68_000_000_000, "63.3Gi"), (0, "0 bytes"), (1536, "1.5Ki")],
)
def test_people_read_rounded_amounts(count, text):
    assert quantities.rough_bytes(count) == text
