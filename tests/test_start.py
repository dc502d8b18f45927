from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from support.samples import TINY, vectors_of
from support.samples import slices_without_images as stack

from albench.config import Protocol
from albench.embeddings import read_embeddings
from albench.errors import ConfigError
from albench.masks import PackedMasks
from albench.pool import Pool
from albench.registry import Entry
from albench.resolve import resolve
from albench.runs.comparability import _flat, _protocol, differences, protocol_digest
from albench.start import PLACES, check_start, initial_slices, start_slices
from albench.strategies.entropy import Entropy
from albench.strategies.k_center import KCenter
from albench.strategies.probcover import ProbCover
from albench.strategies.typiclust import TypiClust
from albench.streams import Streams

DEPTHS = (31, 40, 25, 18, 36)


@pytest.mark.parametrize(("depth", "count"), [(155, 16), (100, 10), (101, 11), (8, 1), (2, 1)])
def test_at_intervals_every_tenth_slice_of_each_case_is_labeled(depth, count):
    slices = stack(depth, depth)
    chosen = start_slices(slices, "interval", 10, Streams(0, "x"))
    assert slices.position[chosen].tolist() == 2 * list(range(0, depth, 10))
    assert len(chosen) == 2 * count


@pytest.mark.parametrize(
    ("depth", "interval", "places"),
    [
        (1, 10, [0]),
        (2, 10, [1]),
        (3, 10, [1]),
        (4, 10, [1, 2]),
        (5, 10, [1, 3]),
        (8, 10, [2, 5]),
        (11, 10, [3, 7]),
        (21, 10, [4, 10, 16]),
        (40, 10, [5, 15, 24, 34]),
        (8, 2, [1, 3, 4, 6]),
        (6, 1, [1, 2, 3, 4]),
    ],
)
def test_initial_slices_inside_leave_out_the_ends_and_are_at_least_two(depth, interval, places):
    slices = stack(30, depth)
    chosen = start_slices(slices, "inside", interval, Streams(0, "x"))
    assert slices.position[chosen[slices.case[chosen] == 1]].tolist() == places


@pytest.mark.parametrize("start", ["interval", "inside", "cases", "slices", "few-cases"])
def test_of_cases_of_one_slice_every_tenth_is_labeled(start):
    slices = replace(stack(*[1] * 60), cases=tuple(map(str, range(60))))
    chosen = start_slices(slices, start, 10, Streams(0, "x"))
    assert len(set(chosen.tolist())) == len(chosen) == 6
    if start in ("interval", "inside"):
        assert np.diff(chosen).tolist() == pytest.approx(5 * [10], abs=1)


def test_random_slices_are_as_many_as_at_intervals():
    slices = stack(*DEPTHS)
    chosen = [start_slices(slices, "slices", 10, Streams(seed, "x")) for seed in range(300)]
    assert {len(set(ids.tolist())) for ids in chosen} == {4 + 4 + 3 + 2 + 4}
    counts = np.bincount(np.concatenate(chosen), minlength=len(slices))
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean()), "every slice is as likely as any other"


def test_whole_cases_are_labeled_until_the_next_would_be_too_many():
    slices = stack(*DEPTHS)
    for seed in range(20):
        chosen = start_slices(slices, "cases", 3, Streams(seed, "x"))  # 52 slices at intervals
        cases = np.unique(slices.case[chosen])
        assert chosen.tolist() == np.flatnonzero(np.isin(slices.case, cases)).tolist()
        assert len(chosen) <= 52
        assert len(cases) >= 1
    assert len(start_slices(slices, "cases", 100, Streams(0, "x"))) in DEPTHS, "at least one case"


def test_few_cases_are_labeled_four_times_as_densely():
    slices = stack(*DEPTHS)
    chosen = start_slices(slices, "few-cases", 12, Streams(0, "x"))
    assert len(chosen) == sum(-(-depth // 12) for depth in DEPTHS)
    cases, counts = np.unique(slices.case[chosen], return_counts=True)
    assert len(cases) == 2
    for case, count in zip(cases, counts, strict=True):
        assert slices.position[chosen[slices.case[chosen] == case]].tolist() == list(range(0, 3 * count, 3))


@pytest.mark.parametrize("start", ["cases", "slices", "few-cases"])
def test_a_start_depends_on_the_seed_and_on_nothing_else(start):
    slices = stack(*DEPTHS)
    one, again, other = (start_slices(slices, start, 10, Streams(seed, "x")) for seed in (0, 0, 1))
    assert one.tolist() == again.tolist() == sorted(one.tolist())
    assert one.tolist() != other.tolist()


@pytest.mark.parametrize("start", ["interval", "inside", "cases", "slices", "few-cases"])
@pytest.mark.parametrize("first", [0, 5])
def test_where_every_tenth_slice_is_drawn_every_tenth_of_those_is_labeled(start, first):
    slices = stack(*[200] * 4)
    known = (slices.position % 10 == first).astype(np.uint8)[:, None, None].repeat(16, 1).repeat(16, 2)
    known[slices.case == 3] = 0
    partly = replace(slices, known=PackedMasks.of(np.arange(len(slices)), known))
    chosen = start_slices(partly, start, 10, Streams(0, "x"))
    assert partly.annotatable[chosen].all()
    assert 0 < len(chosen) <= 20
    if start == "interval":
        assert slices.position[chosen].tolist() == 3 * [first, first + 100]


@pytest.fixture
def vectors(tiny, tmp_path):
    """A file with a vector of every slice of the tiny phantom."""
    np.savez(tmp_path / "vectors.npz", **vectors_of(tiny))
    return tmp_path / "vectors.npz"


def one_case(tmp_path, *numbers: float):
    """The slices of one case and a file with a number of each."""
    arrays = {"case": np.repeat("a", len(numbers)), "position": np.arange(len(numbers))}
    np.savez(tmp_path / "numbers.npz", **arrays, vector=np.array(numbers)[:, None])
    return stack(len(numbers)), tmp_path / "numbers.npz"


def test_of_six_slices_a_cold_start_labels_as_many_as_at_intervals_where_the_vectors_say(tmp_path):
    """Every third of six is two slices. Of 0, 1, 1.5 and 2 the most typical is 1.5, of 50 and 51 any."""
    slices, path = one_case(tmp_path, 0, 50, 1, 51, 2, 1.5)
    strategy = TypiClust(min_size=0, normalize=False)
    for seed in range(5):
        found = initial_slices(slices, "own", 3, Streams(seed, "x"), strategy=strategy, embeddings=path)
        assert found.tolist() == [1, 5]


@pytest.mark.parametrize("interval", [3, 4])
def test_the_vectors_of_a_cold_start_decide_and_not_the_places(tmp_path, interval):
    slices, path = one_case(tmp_path, 0, 50, 1, 51, 2, 1.5)
    found = {
        tuple(
            initial_slices(
                slices, "k-center", interval, Streams(seed, "x"), strategy=Entropy(), embeddings=path
            ).tolist()
        )
        for seed in range(40)
    }
    far = {0: 3, 1: 0, 2: 3, 3: 0, 4: 3, 5: 3}
    assert found == {tuple(sorted(pair)) for pair in far.items()}, "one is drawn, the other is the farthest from it"


@pytest.mark.parametrize("start", ["k-center", "probcover", "typiclust"])
def test_a_strategy_selects_the_same_start_for_all_strategies_of_a_seed(tiny_run, vectors, start):
    settings = {"protocol.start": start, "protocol.start_embeddings": str(vectors), "protocol.rounds": 1}
    settings |= {"training.epochs": 1}
    one, other = (tiny_run(name, settings) for name in ("random", "typiclust"))
    plain = tiny_run("random", {"protocol.rounds": 1, "training.epochs": 1})
    assert one.split.initial == other.split.initial
    assert len(one.split.initial) == len(plain.split.initial) == 10
    assert one.split.initial != plain.split.initial
    assert one.finished
    assert protocol_digest(one.config) == protocol_digest(other.config) != protocol_digest(plain.config)
    key = one.config.protocol.start_embeddings
    assert differences(one.config, plain.config) == [
        f"protocol.start is {start} and not interval",
        f"protocol.start_embeddings is {key} and not None",
    ]


def test_with_a_start_of_its_own_every_strategy_selects_by_its_options_and_others_at_intervals(tiny, vectors):
    slices = tiny.stack(tiny.cases[:4])
    found = torch.from_numpy(read_embeddings(vectors, slices))
    evenly = start_slices(slices, "interval", 4, Streams(0, "x"))
    for strategy in (KCenter(), ProbCover(delta=0.3), TypiClust(neighbors=2, min_size=0)):
        given = initial_slices(slices, "own", 4, Streams(0, "x"), strategy=strategy, embeddings=vectors)
        own = strategy.select(found, Pool(slices), len(evenly), Streams(0, "x").numpy("start"))
        assert given.tolist() == sorted(own.tolist())
    others = initial_slices(slices, "own", 4, Streams(0, "x"), strategy=Entropy(), embeddings=vectors)
    assert others.tolist() == evenly.tolist()


def test_runs_with_starts_of_their_own_are_of_one_protocol(tiny_run, vectors):
    settings = {"protocol.start": "own", "protocol.start_embeddings": str(vectors), "protocol.rounds": 1}
    one, other = (tiny_run(name, settings | {"training.epochs": 1}) for name in ("random", "k-center"))
    assert differences(one.config, other.config) == []
    assert set(one.split.initial) != set(other.split.initial)


def test_k_center_starts_with_a_drawn_slice_and_goes_on_with_the_farthest(tiny, vectors):
    slices = tiny.stack(tiny.cases[:4])
    found = torch.from_numpy(read_embeddings(vectors, slices))
    starts = [KCenter().select(found, Pool(slices), 4, np.random.default_rng(seed)) for seed in range(200)]
    assert {int(first) for first, *_ in starts} == set(range(len(slices)))
    for chosen in starts[:5]:
        for index in range(1, 4):
            nearest = cdist(found, found[chosen[:index]]).min(1)
            assert chosen[index] == nearest.argmax()


def test_slices_without_a_known_label_are_in_no_cold_start(tmp_path):
    slices, path = one_case(tmp_path, *range(40))
    known = np.zeros((40, 16, 16), np.uint8)
    known[10:30] = 1
    partly = replace(slices, known=PackedMasks.of(np.arange(40), known))
    for start in ("k-center", "probcover", "typiclust"):
        chosen = initial_slices(partly, start, 5, Streams(0, "x"), strategy=Entropy(), embeddings=path)
        assert len(chosen) == 4
        assert partly.annotatable[chosen].all()


def test_the_content_of_the_vectors_is_part_of_the_digest_and_their_place_is_not(tiny, vectors, tmp_path):
    def config(path, start="typiclust"):
        return resolve(
            "random", "phantom", settings=TINY | {"protocol.start": start, "protocol.start_embeddings": str(path)}
        ).config

    arrays = vectors_of(tiny)
    moved, other = tmp_path / "moved.npz", tmp_path / "other.npz"
    moved.write_bytes(vectors.read_bytes())
    np.savez(other, **arrays | {"vector": arrays["vector"] + 1})
    assert config(moved).digest() == config(vectors).digest()
    assert config(moved).files["protocol.start_embeddings"] == str(moved)
    digests = {config(vectors).digest(), config(other).digest(), config(vectors, "probcover").digest()}
    assert len(digests | {resolve("random", "phantom", settings=TINY).config.digest()}) == 4


def test_a_protocol_without_vectors_is_the_one_that_it_was_before_there_were_any():
    config = resolve("random", "phantom", settings=TINY).config
    assert not any("start_embeddings" in key for key in _flat(_protocol(config)))


def test_the_start_of_a_protocol_is_no_plugin_whose_code_may_change(monkeypatch):
    class Mine(KCenter):
        """A strategy of a user."""

    entries = [Entry("mine", Mine), Entry("k-center", KCenter), Entry("entropy", Entropy), Entry("broken", None, "?")]
    monkeypatch.setattr("albench.start.available", lambda group: entries)
    check_start(Protocol(start="k-center", start_embeddings="vectors.npz"))
    with pytest.raises(
        ConfigError, match=r"got 'mine': did you mean 'protocol.start=inside'|got 'mine': choose one of"
    ):
        check_start(Protocol(start="mine", start_embeddings="vectors.npz"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"protocol.start": "intervall"},
            r"^protocol.start must be a known start, got 'intervall': did you mean 'protocol.start=interval'\?$",
        ),
        (
            {"protocol.start": "entropy"},
            rf"got 'entropy': choose one of protocol.start={PLACES[0]}, .*, protocol.start=k-center, protocol.st",
        ),
        (
            {"protocol.start": "typiclust"},
            r"^protocol.start=typiclust needs vectors of all slices, because there is no trained network before round "
            r"0: set protocol.start_embeddings=FILE.npz$",
        ),
        ({"protocol.start": "own"}, r"^protocol.start=own needs vectors of all slices, because"),
        (
            {"protocol.start_embeddings": "vectors.npz"},
            r"^protocol.start_embeddings needs a start that selects by vectors, got protocol.start=interval: set "
            r"protocol.start to one of k-center, probcover, typiclust, own, or leave protocol.start_embeddings out$",
        ),
        (
            {"protocol.start": "typiclust", "protocol.start_embeddings": "typo.npz"},
            r"^protocol.start_embeddings must name an existing file, 'typo.npz' does not exist: correct it or leave",
        ),
    ],
)
def test_a_start_that_cannot_be_chosen_is_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        resolve("random", "phantom", settings=TINY | settings)


def test_vectors_that_do_not_fit_the_pool_are_one_sentence_of_the_start_and_not_of_the_strategy(
    tiny_run, tiny, tmp_path
):
    arrays = vectors_of(tiny)
    np.savez(tmp_path / "few.npz", **{name: values[:3] for name, values in arrays.items()})
    (tmp_path / "text.npz").write_text("no zip file")
    settings = {"protocol.start": "typiclust", "protocol.start_embeddings": str(tmp_path / "few.npz")}
    with pytest.raises(
        ConfigError, match=r"^embeddings must have a vector of every slice of the pool, '.*few.npz' lacks"
    ):
        tiny_run("random", settings)
    settings["protocol.start_embeddings"] = str(tmp_path / "text.npz")
    with pytest.raises(ConfigError, match=r"^protocol.start_embeddings must name an .npz file with arrays case, pos"):
        tiny_run("random", settings)
    assert not list((tmp_path / "runs").glob("**/records.jsonl"))
