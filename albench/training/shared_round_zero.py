"""Round 0 is the same training for all strategies that share it. It is done once and stored next to the runs.

A strategy declares that it shares round 0 (`Strategy.shares_round_zero`), and the session of the run verifies that
(`albench.training.network_difference`). The name of the stored training is a hash of everything that decides its
result, first of all the code, the initial weights and the labels, so that runs share it only where their
trainings would be equal to the last bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from albench.config import RunConfig
from albench.encoder_decoder import plain
from albench.files import locked, write_tensors
from albench.masks import Mask
from albench.runs.cost import device_name
from albench.runs.records import FitSummary
from albench.source import own_source
from albench.training.learner import Learner, TrainingLog, Weights, weights_of


def fit_shared(
    learner: Learner, fit: Callable[[], None], config: RunConfig, labels: Mapping[int, Mask], folder: Path
) -> None:
    """Train as `fit` does, or take the weights and the log of another run that has done the same.

    Args:
        learner: of its network, the logits depend on the plain one only (`albench.encoder_decoder.plain`).
        fit: trains the learner.
        config: settings of the run.
        labels: {id: (h, w) mask} of the labeled slices.
        folder: where shared trainings are kept.

    Raises:
        StoreError: the weights cannot be written.
    """
    network = plain(learner.network)
    path = folder / f"{_key(learner, config, labels)}.pt"
    with locked(path.with_suffix(".lock"), wait=True):
        found = _read(path)
        if found is None:
            fit()
            log = [dataclasses.asdict(training.summary) for training in learner.log]
            write_tensors(path, {"weights": weights_of(network), "log": log})
            return
    network.load_state_dict(found["weights"])
    for summary in found["log"]:
        learner.report(TrainingLog(FitSummary(**summary), (), made=False))


def _read(path: Path) -> dict[str, Any] | None:
    """A finished training; None if there is none, or none that can be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a damaged file; the training is done again and replaces it
        return None


def _key(learner: Learner, config: RunConfig, labels: Mapping[int, Mask]) -> str:
    network = plain(learner.network)
    weights: Weights = network.state_dict()
    settings = {
        "albench": own_source(),
        "torch": torch.__version__,
        "hardware": [device_name(learner.device), torch.get_num_threads()],
        "title": config.title,
        "seed": config.seed,
        "data": config.data_key,
        "cases": [learner.slices.cases, learner.validation.slices.cases if learner.validation else ()],
        "steps": config.protocol.steps,
        "training": dataclasses.asdict(config.training),
        "images": [learner.slices.shape, learner.slices.context, learner.slices.classes],
        "network": [{**dataclasses.asdict(config.network), "spec": None}, repr(network)],
        "labeled": sorted(labels),
    }
    content = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, value in weights.items():
        content.update(name.encode())
        content.update(value.cpu().numpy().tobytes())
    for slice_id in sorted(labels):
        content.update(labels[slice_id].tobytes())
    return content.hexdigest()[:16]
