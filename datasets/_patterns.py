"""Patterns of file names that choose among several images of a mask, or several masks of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from glob import escape
from pathlib import Path, PurePosixPath

from albench.datasets._formats import stem
from albench.datasets._pairing import paired


def image_patterns(images: Mapping[str, Path], masks: Sequence[str]) -> list[str]:
    """Patterns such as `*_flair.nii.gz` or `pre/FLAIR.nii.gz`, each of which chooses one image for all masks of a case.

    Args:
        images: by their paths without suffix.
        masks: paths without suffix.
    """
    return _fitting(images, lambda chosen: paired(chosen, masks) is not None)


def mask_patterns(images: Sequence[str], masks: Mapping[str, Path]) -> list[str]:
    """Patterns each of which chooses one mask for every image; arguments as of `image_patterns`."""

    def fit(chosen: Sequence[str]) -> bool:
        found = paired(images, chosen) if len(chosen) == len(images) else None
        return found is not None and len(found.masks) == len(images)

    return _fitting(masks, fit)


def _fitting(files: Mapping[str, Path], fit: Callable[[list[str]], bool]) -> list[str]:
    """For every file the most general pattern whose files fit, each once, those of files in fewest folders first."""
    endings = {name: _endings(name + path.name[len(stem(path)) :]) for name, path in files.items()}
    chosen: dict[str, list[str]] = {}
    for name, of in endings.items():
        for ending in of:
            chosen.setdefault(ending, []).append(name)
    fits: dict[str, bool] = {}
    found: dict[str, int] = {}
    for name, of in endings.items():
        for ending in of:
            if len(chosen[ending]) == 1:
                break  # what fits one file only says nothing about the others
            if ending not in fits:
                fits[ending] = fit(chosen[ending])
            if fits[ending]:
                found.setdefault(ending, name.count("/"))
                break
    return sorted(found, key=lambda ending: found[ending])


def _endings(path: str) -> list[str]:
    """Patterns that a path fits, the most general first: the last parts of its name, its name, its folders."""
    *folders, name = PurePosixPath(path).parts
    cuts = [index for index, letter in enumerate(name) if letter in "_- " and index]
    within = [f"*{escape(name[index:])}" for index in reversed(cuts)]
    return [*within, *(escape("/".join([*folders[start:], name])) for start in range(len(folders), -1, -1))]
