"""Where a task of the Decathlon is: its unpacked folder, or its archive, which is unpacked once into its own folder."""

from __future__ import annotations

import logging
import os
import tarfile
from pathlib import Path

from albench.data import Archive, mark_content
from albench.errors import DataError, StoreError
from albench.temporary import temporary_folder

_END = 1024  # zeros, at the end of every tar archive


def public_archive(task: str, folder: Path) -> Archive:
    """The archive of MONAI's copy of the Decathlon, to be stored in `folder`."""
    from monai.apps.datasets import DecathlonDataset  # takes seconds

    return Archive(DecathlonDataset.resource[task], DecathlonDataset.md5[task], folder / f"{task}.tar")


def located(task: str, root: Path) -> Path | None:
    """The folder of the task or its .tar: `root` itself or an entry of it; None if neither exists."""
    for folder in (root, root / task):
        if (folder / "imagesTr").is_dir():
            return folder
    for archive in (root, root / f"{task}.tar"):
        if archive.suffix == ".tar" and archive.is_file():
            return archive
    return None


def unpacked(archive: Path, task: str) -> Path:
    """The folder that the archive contains, unpacked beside it.

    A process may be killed in between, and two processes may unpack at once.

    Raises:
        DataError: the archive is damaged or contains something else.
        StoreError: the folder cannot be written.
    """
    folder = archive.parent / task
    if folder.is_dir():
        return folder
    try:
        with temporary_folder(archive.parent, f".{task}.") as partial:
            content = partial / "content"  # nothing is unpacked into a folder that holds something, as a mark
            _extract(archive, content)
            if not (content / task / "imagesTr").is_dir():
                raise DataError(
                    f"'{archive}' must contain {task}/imagesTr, it does not: download the archive of {task}"
                )
            try:
                mark_content(content / task)
                (content / task).rename(folder)
            except OSError:
                if not folder.is_dir():  # otherwise another process was faster
                    raise
    except (OSError, StoreError) as error:
        reason = error.__cause__ or error  # of a StoreError, what the system says
        raise StoreError(
            f"'{archive.parent}' must be writable and have room for the unpacked archive, the system says "
            f"'{getattr(reason, 'strerror', reason)}': unpack it elsewhere and give that folder with --data-root"
        ) from error
    return folder


def _extract(archive: Path, target: Path) -> None:
    from monai.apps.utils import extractall  # rejects links and paths that lead out of the folder

    logging.getLogger("monai.apps").setLevel(logging.WARNING)
    try:
        with archive.open("rb") as file:
            file.seek(-_END, os.SEEK_END)
            if any(file.read()):  # tarfile accepts an archive that is cut between two members
                raise tarfile.ReadError("it ends early")
        extractall(archive, target, has_base=False)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(
            f"'{archive}' must be a whole .tar archive, it cannot be unpacked ({error}): download it again"
        ) from error
