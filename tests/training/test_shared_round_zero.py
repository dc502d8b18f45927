import json
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch
from support.samples import TINY
from torch import Tensor, nn

from albench import loop
from albench.callback import NullCallback
from albench.encoder_decoder import Extended
from albench.errors import ConfigError
from albench.loop import Execution
from albench.networks.residual import Segmenter
from albench.resolve import resolve
from albench.runs import RunReader
from albench.runs.layout import SHARED_ROUND_ZERO
from albench.strategy import Query, Round, Strategy, Task
from albench.training import shared_round_zero

SETTINGS = TINY | {"protocol.rounds": 1}
SHARING = Execution(torch.device("cpu"))
ALONE = Execution(torch.device("cpu"), share=False)


@dataclass(frozen=True)
class Plain(Strategy):
    """Queries the first slices."""

    def query(self, ctx: Round) -> Query:
        return Query(ctx.pool.unlabeled[: ctx.budget])


class Doubled(Segmenter):
    """Equal weights, other logits."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


class OwnNetwork(Plain):
    def network(self, task: Task) -> nn.Module:
        return Doubled(task, task.network)


class OwnLoss(Plain):
    def loss(self, model, batch, unlabeled, epoch):
        return 2 * super().loss(model, batch, unlabeled, epoch)


class OwnFit(Plain):
    def fit(self, ctx: Round) -> None:
        ctx.learner.fit(dict(list(ctx.examples().items())[1:]), self.loss)


class OwnStart(Plain):
    def initial(self, slices, pool):
        return slices[1:]


class Declared(Plain):
    """Declares that it shares round 0, whatever else a subclass does."""

    shares_round_zero: ClassVar[bool] = True

    def network(self, task: Task) -> nn.Module:
        network = task.build()
        self.change(network)
        return network

    def change(self, network: nn.Module) -> None:
        """Change nothing."""


class FrozenEncoder(Declared):
    def change(self, network):
        network.encoder.requires_grad_(False)


class Hooked(Declared):
    def change(self, network):
        network.encoder.register_forward_hook(lambda module, inputs, output: None)


class FrozenNorm(Declared):
    def change(self, network):
        norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
        norm.train = lambda mode=True: nn.BatchNorm2d.train(norm, False)


class OtherLogits(Declared):
    shares_round_zero = True

    def network(self, task):
        return Doubled(task, task.network)


class DeclaredFit(OwnFit):
    shares_round_zero = True


class DeclaredLoss(OwnLoss):
    shares_round_zero = True


class OtherMomentum(Declared):
    def change(self, network):
        network.encoder.bn1.momentum = 0.5


class Around(Extended):
    """The plain network, and nothing else."""

    def __init__(self, task):
        super().__init__()
        self.plain = task.build()

    def forward(self, images):
        return self.plain(images)


class Noisy(Around):
    def forward(self, images):
        return self.plain(images + 0.5 * torch.randn_like(images) if self.training else images)


class Detached(Around):
    def forward(self, images):
        with torch.no_grad():
            features = self.plain.encode(images)
        return self.plain.decode(self.plain.prepare(features), images.shape[-2:])


class Surrounded(Declared):
    shares_round_zero = True

    def network(self, task):
        return Around(task)


class SurroundedByNoise(Declared):
    shares_round_zero = True

    def network(self, task):
        return Noisy(task)


class SurroundedAndDetached(Declared):
    shares_round_zero = True

    def network(self, task):
        return Detached(task)


@dataclass
class Notices(NullCallback):
    texts: list[str] = field(default_factory=list)

    def on_notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def play(tmp_path):
    """Run a strategy, by name or as an object, on the tiny phantom."""

    def start(strategy, execution=SHARING, *, out="runs", seed=0, callback=None, **settings) -> RunReader:
        chosen = {name.replace("__", "."): value for name, value in settings.items()}
        named = strategy if isinstance(strategy, str) else "random"
        resolved = resolve(named, "phantom", seed=seed, settings=SETTINGS | chosen)
        played = resolved.strategy if isinstance(strategy, str) else strategy
        return loop.run(replace(resolved, strategy=played), tmp_path / out, execution, callback)

    return start


def results_of(run: RunReader) -> list[dict[str, object]]:
    return [record.results() for record in run.records]


def trainings(store: RunReader) -> int:
    return len(list((store.folder.parents[2] / SHARED_ROUND_ZERO).glob("*.pt")))


def steps(store: RunReader) -> list[tuple[int, int]]:
    """Of every round, the optimizer steps that its trainings took, and those that were made here."""
    records = store.records
    taken = [sum(one.steps for one in (*record.fit_trainings, *record.query_trainings)) for record in records]
    return [(a, record.cost.steps) for a, record in zip(taken, records, strict=True)]


@pytest.mark.parametrize("strategy", ["entropy", "mc-dropout", "k-center", "bal", "ceal-margin", "star"])
def test_a_shared_round_0_changes_no_record_and_no_query(play, strategy):
    told = Notices()
    play("random", callback=told)
    shared, alone = play(strategy, callback=told), play(strategy, ALONE, out="alone")
    assert told.texts == []
    assert results_of(shared) == results_of(alone)
    for path in sorted(alone.folder.glob("rounds/*/query.json")):
        assert (shared.folder / path.relative_to(alone.folder)).read_bytes() == path.read_bytes()
    assert trainings(shared) == 1
    assert all(taken == made for taken, made in steps(alone))
    assert shared.records[0].cost.steps == sum(one.steps for one in shared.records[0].query_trainings)
    assert steps(shared)[1:] == steps(alone)[1:]


def test_the_run_that_trains_counts_its_steps(play):
    assert all(taken == made > 0 for taken, made in steps(play("random")))


@pytest.mark.parametrize("strategy", [OwnNetwork(), OwnLoss(), OwnFit(), OwnStart()], ids=lambda s: type(s).__name__)
def test_a_strategy_with_a_round_0_of_its_own_shares_nothing(play, strategy):
    play("random")
    shared, alone = play(strategy, protocol__budget=2), play(strategy, ALONE, out="alone", protocol__budget=2)
    assert steps(shared)[0][1] > 0
    assert results_of(shared) == results_of(alone)


ALONE_BECAUSE = {
    FrozenEncoder: "parameter 'encoder.conv1.weight' of its network is frozen",
    Hooked: "module 'encoder' of its network has other hooks (forward_hooks)",
    FrozenNorm: "module 'encoder.bn1' of its network stays in evaluation mode",
    OtherLogits: "its network is a Doubled, and a Segmenter in that of all strategies",
    DeclaredFit: "it has a fit of its own",
    DeclaredLoss: "it has a loss of its own",
    OtherMomentum: "attribute 'momentum' of module 'encoder.bn1' of its network has another value",
    SurroundedByNoise: "its network has other logits than the plain network that it contains",
    SurroundedAndDetached: "its network has other gradients than the plain network that it contains",
}


@pytest.mark.parametrize("strategy", ALONE_BECAUSE, ids=lambda strategy: strategy.__name__)
def test_a_strategy_that_declares_to_share_round_0_and_does_not_trains_alone_and_says_why(play, strategy):
    told = Notices()
    other = play(strategy(), protocol__budget=2, callback=told)
    assert told.texts == [
        f"round 0 is trained for this run alone: strategy '{strategy.name}' declares that it shares it, but "
        + ALONE_BECAUSE[strategy]
    ]
    assert trainings(other) == 0
    assert results_of(other) == results_of(play(strategy(), ALONE, out="alone", protocol__budget=2))
    assert steps(play("random"))[0][1] > 0


@pytest.mark.parametrize("strategy", [Declared(), Surrounded()], ids=lambda strategy: type(strategy).__name__)
def test_a_strategy_that_declares_to_share_round_0_and_does_shares_it(play, strategy):
    told = Notices()
    play("random")
    shared = play(strategy, protocol__budget=2, callback=told)
    assert told.texts == []
    assert steps(shared)[0][1] == 0
    assert results_of(shared) == results_of(play(strategy, ALONE, out="alone", protocol__budget=2))


def test_a_network_that_cannot_be_compared_trains_alone(play, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("albench.run_session.difference", fail)
    told = Notices()
    assert trainings(play("random", callback=told)) == 0
    assert told.texts == [
        "round 0 is trained for this run alone: strategy 'random' declares that it shares it, but its network cannot "
        "be compared with that of all strategies, RuntimeError: two"
    ]


def test_who_does_not_share_is_told_nothing(play):
    told = Notices()
    for strategy, execution in ((FrozenEncoder(), ALONE), (OwnLoss(), SHARING)):
        play(strategy, execution, out=type(strategy).__name__, callback=told)
    assert told.texts == []


def test_a_training_of_other_code_is_never_shared(play, monkeypatch):
    play("random")
    monkeypatch.setattr(shared_round_zero, "own_source", lambda: "other")
    other = play("entropy")
    assert trainings(other) == 2
    assert steps(other)[0][1] > 0


def test_taal_and_full_train_by_themselves(play):
    for strategy in ("taal", "full"):
        store = play(strategy)
        assert all(taken == made for taken, made in steps(store))
    assert not (store.folder.parents[2] / SHARED_ROUND_ZERO).exists()


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"training__epochs": 3},
        {"training__batch_size": 4},
        {"network__dropout": 0.1},
        {"network__width": 0.25},
        {"protocol__interval": 3},
        {"protocol__split_seed": 1},
        {"data__noise": 0.1},
    ],
    ids=json.dumps,
)
def test_what_changes_round_0_is_never_shared(play, other):
    play("random")
    store = play("entropy", **other)
    assert trainings(store) == 2
    assert steps(store)[0][1] > 0


@pytest.mark.parametrize("other", [{"protocol__budget": 2}, {"protocol__rounds": 2}], ids=json.dumps)
def test_what_does_not_change_round_0_is_shared(play, other):
    play("random")
    store = play("random", **other)
    assert trainings(store) == 1
    assert steps(store)[0][1] == 0


def test_a_damaged_training_is_done_again(play):
    first = play("random")
    (path,) = (first.folder.parents[2] / SHARED_ROUND_ZERO).glob("*.pt")
    path.write_bytes(path.read_bytes()[:100])
    second = play("entropy")
    assert steps(second)[0][1] > 0
    assert steps(play("margin"))[0][1] == 0


MEAN_OF_VIEWS = '''
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from albench.network import Network


class Scaled(nn.Module):
    def __init__(self, task, factor):
        super().__init__()
        self.conv, self.factor = nn.Conv2d(1, task.outputs, 3, padding=1), factor

    def forward(self, images):
        return self.conv(self.factor * images.mean(1, keepdim=True))


@dataclass(frozen=True)
class MeanOfViews(Network):
    """The same weights whatever the context and the file."""

    files = ("scale",)
    scale: str | None = None

    def build(self, task):
        return Scaled(task, float(Path(self.scale).read_text()) if self.scale else 1.0)
'''


@pytest.mark.parametrize("change", [{"data.context": 2}, {"network.scale": "two.txt"}])
def test_what_weights_do_not_show_is_not_shared(tmp_path, change):
    (tmp_path / "network.py").write_text(MEAN_OF_VIEWS)
    for name, factor in (("one.txt", "1"), ("two.txt", "3")):
        (tmp_path / name).write_text(factor)
    network, settings = f"{tmp_path / 'network.py'}:MeanOfViews", without_network(SETTINGS)
    places = {"network.scale": str(tmp_path / "one.txt")}
    for own in (places, places | {name: tmp_path / v if name in places else v for name, v in change.items()}):
        own = {name: str(value) if name in places else value for name, value in own.items()}
        loop.run(resolve("random", "phantom", network=network, settings=settings | own), tmp_path / "runs", SHARING)
    assert len(list((tmp_path / "runs" / SHARED_ROUND_ZERO).glob("*.pt"))) == 2


def without_network(settings):
    return {name: value for name, value in settings.items() if not name.startswith("network.")}


def test_a_file_that_an_option_names_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"^strategy.embeddings must name an existing file, 'typo.npz' does not"):
        resolve("k-center", "phantom", settings=TINY | {"strategy.embeddings": "typo.npz"})
    with pytest.raises(ConfigError, match=r"^network.weights must name an existing file, 'typo.pth' does not"):
        resolve("random", "phantom", settings=TINY | {"network.weights": "typo.pth"})
