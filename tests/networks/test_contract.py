"""Networks as plugins: the built-in ones, one in a file, the contract kit, and where they are named."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from monai.networks.nets import SegResNet
from support.learners import make_learner
from support.samples import TINY, invoke
from torch import nn

from albench import loop, run
from albench.benchmarks.suite import load_suite
from albench.encoder_decoder import EncoderDecoder, Extended, Features, check_parts, embedding_of, encoder_of, plain
from albench.errors import ConfigError, NetworkError, StrategyError
from albench.loop import Execution
from albench.network import Network, Task
from albench.networks.residual import Residual
from albench.registry import DEFAULT_NETWORK, NETWORKS, STRATEGIES, available, find
from albench.resolve import ResolvedRun, resolve
from albench.testing import check_network, missing_parts
from albench.training.dropout_samples import DropoutSampler

BARE = '''"""Three convolutions."""

from dataclasses import dataclass

from torch import nn

from albench.network import Network


@dataclass(frozen=True)
class Bare(Network):
    """Neither dropout nor encoder."""

    width: int = 4

    def build(self, task):
        layers = [nn.Conv2d(task.channels, self.width, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(self.width, self.width, 3, padding=1), nn.ReLU(), nn.Conv2d(self.width, task.outputs, 1)]
        return nn.Sequential(*layers)
'''

NORMALIZED = '''

class Normalized(nn.Module):
    """Neither convolution nor linear layer."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images):
        return self.norm(images[:, :1])
'''

SMALL = {
    "residual": {"network.width": 0.125, "network.decoder_width": 4, "network.backbone": "resnet18"},
    "dynunet": {"network.channels": 4},
    "unet": {"network.channels": [4, 4, 8, 8]},
    "swin-unetr": {"network.channels": 12},
}
PHANTOM = {name: value for name, value in TINY.items() if not name.startswith("network.")} | {
    "data.side": 48,  # Swin UNETR needs more than 32 pixels
    "training.epochs": 1,
    "data.count": 4,
    "protocol.split": [2, 1, 1],
}
NEEDS = {
    "dropout samples need a network with dropout": {
        *("bald", "mc-dropout", "power-bald", "softrank-bald", "bal", "ceal-mc-dropout")
    },
    "embeddings need a network with a method embedding": {"k-center", "probcover", "typiclust"},
    "a second encoder needs a network that is derived from albench.encoder_decoder.EncoderDecoder and has an encoder": {
        "star"
    },
}


@pytest.fixture
def bare(tmp_path) -> str:
    (tmp_path / "bare.py").write_text(BARE)
    return f"{tmp_path / 'bare.py'}:Bare"


def build(network: Network, size=(48, 64), classes: int = 1, channels: int = 1, spacing=(1.0, 1.0)) -> nn.Module:
    torch.manual_seed(0)
    return Task(channels, size, network, classes, spacing).build().eval()


def small(name: str) -> Network:
    settings = {option.removeprefix("network."): value for option, value in SMALL[name].items()}
    return find(NETWORKS, name)(**settings | ({"channels": tuple(settings["channels"])} if name == "unet" else {}))


def test_the_built_in_networks_are_these():
    assert [entry.name for entry in available(NETWORKS)] == sorted(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_built_in_network_follows_the_rules(name):
    assert [check for check in check_network(small(name)) if not check.passed] == []


def of_two_classes(resolved: ResolvedRun) -> ResolvedRun:
    """The same run with the left and the right part of the foreground as two classes."""
    masks, names = resolved.prepared.masks.copy(), ("left", "right")
    masks[..., masks.shape[2] // 2 :] *= 2
    config = replace(resolved.config, classes=names)
    return replace(resolved, config=config, prepared=replace(resolved.prepared, masks=masks, classes=names))


PAIRS = [  # one class and two in turn; the default network is that of the tests of strategies
    pytest.param(name, entry.name, 1 + (row + column) % 2, id=f"{name}-{entry.name}")
    for row, name in enumerate([*SMALL, "bare"])
    if name != DEFAULT_NETWORK
    for column, entry in enumerate(available(STRATEGIES))
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "strategy", "classes"), PAIRS)
def test_every_strategy_runs_with_every_other_network_or_says_what_that_lacks(name, strategy, classes, bare, tmp_path):
    network, settings = (bare, {}) if name == "bare" else (name, SMALL[name])
    resolved = resolve(strategy, "phantom", network=network, settings=PHANTOM | {"protocol.rounds": 1} | settings)
    try:
        done = loop.run(
            of_two_classes(resolved) if classes == 2 else resolved, tmp_path, Execution(torch.device("cpu"))
        )
    except NetworkError as error:
        said = str(error)
        assert said.startswith(f"strategy '{strategy}' with network '{name}': ")
        assert any(reason in said and strategy in lacking for reason, lacking in NEEDS.items()), said
        assert name == "bare" or (name, strategy) == ("swin-unetr", "star")
    else:
        assert done.config.network.name == name
        assert len(done.records) == 2 or done.records[-1].unlabeled == 0
        assert not (name == "bare" and strategy in set().union(*NEEDS.values()))


@pytest.mark.parametrize("strategy", ["entropy", "bald", "k-center", "star"])
def test_a_network_in_a_file_runs_where_it_offers_what_is_needed(strategy, bare, tmp_path):
    def start():
        return run(strategy, "phantom", network=bare, settings=PHANTOM, out=tmp_path / "runs", device="cpu")

    if strategy == "entropy":
        done = start()
        assert len(done.records) == 3
        assert done.config.network.code is not None
        assert done.config.network.options == {"width": 4}
        return
    (reason,) = (reason for reason, lacking in NEEDS.items() if strategy in lacking)
    with pytest.raises(NetworkError, match=f"strategy '{strategy}' with network 'bare': {reason}, .*: "):
        start()


@pytest.mark.parametrize("code", [False, True])
def test_the_network_is_part_of_the_digest_and_its_code_if_asked(bare, tmp_path, code):
    def digest(network: str) -> str:
        return resolve("random", "phantom", network=network, settings=PHANTOM).config.digest(code=code)

    copied = tmp_path / "elsewhere" / "bare.py"
    copied.parent.mkdir()
    copied.write_text(BARE)
    assert digest(bare) == digest(f"{copied}:Bare") != digest("residual") != digest("unet")
    edited = tmp_path / "edited.py"
    edited.write_text(BARE + "EDITED = True\n")
    assert (digest(f"{edited}:Bare") != digest(bare)) == code


def test_options_that_suit_a_dataset_are_those_of_the_default_network_only():
    config = resolve("random", "phantom", settings=PHANTOM).config
    assert config.network.options["width"] == 0.25
    assert resolve("random", "phantom", network="unet", settings=PHANTOM).config.network.options == {
        "channels": [32, 32, 64, 128, 256],
        "dropout": 0.1,
    }
    with pytest.raises(ConfigError, match=r"got 'network.width': choose one of network.channels, network.dropout"):
        resolve("random", "phantom", network="unet", settings=PHANTOM | {"network.width": 0.5})


@pytest.mark.slow
def test_runs_share_round_0_with_any_network_and_never_with_another(tmp_path):
    def steps(strategy: str, network: str, **options) -> int:
        settings = PHANTOM | SMALL[network] | {f"network.{name}": value for name, value in options.items()}
        done = run(strategy, "phantom", network=network, settings=settings, out=tmp_path, device="cpu")
        return done.records[0].cost.steps - sum(one.steps for one in done.records[0].query_trainings)

    assert steps("random", "unet") > 0
    assert steps("entropy", "unet") == 0
    assert steps("star", "unet") == 0
    assert steps("margin", "unet", dropout=0.2) > 0
    assert steps("margin", "dynunet") > 0


def test_the_plain_network_is_the_one_in_an_extended_network_or_else_the_whole():
    extended, other = Extended(), nn.Module()
    extended.plain = other.plain = nn.Conv2d(1, 1, 1)
    assert plain(extended) is extended.plain
    assert plain(extended.plain) is extended.plain
    assert plain(other) is other, "a layer that happens to have this name is no network"


@dataclass(frozen=True)
class Flawed(Network):
    """Breaks the rule that `flaw` names."""

    flaw: str

    def build(self, task: Task) -> nn.Module:
        if self.flaw == "size":
            return nn.Conv2d(task.channels, task.outputs, 3)
        if self.flaw == "classes":
            return nn.Conv2d(task.channels, 1, 1)
        return _FlawedModule(task, self.flaw)


class _FlawedModule(EncoderDecoder):
    def __init__(self, task: Task, flaw: str) -> None:
        super().__init__()
        self.flaw = flaw
        self.encoder = _Conv(task.channels, task.outputs)
        self.secret = torch.randn(())
        if flaw == "seed":
            nn.init.normal_(self.encoder.conv.weight, generator=torch.Generator().manual_seed(torch.seed()))

    def encode(self, images):
        features = self.encoder(images)
        return Features(2 * features.deepest, ()) if self.flaw == "encoder" else features

    def decode(self, features, size):
        logits = features.deepest
        if self.flaw == "batch":
            return logits - logits.amax()
        if self.flaw == "gradient":
            return logits.detach() + torch.zeros((), requires_grad=True)
        return logits + self.secret if self.flaw == "state" else logits

    def forward(self, images):
        return super().forward(images) + (self.flaw == "decode")

    def embedding(self, images):
        maps = self.encode(images).deepest
        return maps.flatten(1) if self.flaw == "embedding" else maps


class _Conv(nn.Module):
    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, outputs, 1)

    def forward(self, images):
        return Features(self.conv(images), ())


@pytest.mark.parametrize(
    ("flaw", "problem"),
    [
        ("size", r"for 1 channels and 1 classes it gave shape \(2, 1, 46, 62\), not logits of shape \(2, 1, 48, 64\)"),
        ("classes", r"for 3 channels and 2 classes it gave shape \(2, 1, 48, 64\), not logits of shape \(2, 3, 48"),
        ("seed", "'encoder.conv.weight' differed with the same seed: draw with torch's global generator"),
        ("batch", "its logits changed with the batch, or from call to call: use no statistics"),
        ("gradient", "no weight had a gradient"),
        ("state", "the same weights gave other logits: register all that is drawn"),
        ("decode", r"decode\(encode\(images\), size\) gave other logits"),
        ("encoder", r"encoder\(images\) gave other features"),
        (
            "embedding",
            r"feature maps \(b, d, h, w\), embedding\(images\) of _FlawedModule gave shape \(2, 3072\) for 2 slices",
        ),
    ],
)
def test_the_kit_finds_each_broken_rule(flaw, problem):
    failed = [check for check in check_network(Flawed(flaw)) if not check.passed]
    assert len(failed) == 1
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(failed[0].problem)


def test_the_kit_says_what_a_network_does_not_offer(bare):
    assert [sentence.partition(":")[0] for sentence in missing_parts(find(NETWORKS, bare)())] == [
        "strategies that take dropout samples cannot run, such as bald",
        "strategies that compare slices by their embeddings cannot run, such as k-center",
        "strategies that have a second encoder cannot run, such as star",
    ]
    assert missing_parts(small("residual")) == missing_parts(small("unet")) == []


def test_a_network_without_layers_of_torch_has_no_last_layer_to_take_gradients_of(tmp_path):
    text = BARE.replace("nn.Sequential(*layers)", "Normalized()") + NORMALIZED
    (tmp_path / "normalized.py").write_text(text)
    name = f"{tmp_path / 'normalized.py'}:Bare"
    sentence = (
        "gradients need a network with a convolution or linear layer of torch.nn, Normalized has none: choose another"
    )
    assert [said for said in missing_parts(find(NETWORKS, name)()) if "gradients" in said] == [
        f"strategies that take gradients of the last layer cannot run, such as badge: {sentence} network"
    ]
    with pytest.raises(NetworkError, match=f"strategy 'badge' with network 'bare': {sentence}"):
        run("badge", "phantom", network=name, settings=PHANTOM, out=tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()


def test_a_class_can_name_the_layer_that_embeds(tmp_path):
    text = BARE.replace("    width: int = 4\n", '    embedding_layer = "2"\n    width: int = 4\n')
    (tmp_path / "layered.py").write_text(text)
    network = find(NETWORKS, f"{tmp_path / 'layered.py'}:Bare")()
    module, images = build(network), torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        assert torch.equal(embedding_of(module)(images), module[:3](images))
    assert not any("embeddings" in sentence for sentence in missing_parts(network))


class _Patches(nn.Conv2d):
    """Has a module with the name of the method, as a vision transformer."""

    def __init__(self) -> None:
        super().__init__(1, 4, 1)
        self.embedding = nn.Conv2d(1, 8, 16, stride=16)


class _Flat(nn.Conv2d):
    def embedding(self, images):
        return self(images).mean((2, 3))


def test_a_module_named_embedding_is_not_the_method():
    network = _Patches()
    with pytest.raises(NetworkError, match=r"a method embedding, or with the name of a layer .* _Patches has neither"):
        embedding_of(network)
    network.embedding_layer = "embedding"
    with pytest.raises(NetworkError, match="must name a layer that is called, 'embedding' is not: name another layer"):
        embedding_of(network)(torch.zeros(2, 1, 48, 64))


def test_an_embedding_that_is_no_map_is_an_error():
    learner = make_learner(_Flat(1, 1, 1))
    with pytest.raises(
        NetworkError, match=r"embedding\(images\) of _Flat gave shape \(3, 1\) for 3 slices: return maps"
    ):
        learner.embed(learner.slices, np.arange(3))
    network = nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (48, 64)))
    network.embedding_layer = "0"
    with pytest.raises(NetworkError, match=r"embedding_layer '0' gave shape \(2, 1, 3072\) for 2 slices: return maps"):
        embedding_of(network)(torch.zeros(2, 1, 48, 64))


def test_parts_can_be_looked_for_before_training(bare):
    check_parts(build(small("unet")), {"dropout", "embedding"})
    module = build(find(NETWORKS, bare)())
    check_parts(module, ())
    with pytest.raises(NetworkError, match="dropout samples need a network with dropout, Sequential has none"):
        check_parts(module, {"dropout"})
    with pytest.raises(NetworkError, match="embeddings need a network with a method embedding"):
        check_parts(module, {"embedding"})


@dataclass(frozen=True)
class _Foreign(Network):
    """MONAI's SegResNet, whose `encode` and `decode` mean something else."""

    def build(self, task: Task) -> nn.Module:
        shape = {"spatial_dims": 2, "init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)}
        return SegResNet(in_channels=task.channels, out_channels=task.outputs, dropout_prob=0.2, **shape)


def test_methods_of_another_library_are_not_used():
    assert [check for check in check_network(_Foreign()) if not check.passed] == []
    module, images = build(_Foreign()), torch.randn(2, 1, 48, 64)
    draw = DropoutSampler(module)(images)
    one, two = draw(), draw()
    assert one.shape == (2, 1, 48, 64)
    assert not torch.equal(one, two)
    assert [sentence.partition(":")[0] for sentence in missing_parts(_Foreign())] == [
        "every dropout sample runs the whole network",
        "strategies that compare slices by their embeddings cannot run, such as k-center",
        "strategies that have a second encoder cannot run, such as star",
    ]


def test_an_encoder_is_asked_for_by_name():
    assert encoder_of(build(small("unet"))).encoder is not None
    with pytest.raises(
        NetworkError, match="has an encoder, Conv2d is no such network: derive it, or choose another one"
    ):
        encoder_of(nn.Conv2d(1, 1, 1))
    assert issubclass(NetworkError, StrategyError)


def test_a_second_encoder_is_another_one():
    task = Task(1, (48, 64), small("unet"))
    first, second = task.build().encoder, task.build_encoder()
    assert first.state_dict().keys() == second.state_dict().keys()
    assert not any(one is two for one, two in zip(first.parameters(), second.parameters(), strict=True))


def test_a_suite_has_one_network_for_all_arms(tmp_path):
    path, rest = tmp_path / "mine.yaml", "about: Mine.\ndataset: phantom\nseeds: 2\nstrategies: [random, star]\n"
    path.write_text("network: unet\nsettings: {network: {channels: [4, 8]}}\n" + rest)
    suite = load_suite(str(path))
    assert {one.network for one in suite.runs} == {"unet"}
    assert all(one.settings["network.channels"] == [4, 8] for one in suite.runs)
    other = load_suite(str(path), network="dynunet")
    assert {one.network for one in other.runs} == {"dynunet"}
    assert not any(name.startswith("network.") for one in other.runs for name in one.settings)
    path.write_text("network: unnet\n" + rest)
    with pytest.raises(ConfigError, match=r"mine.network: network must be .*, got 'unnet': did you mean 'unet'"):
        load_suite(str(path))


def test_the_command_line_lists_shows_checks_and_runs_networks(bare, tmp_path):
    code, listed = invoke("list", "networks")
    assert code == 0
    assert all(name in listed for name in SMALL)
    code, shown = invoke("show", "dynunet")
    assert code == 0
    assert "network.most_channels (integer, at least 1, at most 1000000000, default 512)" in shown
    code, checked = invoke("check-network", bare, "--set", "network.width=8")
    assert code == 0
    assert "note strategies that take dropout samples cannot run, such as bald" in checked
    assert "9 of 9 checks passed" in checked
    settings = [part for name, value in PHANTOM.items() for part in ("--set", f"{name}={value}".replace(" ", ""))]
    arguments = ("--strategy", "bald", "--dataset", "phantom", "--network", bare, "--out", tmp_path / "runs")
    code, said = invoke("run", *arguments, *settings, "--threads", "1")
    assert code == 2
    assert "strategy 'bald' with network 'bare': dropout samples need a network with dropout, Sequential has" in said


def test_the_template_of_a_network_is_a_network_with_all_parts(tmp_path):
    assert invoke("new", "network", "fresh-net", "--folder", tmp_path)[0] == 0
    network = find(NETWORKS, f"{tmp_path / 'fresh-net' / 'fresh_net.py'}:FreshNet")()
    assert [check for check in check_network(network) if not check.passed] == []
    assert missing_parts(network) == []


def test_files_of_a_network_are_known_by_their_content(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"weights")
    settings = TINY | {"network.weights": str(tmp_path / "weights.pth")}
    config = resolve("k-center", "phantom", settings=settings).config
    assert config.files == {"network.weights": str(tmp_path / "weights.pth"), "strategy.embeddings": None}
    assert "weights" not in config.network.options
    assert replace(config, files={"network.weights": "moved"}).digest() == config.digest()
    assert replace(config, network=replace(config.network, files_key="0")).digest() != config.digest()
    assert isinstance(resolve("random", "phantom", settings=settings).network, Residual)


@pytest.mark.parametrize(
    "strategy", ["k-center", "bald", "power-bald", "softrank-bald", "mc-dropout", "bal", "ceal-mc-dropout"]
)
def test_what_a_network_lacks_is_said_before_the_first_training(tmp_path, strategy):
    path = tmp_path / "bare.py"
    path.write_text(BARE)
    settings = {name: value for name, value in TINY.items() if not name.startswith("network.")}
    with pytest.raises(
        NetworkError, match=r"strategy '.*' with network 'bare': (dropout samples|embeddings) need a network"
    ):
        run(strategy, "phantom", network=f"{path}:Bare", settings=settings, out=tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("layer", "classes", "sentence"),
    [
        ("nn.Conv2d(self.width, 1, 1)", 2, r"gave shape \(2, 1, 48, 48\), not logits of shape \(2, 3, 48, 48\)"),
        ("nn.Conv2d(self.width, task.outputs + 2, 1)", 1, r"gave shape \(2, 3, 48, 48\), not logits of shape \(2, 1"),
        ("nn.MaxPool2d(2), nn.Conv2d(self.width, task.outputs, 1)", 1, r"gave shape \(2, 1, 24, 24\), not logits of"),
        ("nn.Conv2d(9, task.outputs, 1)", 1, r"raised RuntimeError: Given groups=1, weight of size \[1, 9, 1, 1\]"),
        ("nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(0)", 1, r"gave shape \(8,\), not logits of shape"),
    ],
)
def test_a_network_whose_output_is_no_logits_is_refused_before_the_first_training(tmp_path, layer, classes, sentence):
    path = tmp_path / "other.py"
    path.write_text(BARE.replace("nn.Conv2d(self.width, task.outputs, 1)", layer))
    settings = PHANTOM | {"data.parts": classes}
    with pytest.raises(NetworkError, match=rf"network 'bare': a network must .* it {sentence}.*albench check-network"):
        run("random", "phantom", network=f"{path}:Bare", settings=settings, out=tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()
