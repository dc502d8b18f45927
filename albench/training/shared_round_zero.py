"""Round 0 is the same training for all strategies that leave it as it is. It is done once and kept beside the runs.

A strategy shares round 0 if its initial slices, its `fit` and its `loss` are the defaults and its network computes
logits as the Segmenter does. The file's name is a hash of everything that decides the result, first of all the initial
weights and the labeled slices, so strategies meet only where they would do the same to the last bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import albench
from albench.config import RunConfig
from albench.files import locked, write_tensors
from albench.runs.cost import hardware
from albench.strategy import Round, Strategy
from albench.training.learner import FitSummary, Weights
from albench.training.networks import Decoder, Encoder, Segmenter

FOLDER = ".round-0"

_HOOKS = ("initial", "fit", "loss")
_METHODS = ("forward", "encode", "decode")
_PARTS = ("encoder", "dropout", "decoder")


def fit_round_zero(strategy: Strategy, ctx: Round, config: RunConfig, folder: Path) -> bool:
    """Train as `strategy.fit(ctx)` does, or take the weights of another run that has done the same.

    Args:
        folder: where shared trainings are kept.

    Returns:
        Whether the weights were taken.

    Raises:
        StoreError: the weights cannot be written.
    """
    network = ctx.learner.network
    own = _logit_weights(network)
    if own is None or any(getattr(type(strategy), hook) is not getattr(Strategy, hook) for hook in _HOOKS):
        strategy.fit(ctx)
        return False
    path = folder / f"{_key(own, network, ctx, config)}.pt"
    with locked(path.with_suffix(".lock"), wait=True):
        found = _read(path)
        if found is None:
            strategy.fit(ctx)
            done = {"weights": _logit_weights(network), "log": [dataclasses.asdict(fit) for fit in ctx.learner.log]}
            write_tensors(path, done)
            return False
    network.load_state_dict(found["weights"], strict=False)
    ctx.learner.log.extend(FitSummary(**fit) for fit in found["log"])
    return True


def _logit_weights(network: nn.Module) -> dict[str, Tensor] | None:
    """The weights that logits depend on, if they are made as the Segmenter makes them; None otherwise."""
    if not isinstance(network, Segmenter):
        return None
    own = [getattr(type(network), name) for name in _METHODS] + [type(network.encoder), type(network.decoder)]
    if own != [getattr(Segmenter, name) for name in _METHODS] + [Encoder, Decoder]:
        return None
    state = network.state_dict()
    return {name: value for name, value in state.items() if name.partition(".")[0] in _PARTS}


def _read(path: Path) -> dict[str, Any] | None:
    """A finished training; None if there is none, or none that can be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a damaged file; the training is done again and replaces it
        return None


def _key(weights: Weights, network: nn.Module, ctx: Round, config: RunConfig) -> str:
    settings = {
        "albench": albench.__version__,
        "torch": torch.__version__,
        "hardware": hardware(ctx.learner.device),
        "title": config.title,
        "seed": config.seed,
        "data": config.data_key,
        "split": [config.protocol.split, config.protocol.split_seed],
        "training": dataclasses.asdict(config.training),
        "modules": [repr(module) for name, module in network.named_children() if name in _PARTS],
        "labeled": ctx.pool.labeled.tolist(),
    }
    content = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, value in weights.items():
        content.update(name.encode())
        content.update(value.cpu().numpy().tobytes())
    return content.hexdigest()[:16]
