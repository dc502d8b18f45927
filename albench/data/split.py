"""The split of cases into training, validation and test set, with all cases of a patient in one of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from albench.config import Protocol
from albench.data.dataset import Dataset, check_case_names
from albench.errors import ConfigError


@dataclass(frozen=True)
class Split:
    """Names of the cases of the training, validation and test set, sorted."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def split_volumes(
    cases: Sequence[str],
    patients: Sequence[str],
    parts: tuple[float, float, float],
    seed: int,
    *,
    validation: bool = True,
    unlabeled: Collection[str] = (),
) -> Split:
    """Split cases by patient. Cases without mask are in the training set only.

    Patients are assigned by their cases with masks. A case without mask is left out if its patient is in the validation
    or test set, because all cases of a patient are in one of the sets.

    Args:
        cases: (s,) names.
        patients: (s,) the patient of each case.
        parts: as in `split_patients`.
        validation: false adds the validation cases to the training cases; their part may then be 0.
        unlabeled: the cases without mask.

    Raises:
        ConfigError: as `split_patients`.
    """
    volumes = sorted(zip(cases, patients, strict=True))
    labeled = [(case, patient) for case, patient in volumes if case not in unlabeled]
    drawn = split_patients(sorted({patient for _, patient in labeled}), parts, seed, validation=validation)
    train, val, test = (
        tuple(case for case, patient in labeled if patient in part) for part in (drawn.train, drawn.val, drawn.test)
    )
    elsewhere = {*drawn.val, *drawn.test}
    added = [case for case, patient in volumes if case in unlabeled and patient not in elsewhere]
    return Split(tuple(sorted([*train, *added])), val, test)


def split_dataset(dataset: Dataset, protocol: Protocol, split_seed: int) -> Split:
    """The split of the cases of a dataset as a protocol has it.

    Raises:
        ConfigError: as `split_patients` and `check_case_names`.
    """
    check_case_names(dataset)
    cases = dataset.cases()
    return split_volumes(
        cases,
        [dataset.patient(case) for case in cases],
        protocol.split,
        split_seed,
        validation=protocol.validation != "none",
        unlabeled={case for case in cases if not dataset.has_mask(case)},
    )


def split_patients(
    patients: Sequence[str], parts: tuple[float, float, float], seed: int, *, validation: bool = True
) -> Split:
    """Sort the patients, shuffle them with `seed`, and assign them to the three sets in that order.

    Args:
        parts: shares that sum to 1 (training and validation are rounded down, the test set takes the rest), or numbers
            of patients; with numbers, the remaining patients are not used.
        validation: as in `split_volumes`.

    Raises:
        ConfigError: a set would be empty, or there are fewer patients than the numbers require.
    """
    total = len(patients)
    if np.isclose(sum(parts), 1.0):
        train, val = (int(part * total + 1e-9) for part in parts[:2])
        val = max(val, 1) if validation or parts[1] else 0
        counts = (train, val, total - train - val)
    elif all(float(part).is_integer() for part in parts):
        counts = (int(parts[0]), int(parts[1]), int(parts[2]))
    else:
        raise ConfigError(
            f"protocol.split must be three shares that sum to 1 or three numbers of patients, got {list(parts)}: "
            "write for example [0.7,0.15,0.15] or [28,6,7]"
        )
    required = counts if validation else (counts[0] + counts[1], counts[2])
    if min(required) < 1 or sum(counts) > total:
        raise ConfigError(
            f"protocol.split must give each of {'train, validation' if validation else 'train'} and test at least one "
            f"of the {total} patients, "
            f"{list(parts)} gives {list(counts)}: add cases or change protocol.split"
        )
    order = [sorted(patients)[i] for i in np.random.default_rng(seed).permutation(total)]
    first, second, third = counts
    test = tuple(sorted(order[first + second : first + second + third]))
    if not validation:
        return Split(tuple(sorted(order[: first + second])), (), test)
    return Split(tuple(sorted(order[:first])), tuple(sorted(order[first : first + second])), test)
