"""Vectors of slices from elsewhere: a NumPy file with arrays `case`, `position` and `vector`.

| array | shape | content |
| --- | --- | --- |
| `case` | (m,) | name of the case of each slice, as in the dataset |
| `position` | (m,) | its position in the case from 0, as in the records of a run |
| `vector` | (m, d) | its vector |

Every slice of the pool must have one vector. Slices of other cases are ignored, so that one file serves all splits.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from albench.data import SliceStack
from albench.errors import StrategyError
from albench.files import is_file

_ARRAYS = ("case", "position", "vector")


def read_embeddings(path: Path, slices: SliceStack, option: str = "strategy.embeddings") -> NDArray[np.float32]:
    """The (n, d) vectors of n slices, by id.

    Args:
        option: that names the file.

    Raises:
        StrategyError: the file cannot be read, or does not have one finite vector of every slice.
    """
    case, position, vector = _read(path, option)
    if vector.ndim != 2 or case.shape != position.shape or case.shape != vector.shape[:1]:
        raise StrategyError(
            f"embeddings must have arrays case (m,), position (m,) and vector (m, d), '{path}' has shapes "
            f"{case.shape}, {position.shape} and {vector.shape}: write it again"
        )
    if vector.dtype.kind not in "fiu" or not vector.shape[1]:
        raise StrategyError(
            f"embeddings must have at least one real number per vector, those in '{path}' have {vector.shape[1]} of "
            f"type {vector.dtype}: write it again"
        )
    rows: dict[tuple[str, int], int] = {}
    for row, key in enumerate(zip(case.tolist(), position.tolist(), strict=True)):
        if key in rows:
            raise StrategyError(
                f"embeddings must have one vector per slice, '{path}' has two of case {key[0]}, position {key[1]}: "
                "leave one out"
            )
        rows[key] = row
    keys = [(slices.cases[index], z) for index, z in zip(slices.case.tolist(), slices.position.tolist(), strict=True)]
    missing = [key for key in keys if key not in rows]
    if missing:
        name, z = missing[0]
        raise StrategyError(
            f"embeddings must have a vector of every slice of the pool, '{path}' lacks {len(missing)} of {len(keys)}, "
            f"the first of case {name}, position {z}: add them"
        )
    found = np.ascontiguousarray(vector[[rows[key] for key in keys]], dtype=np.float32)
    if not np.isfinite(found).all():
        name, z = keys[int(np.flatnonzero(~np.isfinite(found).all(1))[0])]
        raise StrategyError(
            f"embeddings must be finite, that of case {name}, position {z} in '{path}' is not: compute it again"
        )
    return found


def _read(path: Path, option: str) -> list[NDArray[np.generic]]:
    if not is_file(path):
        raise StrategyError(f"{option} must name an existing .npz file, '{path}' does not exist: check the path")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [stored[name] for name in _ARRAYS]
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise StrategyError(
            f"{option} must name an .npz file with arrays {', '.join(_ARRAYS)}, '{path}' is not one "
            f"({error}): write it with numpy.savez"
        ) from error
