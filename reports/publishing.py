"""Publishing the runs that a report compares, as a bundle."""

from __future__ import annotations

from pathlib import Path

from albench.bundles import Origin, Publication, write_bundle
from albench.bundles.manifest import LeftOut
from albench.bundles.tables import Named
from albench.errors import ConfigError
from albench.reports.collection import Collection
from albench.reports.results import Results
from albench.reports.runs import Run


def publish(results: Results, folder: Path | str, publication: Publication | None = None) -> list[Path]:
    """Write the finished and verified runs of a report, and their reference, as a bundle: a small directory.

    It has all numbers of their records, but no images and no masks, and does not tell where files lie.

    Args:
        results: see `albench.reports.load`; its metric does not matter.
        folder: of the bundle, whose name is that of the folder; a former bundle there is replaced.
        publication: what the runs do not record.

    Returns:
        The files of the bundle.

    Raises:
        ConfigError: the results are those of a bundle already.
        StoreError: the folder cannot be written or holds other files, or a name would tell where files lie.
    """
    collection = results.collection
    if collection.bundled:
        raise ConfigError(f"a bundle must be made of runs, '{results.folder}' is a bundle already: copy it")
    taken: set[str] = set()
    runs = [Named(run.label, run.group, run.dataset, _folder(run, taken), run.reader) for run in collection.runs]
    return write_bundle(Path(folder), runs, _origin(collection), publication or Publication())


def _folder(run: Run, taken: set[str]) -> str:
    """Dataset, strategy and name of a run, after a number if another run in another place has the same."""
    name = own = "/".join(run.reader.folder.parts[-3:])
    number = 1
    while name in taken:
        number += 1
        name = f"{number}/{own}"
    taken.add(name)
    return name


def _origin(collection: Collection) -> Origin:
    left_out = tuple(LeftOut(one.label, one.group, one.seed, one.state) for one in collection.problems)
    return Origin(collection.suite, collection.digest, collection.about, collection.order, left_out)
