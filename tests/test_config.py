import dataclasses
import json
from dataclasses import dataclass, replace

import pytest
from pydantic import TypeAdapter
from support.samples import TINY

from albench.cli.catalog import describe
from albench.config import Choice, Network, Protocol, RunConfig, Training, build, options_of
from albench.errors import ConfigError
from albench.resolve import parse_settings, resolve
from albench.runs.store import config_as_dict

SECTIONS = {"protocol": Protocol, "training": Training, "network": Network}
OTHER_CHOICE = {
    "scalar": "balanced",
    "resnet50": "resnet18",
    "bilinear": "nearest",
    None: "checkpoint.pth",
}


def config() -> RunConfig:
    choice = Choice("random", "random", None, {"size": [32, 32], "power": 1.0})
    return RunConfig(
        choice, replace(choice, name="phantom"), "phantom", {}, "abc", 0, Protocol(), Training(), Network()
    )


def changed(value: object) -> object:
    """Another valid value of the same option."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if value != 4 else 2
    if isinstance(value, float):
        return value / 2
    if isinstance(value, tuple):
        return value[::-1]
    return OTHER_CHOICE[value]


def variants() -> dict[str, RunConfig]:
    """The settings with one thing changed that matters, by its name."""
    start, found = config(), {}
    for section, cls in SECTIONS.items():
        old = getattr(start, section)
        for field in dataclasses.fields(cls):
            new = build(cls, {field.name: changed(getattr(old, field.name))}, section)
            found[f"{section}.{field.name}"] = replace(start, **{section: new})
    del found["network.weights"]  # they count by content
    found["weights_key"] = replace(start, weights_key="0123")
    found["seed"] = replace(start, seed=1)
    found["title"] = replace(start, title="elsewhere")
    found["data_key"] = replace(start, data_key="abd")
    for part in ("strategy", "dataset"):
        choice = getattr(start, part)
        found[f"{part}.name"] = replace(start, **{part: replace(choice, name="other")})
        found[f"{part}.code"] = replace(start, **{part: replace(choice, code="0123")})
        found[f"{part}.options"] = replace(start, **{part: replace(choice, options={"size": [32, 32], "power": 2.0})})
    return found


def test_the_digest_differs_with_every_setting_that_matters():
    digests = {name: variant.digest() for name, variant in variants().items()} | {"as it was": config().digest()}
    assert len(digests) > 25
    assert len(set(digests.values())) == len(digests)


def test_the_digest_is_the_same_wherever_the_data_and_the_code_lie():
    start = config()
    moved = replace(start, locations={"root": "/elsewhere"})
    respelled = replace(moved, strategy=replace(start.strategy, spec="albench.strategies.random_choice:Random"))
    assert moved.digest() == respelled.digest() == start.digest()
    assert len(start.digest()) == 8


def test_the_digest_is_the_same_in_another_order_of_options():
    start = config()
    turned = replace(start.strategy, options=dict(reversed(start.strategy.options.items())))
    assert replace(start, strategy=turned).digest() == start.digest()


@pytest.mark.parametrize(
    ("section", "options", "sentence"),
    [
        ("training", {"epoch": 3}, "an option must be known, got 'training.epoch': did you mean 'training.epochs'?"),
        ("training", {"zzz": 3}, "an option must be known, got 'training.zzz': choose one of training.epochs, "),
        ("training", {"epochs": "many"}, "training.epochs must be a valid integer, .*, got 'many': set it with --set "),
        ("training", {"epochs": 0}, "training.epochs must be greater than or equal to 1, got 0: set it with --set tr"),
        ("training", {"epochs": 2.5}, "training.epochs must be a valid integer, .*, got 2.5: set it with"),
        ("training", {"epochs": None}, "training.epochs must be a valid integer, got None: set it with"),
        ("training", {"lr": 0}, "training.lr must be greater than 0, got 0: set it with --set training.lr=VALUE"),
        ("training", {"lr": float("nan")}, "training.lr must be greater than 0, got nan"),
        ("training", {"lr": float("inf")}, "training.lr must be finite, got inf: set it with --set training.lr=VALUE"),
        ("training", {"focal_alpha": 1.2}, "training.focal_alpha must be less than or equal to 1, got 1.2"),
        ("training", {"focal_alpha_mode": "x"}, "training.focal_alpha_mode must be 'scalar' or 'balanced', got 'x'"),
        ("training", {"augment": "maybe"}, "training.augment must be a valid boolean, .*, got 'maybe': set it with"),
        ("network", {"dropout": 1}, "network.dropout must be less than 1, got 1: set it with --set network.dropout="),
        ("network", {"backbone": "vgg"}, "network.backbone must be 'resnet18', 'resnet34' or 'resnet50', got 'vgg'"),
        ("network", {"stem_stride": 3}, "network.stem_stride must be 1, 2 or 4, got 3: set it with"),
        ("protocol", {"rounds": -1}, "protocol.rounds must be greater than or equal to 0, got -1: set it with"),
        ("protocol", {"split": [1, 2, -1]}, r"protocol.split.2 .* 0, got -1: set it with --set protocol.split=VALUE$"),
        ("protocol", {"split": [1, 2]}, r"protocol.split.2 must be given, got \[1, 2\]: set it with --set protocol.sp"),
        (
            "protocol",
            {"split": 3},
            r"protocol.split must be a list such as \[1,2\], got 3: set it with --set protocol.split=",
        ),
    ],
)
def test_a_wrong_option_is_one_sentence_with_its_name_its_value_and_the_remedy(section, options, sentence):
    with pytest.raises(ConfigError, match=sentence) as refused:
        build(SECTIONS[section], options, section)
    assert "\n" not in str(refused.value)


def test_a_missing_option_and_a_class_without_options_are_one_sentence_too():
    @dataclass(frozen=True)
    class Rooted:
        root: str

    @dataclass(frozen=True)
    class Bare: ...

    with pytest.raises(ConfigError, match=r"data.root must be given, got \{\}: set it with --set data.root=VALUE"):
        build(Rooted, {}, "data")
    with pytest.raises(ConfigError, match=r"got 'strategy.top': it has no options, leave it out"):
        build(Bare, {"top": 1}, "strategy")


def test_numbers_in_text_and_whole_numbers_where_fractions_may_be_are_understood():
    training = build(Training, {"epochs": "30", "lr": 1, "focal_gamma": "2e-1"}, "training")
    assert (training.epochs, training.lr, training.focal_gamma) == (30, 1.0, 0.2)


def test_what_must_be_hashed_and_written_is_plain():
    assert options_of(Protocol()) == {
        "interval": 10,
        "budget": 100,
        "rounds": 16,
        "warm_start": True,
        "split": [0.7, 0.15, 0.15],
        "split_seed": 0,
    }


def test_assignments_are_read_as_yaml():
    assert parse_settings(
        ["training.lr=1e-4", "training.epochs=30", "data.size=[96, 128]", "data.root=a=b", "training.augment=false"]
    ) == {
        "training.lr": 1e-4,
        "training.epochs": 30,
        "data.size": [96, 128],
        "data.root": "a=b",
        "training.augment": False,
    }
    assert parse_settings(["network.weights=null", "a.b=", "training.lr=0.1", "training.lr=0.2"]) == {
        "network.weights": None,
        "a.b": None,
        "training.lr": 0.2,
    }
    assert parse_settings([]) == {}


@pytest.mark.parametrize("assignment", ["training.epochs", "epochs=3", "=3", "training.epochs 30"])
def test_an_assignment_without_section_or_equals_sign_is_refused(assignment):
    with pytest.raises(
        ConfigError,
        match=f"--set must name a section and an option, such as training.epochs=30, got '{assignment}': begin",
    ):
        parse_settings([assignment])


def test_an_assignment_that_is_no_yaml_is_refused():
    with pytest.raises(ConfigError, match=r"--set data.size must have a YAML value such as 30 or \[96,128\], got '\[9"):
        parse_settings(["data.size=[96"])


def test_the_user_comes_before_the_dataset_and_the_dataset_before_albench():
    settings = {name: value for name, value in TINY.items() if name != "protocol.budget"}
    by_dataset = resolve("random", "phantom", settings=settings).config
    assert (by_dataset.protocol.budget, Protocol().budget) == (16, 100)
    by_user = resolve("random", "phantom", settings=settings | {"protocol.budget": 5}).config
    assert by_user.protocol.budget == 5
    assert by_user.training.patience == Training().patience
    assert by_user.protocol.split_seed == Protocol().split_seed


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"training.epoch": 3}, "got 'training.epoch': did you mean 'training.epochs'?"),
        ({"trainig.epochs": 3}, "must begin with one of strategy, data, protocol, training, network, got 'trainig.ep"),
        ({"strategy.top": 3}, "an option must be known, got 'strategy.top'"),
        ({"data.cuont": 3}, "got 'data.cuont': did you mean 'data.count'?"),
        ({"data.noise": float("inf")}, "data.noise must be finite, got inf"),
    ],
)
def test_mistakes_are_refused_before_any_training(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        resolve("random", "phantom", settings=TINY | settings)


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="a seed must be at least 0, got -1"):
        resolve("random", "phantom", seed=-1, settings=TINY)


@pytest.mark.parametrize("strategy", ["random", "albench.strategies.entropy:Entropy"])
def test_the_written_settings_are_enough_to_make_the_run_again(strategy):
    made = resolve(strategy, "phantom", seed=3, settings=TINY | {"data.size": [48, 32]}).config
    written = json.loads(json.dumps(config_as_dict(made)))
    assert {"format", "albench"} < set(written)
    again = TypeAdapter(RunConfig).validate_python({k: written[k] for k in written if k not in ("format", "albench")})
    assert again == made
    assert again.digest() == made.digest()
    settings = {
        f"{prefix}.{name}": value
        for prefix, section in (
            ("strategy", written["strategy"]["options"]),
            ("data", written["dataset"]["options"] | written["locations"]),
            *((name, written[name]) for name in SECTIONS),
        )
        for name, value in section.items()
    }
    resolved = resolve(written["strategy"]["spec"], written["dataset"]["spec"], seed=written["seed"], settings=settings)
    assert resolved.config == made


def test_the_digest_knows_initial_weights_by_content_not_by_path(tmp_path):
    first, second = tmp_path / "first.pth", tmp_path / "second.pth"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")

    def digest(path) -> str:
        return resolve("random", "phantom", settings=TINY | {"network.weights": str(path)}).config.digest()

    before = digest(first)
    assert digest(second) == before
    assert resolve("random", "phantom", settings=TINY).config.digest() != before
    second.write_bytes(b"others")
    assert digest(second) != before


def test_none_is_nothing():
    assert parse_settings(["data.labels=none", "data.window=null"]) == {"data.labels": None, "data.window": None}


@pytest.mark.parametrize("section", ["protocol", "training", "network"])
def test_settings_have_a_page_with_every_option(section):
    page = describe(section)
    for field in dataclasses.fields(SECTIONS[section]):
        assert f"  {section}.{field.name}  (" in page
        assert f"{field.name}: " in page
