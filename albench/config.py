"""The settings of a run: frozen dataclasses, checked once, written out whole, hashed into the run's name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from albench.errors import ConfigError, suggestion

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]

T = TypeVar("T")


@dataclass(frozen=True)
class Protocol:
    """How labels are bought.

    Attributes:
        interval: every interval-th slice of a training case is labeled before round 0 (the paper's j).
        budget: slices bought per round (the paper's b).
        rounds: how many times slices are bought; there are rounds + 1 trainings.
        warm_start: fine-tune from the last round's weights; false trains anew from the initial weights.
        split: shares or numbers of cases for training, validation and test.
        split_seed: seed of the split, the same for all seeds of a benchmark.
    """

    interval: Positive = 10
    budget: Positive = 100
    rounds: Count = 16
    warm_start: bool = True
    split: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (
        0.7,
        0.15,
        0.15,
    )
    split_seed: Count = 0


@dataclass(frozen=True)
class Training:
    """How the network is trained in every round.

    Attributes:
        epochs: at most this many passes over the labeled slices.
        patience: stop after this many epochs without a lower validation loss.
        batch_size: slices per optimizer step.
        lr: Adam's learning rate in round 0, and in every round without warm start.
        lr_incremental: Adam's learning rate when fine-tuning in later rounds.
        focal_alpha: factor of the focal loss.
        focal_gamma: exponent of the focal loss.
        focal_alpha_mode: `scalar` multiplies all pixels, `balanced` foreground by alpha and background by 1 - alpha.
        augment: blur, flip and rotate the slices.
    """

    epochs: Positive = 100
    patience: Positive = 5
    batch_size: Positive = 32
    lr: Rate = 1e-4
    lr_incremental: Rate = 1e-5
    focal_alpha: Share = 0.6
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    focal_alpha_mode: Literal["scalar", "balanced"] = "scalar"
    augment: bool = True


@dataclass(frozen=True)
class Network:
    """The segmentation network that every strategy shares.

    Attributes:
        backbone: residual network of the encoder.
        width: factor on the numbers of channels of the encoder.
        decoder_width: channels of the decoder.
        stem_stride: how much the first layers shrink the image; the bottleneck is 4 times smaller still, 1/16 with 4.
        dropout: probability of dropping a feature of the bottleneck.
        upsample: interpolation in the decoder.
        weights: path of a torchvision ResNet checkpoint to start the encoder from; none starts at random.
    """

    backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet50"
    width: Rate = 1.0
    decoder_width: Positive = 256
    stem_stride: Literal[1, 2, 4] = 4
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    upsample: Literal["bilinear", "nearest"] = "bilinear"
    weights: str | None = None


@dataclass(frozen=True)
class Choice:
    """A strategy or a dataset with its options, and the hash of its code when it is a plugin."""

    name: str
    spec: str
    code: str | None
    options: dict[str, object]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's records, apart from the machine.

    Attributes:
        title: the name under which results are filed; random draws depend on it.
        locations: options of the dataset that say where its files lie; they are not part of the digest.
        data_key: hash of the prepared data.
        weights_key: hash of the file that `network.weights` names; its path is not part of the digest.
    """

    strategy: Choice
    dataset: Choice
    title: str
    locations: dict[str, object]
    data_key: str
    seed: Count
    protocol: Protocol
    training: Training
    network: Network
    weights_key: str | None = None

    def digest(self) -> str:
        """Eight hexadecimal digits that differ when any setting differs."""
        settings = dataclasses.asdict(self)
        del settings["locations"]
        del settings["network"]["weights"]
        for choice in (settings["strategy"], settings["dataset"]):
            del choice["spec"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def options_of(choice: object) -> dict[str, object]:
    """The options of a strategy or dataset as plain values."""
    return json.loads(json.dumps({f.name: getattr(choice, f.name) for f in dataclasses.fields(choice)}))  # type: ignore[arg-type]


def build(
    cls: type[T], options: Mapping[str, object], prefix: str, remedy: str = "set it with --set {option}=VALUE"
) -> T:
    """Make a settings object from options, with every mistake answered in one sentence.

    Args:
        prefix: what the user writes before the dot, such as `training`.
        remedy: what to do about a wrong value; `{option}` stands for the option's full name.

    Raises:
        ConfigError: an option is unknown or its value does not fit.
    """
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in options:
        if key not in fields:
            hint = suggestion(key, fields, f"{prefix}.") if fields else "it has no options, leave it out"
            raise ConfigError(f"an option must be known, got '{prefix}.{key}': {hint}")
    try:
        made = TypeAdapter(cls).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        path = [prefix, *(str(part) for part in first["loc"])]
        where, option = ".".join(path), ".".join(path[:2])
        cure = remedy.format(option=option)
        rule = first["msg"].replace("Input should be", "must be").replace("Field required", "must be given")
        rule = rule.replace("must be a valid tuple", "must be a list such as [1,2]")
        rule = rule[0].lower() + rule[1:]
        raise ConfigError(f"{where} {rule}, got {first['input']!r}: {cure}") from error
    _check_finite(made, fields, prefix, remedy)
    return made


def _check_finite(made: object, fields: Iterable[str], prefix: str, remedy: str) -> None:
    """A run is written as JSON, which knows neither NaN nor infinity."""
    for name in fields:
        value = getattr(made, name)
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            option = f"{prefix}.{name}"
            raise ConfigError(f"{option} must be finite, got {value}: {remedy.format(option=option)}") from None
