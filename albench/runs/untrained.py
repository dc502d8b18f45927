"""Which rounds evaluated a network with its initial weights, because no step of its training was better."""

from __future__ import annotations

from albench.config import RunConfig
from albench.runs.records import RoundRecord

KEPT_INITIAL = "no step of its training was better on the validation cases than the initial weights, which are kept"
"""What happened in such a round, as the end of a sentence."""


def untrained(config: RunConfig, record: RoundRecord) -> bool:
    """Whether every training before the evaluation of a round kept the weights of its start, and these are initial."""
    starts_anew = record.round == 0 or not config.protocol.warm_start
    return starts_anew and kept_weights(record)


def kept_weights(record: RoundRecord) -> bool:
    """Whether all trainings before the evaluation of a round kept the weights of their start; false without any."""
    return bool(record.fit_trainings) and all(training.best_step == 0 for training in record.fit_trainings)
