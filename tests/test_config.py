import dataclasses
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from support.samples import TINY

from albench import __version__
from albench.cli.catalog import describe
from albench.config import Choice, Protocol, RunConfig, Training, build
from albench.data import Volume
from albench.data.preprocessing import fit_to
from albench.errors import ConfigError, DataError
from albench.networks.residual import Residual
from albench.registry import options_of
from albench.resolve import make_dataset, make_strategy, resolve
from albench.runs.documents import decode, encode
from albench.runs.records import FORMAT, StoredConfig
from albench.settings import as_setting, by_section, parse_settings

SECTIONS = {"protocol": Protocol, "training": Training, "network": Residual}
UNSET = {"steps": 30, "start_embeddings": "0123"}  # a value of what is None by default
OTHER_CHOICE = {
    "val_dice": "steps",
    "interval": "cases",
    "free": "charged",
    "own": "matched",
    "scalar": "balanced",
    "native": "working",
}


def config() -> RunConfig:
    choice = Choice("random", "random", None, {"size": [32, 32], "power": 1.0})
    phantom, network = replace(choice, name="phantom"), replace(choice, name="residual")
    return RunConfig(choice, phantom, "phantom", {}, "abc", 0, Protocol(), Training(), network)


def where_all_options_matter() -> RunConfig:
    """Settings of which no option is idle."""
    erring = Protocol(annotation_errors=("missed", "contours"), start_embeddings="abc")
    return replace(config(), scaled=True, protocol=erring)


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
    """The settings with one relevant change each, by the name of the changed setting."""
    start, found = where_all_options_matter(), {}
    for section, cls in (("protocol", Protocol), ("training", Training)):
        old = getattr(start, section)
        for field in dataclasses.fields(cls):
            value = UNSET.get(field.name) or changed(getattr(old, field.name))
            new = build(cls, {**dataclasses.asdict(old), field.name: value}, section)
            found[f"{section}.{field.name}"] = replace(start, **{section: new})
    found["seed"] = replace(start, seed=1)
    found["title"] = replace(start, title="elsewhere")
    found["data_key"] = replace(start, data_key="abd")
    found["dataset.code"] = replace(start, dataset=replace(start.dataset, code="0123"))
    for part in ("strategy", "dataset", "network"):
        choice = getattr(start, part)
        found[f"{part}.name"] = replace(start, **{part: replace(choice, name="other")})
        found[f"{part}.files_key"] = replace(start, **{part: replace(choice, files_key="0123")})
        found[f"{part}.options"] = replace(start, **{part: replace(choice, options={"size": [32, 32], "power": 2.0})})
    return found


def test_the_digest_depends_on_every_relevant_setting():
    digests = {name: variant.digest() for name, variant in variants().items()}
    digests["unchanged"] = where_all_options_matter().digest()
    assert where_all_options_matter().idle() == ()
    assert len(digests) > 25
    assert len(set(digests.values())) == len(digests)


def test_the_digest_does_not_depend_on_the_grid_of_slices_that_are_not_scaled():
    working = build(Protocol, {"grid": "working"}, "protocol")
    assert replace(config(), protocol=working).digest() == config().digest()
    assert config().digest() == "f2695273"  # as before there was the option


def test_the_digest_does_not_depend_on_the_place_of_data_and_code():
    start = config()
    moved = replace(start, locations={"root": "/elsewhere"})
    respelled = replace(moved, strategy=replace(start.strategy, spec="albench.strategies.random_choice:Random"))
    assert moved.digest() == respelled.digest() == start.digest()
    assert len(start.digest()) == 8


@pytest.mark.parametrize("part", ["strategy", "network"])
def test_the_digest_depends_on_the_code_of_strategy_and_network_only_if_asked(part):
    start = config()
    edited = replace(start, **{part: replace(getattr(start, part), code="0123")})
    assert edited.digest() == start.digest() == start.digest(code=True)
    assert edited.digest(code=True) != start.digest(code=True)


def test_the_digest_does_not_depend_on_the_order_of_options():
    start = config()
    turned = replace(start.strategy, options=dict(reversed(start.strategy.options.items())))
    assert replace(start, strategy=turned).digest() == start.digest()


@pytest.mark.parametrize(
    ("section", "options", "sentence"),
    [
        ("training", {"epoch": 3}, "an option must be known, got 'training.epoch': did you mean 'training.epochs'?"),
        ("training", {"zzz": 3}, "an option must be known, got 'training.zzz': choose one of training.stop, "),
        ("training", {"epochs": "many"}, "training.epochs must be a valid integer, got 'many': set it with --set "),
        ("training", {"epochs": 0}, "training.epochs must be greater than or equal to 1, got 0: set it with --set tr"),
        ("training", {"epochs": 2.5}, "training.epochs must be a valid integer, got 2.5: set it with"),
        ("training", {"epochs": None}, "training.epochs must be a valid integer, got None: set it with"),
        ("training", {"lr": 0}, "training.lr must be greater than 0, got 0: set it with --set training.lr=VALUE"),
        ("training", {"lr": float("nan")}, "training.lr must be finite, got nan"),
        ("training", {"lr": float("inf")}, "training.lr must be finite, got inf: set it with --set training.lr=VALUE"),
        ("training", {"focal_alpha": 1.2}, "training.focal_alpha must be less than or equal to 1, got 1.2"),
        ("training", {"focal_alpha_mode": "x"}, "training.focal_alpha_mode must be 'scalar' or 'balanced', got 'x'"),
        ("training", {"augment": "maybe"}, "training.augment must be a valid boolean, got 'maybe': set it with"),
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
        (
            "protocol",
            {"split": [1, 2, 3, 4]},
            r"protocol.split must have at most 3 items, not 4, got \[1, 2, 3, 4\]: set it with --set protocol.split=",
        ),
    ],
)
def test_a_wrong_option_is_one_sentence_with_its_name_its_value_and_the_remedy(section, options, sentence):
    with pytest.raises(ConfigError, match=sentence) as rejected:
        build(SECTIONS[section], options, section)
    assert "\n" not in str(rejected.value)


NUMBERS = [
    ("protocol", "interval"),
    ("protocol", "budget"),
    ("protocol", "rounds"),
    ("protocol", "split_seed"),
    ("training", "epochs"),
    ("training", "patience"),
    ("training", "batch_size"),
    ("training", "lr"),
    ("training", "focal_alpha"),
    ("network", "width"),
    ("network", "stem_stride"),
    ("network", "dropout"),
]


@pytest.mark.parametrize(("section", "option"), NUMBERS)
@pytest.mark.parametrize("value", [True, False, "1", "0.5"])
def test_neither_true_nor_text_is_a_number(section, option, value):
    remedy = f"got {value!r}: set it with --set {section}.{option}=VALUE"
    with pytest.raises(
        ConfigError, match=rf"^{section}.{option} must be (a valid integer|a.* number|1, 2 or 4), {remedy}$"
    ):
        build(SECTIONS[section], {option: value}, section)


@pytest.mark.parametrize(
    ("section", "options", "sentence"),
    [
        (
            "training",
            {"augment": 1},
            "training.augment must be a valid boolean, got 1: set it with --set training.augme",
        ),
        ("training", {"augment": "true"}, "training.augment must be a valid boolean, got 'true': set it with"),
        ("protocol", {"warm_start": 0}, "protocol.warm_start must be a valid boolean, got 0: set it with"),
        ("protocol", {"warm_start": 0.0}, "protocol.warm_start must be a valid boolean, got 0.0: set it with"),
        ("network", {"weights": 18}, "network.weights must be a valid string, got 18: set it with"),
        ("network", {"weights": True}, "network.weights must be a valid string, got True: set it with"),
        ("network", {"backbone": 18}, "network.backbone must be 'resnet18', 'resnet34' or 'resnet50', got 18: set it"),
        ("protocol", {"split": [True, 1, 1]}, "protocol.split.0 must be a valid number, got True: set it with"),
        ("protocol", {"split": ["4", 1, 1]}, "protocol.split.0 must be a valid number, got '4': set it with"),
    ],
)
def test_a_value_of_another_type_is_rejected(section, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(SECTIONS[section], options, section)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("data.count=true", "data.count must be a valid integer, got True: set it with --set data.count=VALUE"),
        ("data.noise=false", "data.noise must be a valid number, got False: set it with"),
        ("data.size=[32,true]", "data.size.1 must be a valid integer, got True: set it with --set data.size=VALUE"),
        ("training.epochs='3'", "training.epochs must be a valid integer, got '3': set it with"),
        ("protocol.budget=true", "protocol.budget must be a valid integer, got True: set it with"),
    ],
)
def test_a_run_rejects_a_value_of_another_type_before_the_preparation(setting, sentence):
    with pytest.raises(ConfigError, match=sentence):
        resolve("random", "phantom", settings=parse_settings([setting]), progress=lambda *call: pytest.fail("prepared"))


def test_true_in_a_list_of_choices_of_numbers_is_rejected():
    @dataclass(frozen=True)
    class Chosen:
        factors: tuple[Literal[1, 2], ...] = (1,)

    assert build(Chosen, {"factors": [2, 1]}, "strategy").factors == (2, 1)
    with pytest.raises(ConfigError, match=r"strategy.factors must be a number, got \[2, True\]: set it with"):
        build(Chosen, {"factors": [2, True]}, "strategy")


def test_options_that_do_not_fit_together_are_one_sentence():
    @dataclass(frozen=True)
    class Range:
        low: int = 0
        high: int = 1

        def __post_init__(self):
            if self.low > self.high:
                raise ValueError("low is above high")

    sentence = (
        r"strategy must have options that fit together, got \{'low': 3\} \(low is above high\): change one of them"
    )
    with pytest.raises(ConfigError, match=sentence):
        build(Range, {"low": 3}, "strategy")


def test_a_class_can_tell_given_options_from_its_defaults():
    class Noted:
        def __new__(cls, **given):
            made = super().__new__(cls)
            made.given = given
            return made

    @dataclass
    class Counted(Noted):
        count: int = 3
        side: float = 1.0

    assert build(Counted, {"count": 3}, "data").given == {"count": 3}
    assert build(Counted, {}, "data").given == {}


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


def test_whole_numbers_are_floats_lists_are_tuples_and_numbers_of_numpy_are_numbers():
    training = build(Training, {"epochs": np.int64(30), "lr": 1, "focal_gamma": np.float32(0.25)}, "training")
    assert (training.epochs, training.lr, training.focal_gamma) == (30, 1.0, 0.25)
    assert [type(value) for value in (training.epochs, training.lr, training.focal_gamma)] == [int, float, float]
    for split in ([4, 1, 1], (4, 1, 1), np.array([4, 1, 1])):
        assert build(Protocol, {"split": split}, "protocol").split == (4.0, 1.0, 1.0)


def test_options_are_hashed_and_written_as_plain_values():
    assert options_of(Protocol()) == {
        "interval": 10,
        "budget": 100,
        "rounds": 16,
        "warm_start": True,
        "split": [0.7, 0.15, 0.15],
        "split_seed": 0,
        "start": "interval",
        "start_embeddings": None,
        "splits": 1,
        "validation": "free",
        "compute": "own",
        "steps": None,
        "nsd_tolerance": 1.0,
        "score_unknown": False,
        "grid": "native",
        "annotation_errors": [],
        "error_rate": 0.2,
        "error_distance": 2.0,
        "missed_diameter": 10.0,
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
    assert parse_settings(["network.weights=null", "a.b=", "data.classes={a: 1}"], Path("010")) == {
        "network.weights": None,
        "a.b": None,
        "data.classes": {"a": 1},
        "data.root": "010",
    }
    assert parse_settings([]) == {}


@pytest.mark.parametrize("assignment", ["training.epochs", "epochs=3", "=3", "training.epochs 30"])
def test_an_assignment_without_section_or_equals_sign_is_rejected(assignment):
    with pytest.raises(
        ConfigError,
        match=f"--set must name a section and an option, such as training.epochs=30, got '{assignment}': begin",
    ):
        parse_settings([assignment])


def test_an_assignment_that_is_not_yaml_is_rejected():
    with pytest.raises(ConfigError, match=r"--set data.size must have a YAML value such as 30 or \[96,128\], got '\[9"):
        parse_settings(["data.size=[96"])


@pytest.mark.parametrize(
    ("assignments", "root", "sentence"),
    [
        (["training.lr=0.1", " training.lr =0.2"], None, "training.lr must be set once, got 0.1 and 0.2: leave one of"),
        (["data.root=a"], Path("b"), "data.root must be set once, got 'a' and 'b': leave one of them out"),
    ],
)
def test_an_option_that_is_set_twice_is_rejected(assignments, root, sentence):
    with pytest.raises(ConfigError, match=f"^{sentence}"):
        parse_settings(assignments, root)


def test_the_user_overrides_the_dataset_and_the_dataset_overrides_albench():
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
def test_mistakes_are_rejected_before_the_training(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        resolve("random", "phantom", settings=TINY | settings)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("training.lr=1e300", "training.lr must be less than or equal to 1000000, got 1e+300: set it with --set"),
        ("training.batch_size=100000000000000000000", "training.batch_size must be less than or equal to 1000000000"),
        ("protocol.rounds=1000000000000000000000", "protocol.rounds must be less than or equal to 1000000000, got 10"),
        ("protocol.interval=10000000000", "protocol.interval must be less than or equal to 1000000000, got 1000000000"),
        ("protocol.split_seed=9223372036854775808", "protocol.split_seed must be less than or equal to 92233720368547"),
        ("training.focal_gamma=1e300", "training.focal_gamma must be less than or equal to 100, got 1e+300: set it"),
        ("data.context=1000000", "data.context must be less than or equal to 100, got 1000000: set it with --set"),
        (
            "data.seed=9223372036854775808",
            "data.seed must be a whole number of at most 64 bits, got 922337203685477580",
        ),
        (
            "strategy.bins=[1, 9223372036854775808]",
            "strategy.bins must be a whole number of at most 64 bits, got [1, 9",
        ),
    ],
)
def test_an_absurd_value_is_one_sentence_before_the_preparation(setting, sentence):
    @dataclass(frozen=True)
    class Chosen:
        bins: tuple[int, ...] = ()

    def asked() -> None:
        settings = parse_settings([setting])
        build(Chosen, by_section(settings)["strategy"], "strategy")
        resolve("random", "phantom", settings=settings, progress=lambda *call: pytest.fail("prepared"))

    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}"):
        asked()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"data.size": [160_000, 160_000]},
            "a slice of data.size=[160000, 160000] must fit into the memory of this ma",
        ),
        ({"data.count": 10**9}, "the list of data.count=1000000000 cases must fit into the memory of this machine"),
        ({"data.side": 10**6}, "a case of data.depth=8 slices with data.side=1000000 must fit into the memory of this"),
        ({"data.depth": 10**10}, "a case of data.depth=10000000000 slices with data.side=32 must fit into the memory"),
    ],
)
def test_what_would_not_fit_into_memory_is_one_sentence_that_says_how_much_it_takes(settings, sentence):
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}.*, it takes at least [0-9,.]+ GB and there are"):
        resolve("random", "phantom", settings=TINY | settings, progress=lambda *call: pytest.fail("prepared"))


def test_a_case_is_scaled_only_if_it_fits_into_memory(monkeypatch):
    monkeypatch.setattr("albench.data.memory.total_memory", lambda: 8 * 64 * 64)
    sentence = r"a case of [0-9]+ slices scaled to 64 x 64 pixels must fit into the memory of this machine"
    with pytest.raises(DataError, match=sentence):
        fit_to(Volume(np.zeros((1, 2, 32, 32), np.float32), np.zeros((2, 32, 32), np.uint8), (1, 1, 1)), (64, 64))


@pytest.mark.parametrize("seed", [2**63, 10**30])
def test_a_seed_beyond_64_bits_is_rejected(seed):
    with pytest.raises(ConfigError, match=f"^a seed must be at least 0 and at most 9223372036854775807, got {seed}: "):
        resolve("random", "phantom", seed=seed, settings=TINY)


def test_a_negative_seed_is_rejected():
    with pytest.raises(ConfigError, match="a seed must be at least 0 and at most 9223372036854775807, got -1"):
        resolve("random", "phantom", seed=-1, settings=TINY)


@pytest.mark.parametrize("strategy", ["random", "albench.strategies.entropy:Entropy", "k-center"])
def test_the_written_settings_are_enough_to_repeat_the_run(strategy):
    made = resolve(strategy, "phantom", seed=3, settings=TINY | {"data.size": [48, 32]}).config
    text = encode(StoredConfig(FORMAT, __version__, made))
    again = decode(StoredConfig, text, "config.json", "start the run again").run
    assert again == made
    assert again.digest() == made.digest()
    written = json.loads(text)["run"]
    settings = {
        f"{prefix}.{name}": value
        for prefix, section in (
            ("strategy", written["strategy"]["options"]),
            ("data", written["dataset"]["options"] | written["locations"]),
            ("network", written["network"]["options"]),
            *((name, written[name]) for name in ("protocol", "training")),
        )
        for name, value in section.items()
    } | written["files"]
    resolved = resolve(written["strategy"]["spec"], written["dataset"]["spec"], seed=written["seed"], settings=settings)
    assert resolved.config == made


def test_the_digest_depends_on_the_content_of_initial_weights_and_not_on_their_path(tmp_path):
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


@pytest.mark.parametrize("word", ["none", "None", "null", "~", ""])
def test_none_is_none_where_an_option_allows_it(word):
    assert make_dataset("phantom", parse_settings([f"data.window={word}"])).window is None
    settings = parse_settings([f"network.weights={word}"])
    assert build(Residual, by_section(settings)["network"], "network").weights is None
    with pytest.raises(ConfigError, match=r"training.epochs must be a valid integer, got"):
        build(Training, by_section(parse_settings([f"training.epochs={word}"]))["training"], "training")


def test_none_is_a_word_where_it_is_a_choice():
    chosen = make_strategy("star", parse_settings(["strategy.aggregation=none", "strategy.pseudo_count=none"]))
    assert options_of(chosen)["aggregation"] == "none"
    assert options_of(chosen)["pseudo_count"] is None


@pytest.mark.parametrize(("name", "section"), [("protocol",) * 2, ("training",) * 2, ("residual", "network")])
def test_settings_have_a_page_with_every_option(name, section):
    page = describe(name)
    for field in dataclasses.fields(SECTIONS[section]):
        assert f"  {section}.{field.name}  (" in page
        assert f"{field.name}: " in page


def test_a_value_of_an_option_in_words_is_as_set_reads_it():
    values = (True, None, 3.0, 1e-05, "a", (1, 2.5), {"tumor": [1]})
    assert [*map(as_setting, values)] == ["true", "none", "3", "1e-05", "a", "[1,2.5]", '{"tumor": [1]}']
