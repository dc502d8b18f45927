"""The hash of albench's own source."""

from pathlib import Path

import pytest

from albench.source import own_source, source_of

ROOT = Path(__file__).parents[1]
PLACES = {
    "albench": "albench",
    **{f"albench.{name}": name for name in ("strategies", "datasets", "reports", "benchmarks")},
}


@pytest.fixture
def installed(tmp_path):
    """A checkout and an installation of the same three files."""
    for place in ("checkout/albench/loop.py", "checkout/strategies/_star/parts.py", "checkout/reports/page.py"):
        for path in (tmp_path / place, tmp_path / place.replace("checkout/", "installed/albench/", 1)):
            path = Path(str(path).replace("albench/albench", "albench"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(place)
    return tmp_path


def of_checkout(folder: Path) -> str:
    return source_of({package: [folder / place] for package, place in PLACES.items()})


def of_installation(folder: Path) -> str:
    return source_of({package: [folder / package.replace(".", "/")] for package in PLACES})


def test_a_checkout_and_an_installation_have_the_same_source(installed):
    assert of_checkout(installed / "checkout") == of_installation(installed / "installed")


@pytest.mark.parametrize(
    "place", ["albench/loop.py", "strategies/_star/parts.py", "reports/page.py", "datasets/new.py"]
)
def test_any_changed_file_is_another_source(installed, place):
    before, path = of_checkout(installed / "checkout"), installed / "checkout" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    assert of_checkout(installed / "checkout") != before


def test_the_source_of_albench_is_that_of_all_its_packages():
    assert own_source() == of_checkout(ROOT)
    assert own_source() != source_of({"albench": [ROOT / "albench"]})
