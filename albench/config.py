"""The settings of a run: frozen dataclasses, checked when they are built and hashed into the name of the run."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from albench.errors import ConfigError, suggestion
from albench.exits import rejecting_exits
from albench.registry import KINDS, find

MOST_SEED = 2**63 - 1
_MOST = 10**9  # of what is counted

Positive = Annotated[int, Field(ge=1, le=_MOST)]
Count = Annotated[int, Field(ge=0, le=_MOST)]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Stop = Literal["val_dice", "val_loss", "steps"]
AnnotationError = Literal["neighbor", "missed", "contours"]

T = TypeVar("T")


@dataclass(frozen=True)
class Protocol:
    """How slices are queried and annotated, and what is counted.

    Attributes:
        interval: every interval-th slice of a training case is labeled before round 0 (j in the paper).
        start: what is labeled before round 0, see `albench.start`: `interval`, `inside`, `cases`, `slices` or
            `few-cases`; the name of a strategy that selects by vectors; or `own`, where every such strategy selects its
            own. All label about as many slices as `interval`, but `inside` at least two of every case.
        start_embeddings: .npz file with the vectors by which a strategy selects them (`albench.embeddings`); in the
            settings of a run, the hash of its content.
        budget: slices annotated per round (b in the paper).
        rounds: number of queries; there are rounds + 1 trainings.
        warm_start: fine-tune from the weights of the previous round; false trains from the initial weights.
        split: shares or numbers of patients for training, validation and test.
        split_seed: seed of the split.
        splits: 1 gives all seeds the split of `split_seed`. A larger number repeats every seed on that many splits
            (crossed, by a suite). `nested` gives every seed a split of its own.
        validation: the labels of the validation cases are `free`, or `charged` like those of the pool; `none` has no
            validation cases and adds them to the pool, which needs `training.stop=steps`.
        compute: `own`: each strategy trains as it does. `matched`: in every round all strategies take the same number
            of optimizer steps in all their trainings together.
        steps: that number; in a suite, none takes `training.steps` for each training of the strategy with most.
        nsd_tolerance: distance in millimeters at which two surfaces agree, of the metric `nsd`.
        score_unknown: whether pixels whose label is unknown count in the score of a slice.
        grid: where scaled slices are scored: `native` brings predictions back to the grid of the file and compares them
            with its own mask, `working` compares with the scaled mask, which is faster. Slices that are not scaled have
            one grid.
        annotation_errors: kinds of errors in the labels of the pool, in any order, see `albench.annotator`; by default
            there are none. Validation and test cases have none.
        error_rate: share of the labeled slices in which each of these kinds occurs.
        error_distance: millimeters by which `contours` are displaced.
        missed_diameter: diameter in millimeters below which objects are `missed`.
    """

    interval: Positive = 10
    start: str = "interval"
    start_embeddings: str | None = None
    budget: Positive = 100
    rounds: Count = 16
    warm_start: bool = True
    split: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (
        0.7,
        0.15,
        0.15,
    )
    split_seed: Seed = 0
    splits: Positive | Literal["nested"] = 1
    validation: Literal["free", "charged", "none"] = "free"
    compute: Literal["own", "matched"] = "own"
    steps: Positive | None = None
    nsd_tolerance: Rate = 1.0
    score_unknown: bool = False
    grid: Literal["native", "working"] = "native"
    annotation_errors: tuple[AnnotationError, ...] = ()
    error_rate: Share = 0.2
    error_distance: Rate = 2.0
    missed_diameter: Rate = 10.0

    def split_of(self, seed: int) -> int:
        """The seed of the split of a run."""
        return self.split_seed + seed if self.splits == "nested" else self.split_seed


ERROR_SIZES = ("error_rate", "error_distance", "missed_diameter")
"""Options of the protocol that say how often and how far an annotator errs."""


@dataclass(frozen=True)
class Training:
    """How the network is trained in every round.

    Attributes:
        stop: what ends a training, and which weights are kept: `val_dice` and `val_loss` keep those with the highest
            volume Dice or the lowest loss on the validation cases and end without progress; `steps` takes a fixed
            number of optimizer steps and keeps the last weights.
        epochs: at most this many passes over the labeled slices, if they contain `min_steps`.
        patience: stop after this many epochs without progress, if they contain `patience_steps`.
        patience_steps: stop after this many optimizer steps without progress, if they contain `patience` epochs.
        min_steps: do not stop before this many optimizer steps.
        val_steps: validate after the first epoch in which this many optimizer steps have passed since the last time; 0
            validates after every epoch.
        steps: optimizer steps of every training with `stop=steps`.
        batch_size: slices per optimizer step.
        lr: Adam's learning rate in round 0, and in every round without warm start.
        lr_incremental: Adam's learning rate when fine-tuning in later rounds.
        focal_alpha: factor of the focal loss.
        focal_gamma: exponent of the focal loss.
        focal_alpha_mode: `scalar` weights all pixels by alpha; `balanced` weights foreground by alpha and background by
            1 - alpha.
        augment: blur, flip and rotate training slices at random.
    """

    stop: Stop = "val_dice"
    epochs: Positive = 100
    patience: Positive = 5
    patience_steps: Count = 100
    min_steps: Count = 300
    val_steps: Count = 20
    steps: Positive = 500
    batch_size: Positive = 32
    lr: Rate = 1e-4
    lr_incremental: Rate = 1e-5
    focal_alpha: Share = 0.6
    focal_gamma: Annotated[float, Field(ge=0, le=100)] = 2.0
    focal_alpha_mode: Literal["scalar", "balanced"] = "scalar"
    augment: bool = True


PAPER_STOP: dict[str, object] = {
    "training.stop": "val_loss",
    "training.patience": 5,
    "training.patience_steps": 0,
    "training.min_steps": 0,
    "training.val_steps": 0,
}
"""When a training ends in the STAR paper (Sec. 3.1), for the datasets of its suites."""


@dataclass(frozen=True)
class Choice:
    """A strategy, a dataset or a network.

    Attributes:
        name: under which it is known.
        spec: as the user named it.
        code: hash of its code if it is a plugin; of strategy and network not part of a run's digest.
        options: all of them, without those that name files.
        files_key: hash of the content of the files that its options name.
    """

    name: str
    spec: str
    code: str | None
    options: dict[str, object]
    files_key: str | None = None


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Tuning:
    """The search that the options of a strategy come from, see `albench tune`.

    Attributes:
        trials: combinations of options that were tried.
        seeds: runs per combination.
        options: the options that were varied, and the values that were found.
        metric: of the validation cases, by which they were chosen.
        score: of the chosen combination.
        steps: optimizer steps of the whole search.
        seconds: of the whole search, summed over its runs.
    """

    trials: Positive
    seeds: Positive
    options: dict[str, object]
    metric: str
    score: float
    steps: Count
    seconds: Annotated[float, Field(ge=0)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class RunConfig:
    """Everything that determines the records of a run, apart from the machine.

    Attributes:
        title: of the dataset; random draws depend on it.
        locations: options of the dataset that say where its files are; they are not part of the digest.
        data_key: hash of the prepared data.
        files: options of protocol, strategy and network that name files, by dotted name; not part of the digest.
        tuning: where the options of the strategy come from; not part of the digest.
        classes: names of the classes 1, 2, ... of the masks.
        scaled: whether slices of any case are scaled, so that `protocol.grid` matters; follows from the data.
    """

    strategy: Choice
    dataset: Choice
    title: str
    locations: dict[str, object]
    data_key: str
    seed: Seed
    protocol: Protocol
    training: Training
    network: Choice
    files: dict[str, object] = dataclasses.field(default_factory=dict)
    tuning: Tuning | None = None
    classes: tuple[str, ...] = ("foreground",)
    scaled: bool = False

    def idle(self) -> tuple[str, ...]:
        """Options of the protocol that have no effect on this run."""
        found = {
            ("grid",): not self.scaled,  # there is one
            ("start_embeddings",): self.protocol.start_embeddings is None,
            ("annotation_errors", *ERROR_SIZES): not self.protocol.annotation_errors,
        }
        return tuple(name for names, idle in found.items() if idle for name in names)

    def digest(self, *, code: bool = False) -> str:
        """Eight hexadecimal digits that differ when any setting differs.

        Args:
            code: differ when the code of a strategy or network differs, too. That of a dataset always counts, because
                it determines the data.
        """
        settings = dataclasses.asdict(_run_config().validate_python(dataclasses.asdict(self)))  # 1 is 1.0
        if not code:
            settings["strategy"]["code"] = settings["network"]["code"] = None
        for left_out in ("locations", "files", "tuning", "scaled"):
            del settings[left_out]
        for without_effect in self.idle():
            del settings["protocol"][without_effect]
        for choice in (settings["strategy"], settings["dataset"], settings["network"]):
            del choice["spec"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


@cache
def _run_config() -> TypeAdapter[RunConfig]:
    return TypeAdapter(RunConfig)


def build(
    cls: type[T], options: Mapping[str, object], prefix: str, remedy: str = "set it with --set {option}=VALUE"
) -> T:
    """Make a settings object from options as they come from YAML or JSON, and report a mistake in one sentence.

    Types are strict: neither true nor text is a number, and a number is neither true nor text. A whole number may stand
    for a float and a list for a tuple; `none` is None where the option allows it. Only the given options are passed to
    `cls`, which can therefore tell them from its defaults.

    An option whose type is `Strategy` is a strategy itself: its name or place, or a mapping of `name` and its options.
    Options with a dot in their name are its options, such as `inner.passes`, and come before those of the mapping;
    `inner.name` is its name. Without a name, the strategy is the default of the option.

    Args:
        prefix: what the user writes before the dot, such as `training`.
        remedy: what to do about a wrong value; `{option}` stands for the full name of the option.

    Raises:
        ConfigError: an option is unknown or missing, or its value does not fit.
    """
    fields = [field for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    names = [field.name for field in fields]
    hints = get_type_hints(cls, include_extras=True)
    options = _gathered(options, [name for name in names if _is_plugin(hints[name])], prefix)
    for key in options:
        if key not in names:
            hint = suggestion(key, names, f"{prefix}.") if names else "it has no options, leave it out"
            raise ConfigError(f"an option must be known, got '{prefix}.{key}': {hint}")
    for field in fields:
        if field.name not in options and field.default is field.default_factory is dataclasses.MISSING:
            option = f"{prefix}.{field.name}"
            raise ConfigError(f"{option} must be given, got {dict(options)!r}: {remedy.format(option=option)}")
    values: dict[str, object] = {}
    for field in fields:
        name, option = field.name, f"{prefix}.{field.name}"
        if name in options and _is_plugin(hints[name]):
            values[name] = _built_plugin(hints[name], options[name], default_of(field), option, remedy)
        elif name in options:
            values[name] = _checked(hints[name], options[name], option, remedy)
    try:
        with rejecting_exits(f"{cls.__name__} of {prefix}"):
            made = cls(**values)
    except ValueError as error:
        raise ConfigError(
            f"{prefix} must have options that fit together, got {dict(options)!r} ({error}): change one of them"
        ) from error
    for name in names:
        if not _is_plugin(hints[name]):
            _check_finite(getattr(made, name), f"{prefix}.{name}", remedy)
    return made


def default_of(field: dataclasses.Field[object]) -> object:
    """The default of an option; `dataclasses.MISSING` if it is required."""
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def required(cls: type[Any]) -> list[str]:
    """The options of a plugin without a default."""
    return [field.name for field in dataclasses.fields(cls) if default_of(field) is dataclasses.MISSING]


def with_defaults(cls: type[Any]) -> Any | None:
    """A plugin with the default options, which fills in what a preset sets; None if none can be made of these alone."""
    return None if required(cls) or inspect.isabstract(cls) else cls()


def _is_plugin(hint: object) -> bool:
    """Whether the values of an option are strategies, or other plugins."""
    return isinstance(hint, type) and getattr(hint, "group", None) in KINDS


def _gathered(options: Mapping[str, object], plugins: Collection[str], prefix: str) -> dict[str, object]:
    """Options with those of every plugin among them in one mapping. Raises ConfigError.

    Args:
        options: as the user gives them, also with names such as `inner.passes`.
        plugins: names of the options that are plugins.
        prefix: as in `build`.
    """
    gathered = {key: value for key, value in options.items() if key.partition(".")[0] not in plugins}
    for name in plugins:
        dotted = {key.partition(".")[2]: value for key, value in options.items() if key.startswith(f"{name}.")}
        whole = options.get(name, {})
        if name not in options and not dotted:
            continue
        if isinstance(whole, str):
            whole = {"name": whole}
        if not isinstance(whole, Mapping) or not all(isinstance(key, str) for key in whole):
            raise ConfigError(
                f"{prefix}.{name} must be a name, FILE.py:Class, or a mapping of its name and options, got {whole!r}: "
                "write it as in {name: bald, passes: 20}"
            )
        gathered[name] = {**whole, **dotted}
    return gathered


def _built_plugin(hint: type, options: object, default: object, option: str, remedy: str) -> object:
    """A plugin that is the value of an option, from its name and its options. Raises ConfigError."""
    assert isinstance(options, dict)
    own = {key: value for key, value in options.items() if key != "name"}
    if "name" not in options and default is dataclasses.MISSING:
        raise ConfigError(f"{option}.name must be given, got {options!r}: {remedy.format(option=f'{option}.name')}")
    spec = options.get("name")
    if "name" in options and not isinstance(spec, str):
        raise ConfigError(f"{option}.name must be a name or FILE.py:Class, got {spec!r}: correct it")
    try:
        cls = type(default) if spec is None else find(hint.group, spec)  # type: ignore[attr-defined]
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from error
    return build(cls, own, option, remedy)


def _checked(hint: type[object], value: object, option: str, remedy: str) -> object:
    """The value of one option in the type of its field. Raises ConfigError."""
    if isinstance(value, str) and value in ("none", "None") and _allows_none(hint):
        return None
    text = json.dumps(value, default=_plain)
    try:
        if isinstance(value, float):
            _check_finite(value, option, remedy)  # a bound would be the wrong rule
        made = TypeAdapter(hint).validate_json(text, strict=True)
        rule = "must be a number" if _is_bool(json.loads(text), made) else _range_rule(made)
        where, got = option, value
    except ValidationError as error:
        first = error.errors()[0]
        where, got = ".".join([option, *(str(part) for part in first["loc"])]), first["input"]
        rule = _in_words(first["msg"])
    if rule:
        raise ConfigError(f"{where} {rule}, got {got!r}: {remedy.format(option=option)}")
    return made


def _range_rule(made: object) -> str:
    """What a whole number must be that no array can hold; empty for all other values."""
    if isinstance(made, Mapping):
        made = list(made.values())
    if isinstance(made, list | tuple):
        return next(filter(None, map(_range_rule, made)), "")
    return "must be a whole number of at most 64 bits" if isinstance(made, int) and abs(made) > MOST_SEED else ""


def _in_words(message: str) -> str:
    """A message of pydantic about JSON as the rule of an option."""
    rule = re.sub(r"^(Input|Tuple|List) should (be|have)", r"must \2", message).replace(" after validation", "")
    rule = rule.replace("must be a valid array", "must be a list such as [1,2]").replace("an object", "a mapping")
    rule = rule.replace("Field required", "must be given")
    return rule[0].lower() + rule[1:]


def _allows_none(hint: object) -> bool:
    """Whether None is a value of the type and the word `none` is not."""
    parts = get_args(get_args(hint)[0] if get_origin(hint) is Annotated else hint)
    return type(None) in parts and not any("none" in get_args(part) for part in parts)


def _plain(value: object) -> object:
    """A value that JSON does not have: an array or a number of numpy as list or number, others as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _is_bool(given: object, made: object) -> bool:
    """Whether pydantic has read true or false as a number, as it does for `Literal[1, 2]`."""
    if isinstance(given, list) and isinstance(made, list | tuple):
        return any(map(_is_bool, given, made))
    return isinstance(given, bool) and not isinstance(made, bool)


def _check_finite(value: object, option: str, remedy: str) -> None:
    """A run is written as JSON, which has neither NaN nor infinity. Raises ConfigError."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ConfigError(f"{option} must be finite, got {value}: {remedy.format(option=option)}") from None
