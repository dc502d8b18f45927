"""Settings that do not fit together, found before anything is computed."""

from __future__ import annotations

from albench.config import ERROR_SIZES, Protocol, Training
from albench.errors import ConfigError


def check_combinations(protocol: Protocol, training: Training) -> None:
    """Check that the settings of a run fit together.

    Raises:
        ConfigError: they do not.
    """
    if protocol.validation == "none" and training.stop != "steps":
        raise ConfigError(
            f"protocol.validation=none needs training.stop=steps, got {training.stop}: without validation cases "
            "nothing tells when to stop, so set training.stop=steps or keep the validation cases"
        )
    if protocol.compute == "matched" and protocol.steps is None:
        raise ConfigError(
            "protocol.compute=matched needs a number of steps or other methods to match, got neither: set "
            "protocol.steps, or run a suite with more than one method"
        )
    if protocol.compute == "own" and protocol.steps is not None:
        raise ConfigError(
            f"protocol.steps needs protocol.compute=matched, got protocol.steps={protocol.steps} with "
            "protocol.compute=own: set protocol.compute=matched, or leave protocol.steps out"
        )
    _check_errors(protocol)


def _check_errors(protocol: Protocol) -> None:
    kinds = protocol.annotation_errors
    if len(set(kinds)) < len(kinds):
        raise ConfigError(
            f"protocol.annotation_errors must name each kind once, got {', '.join(kinds)}: leave repetitions out"
        )
    for name in ERROR_SIZES:
        value = getattr(protocol, name)
        if not kinds and value != getattr(Protocol, name):
            raise ConfigError(
                f"protocol.{name} needs protocol.annotation_errors, got protocol.{name}={value} without any: set "
                f"protocol.annotation_errors=[contours], or leave protocol.{name} out"
            )


def check_one_split(protocol: Protocol) -> None:
    """Check that a run, or a search, is not meant to be repeated on several splits. Raises ConfigError."""
    if isinstance(protocol.splits, int) and protocol.splits > 1:
        raise ConfigError(
            f"protocol.splits must be 1 or nested outside of a suite, got {protocol.splits}: repeat runs on several "
            "splits with albench bench, or choose one with protocol.split_seed"
        )
