"""Vectors of slices from a file, for strategies that compare slices."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from support.samples import TINY, vectors_of

from albench import run
from albench.embeddings import read_embeddings
from albench.errors import ConfigError, StrategyError
from albench.resolve import resolve

SCRIPT = Path(__file__).parents[1] / "docs" / "embed_with_dinov2.py"


@pytest.fixture
def slices(tiny):
    return tiny.stack(tiny.cases[:4])


def write(path, arrays) -> Path:
    np.savez(path, **arrays)
    return path


def test_each_slice_gets_its_own_vector_whatever_the_order_of_the_file(tiny, slices, tmp_path):
    arrays = vectors_of(tiny)
    found = read_embeddings(write(tmp_path / "all.npz", arrays), slices)
    assert found.dtype == np.float32
    for i in range(len(slices)):
        own = (arrays["case"] == slices.cases[slices.case[i]]) & (arrays["position"] == slices.position[i])
        np.testing.assert_array_equal(found[i], arrays["vector"][own][0].astype(np.float32))


def without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: without(a, "vector"), r"an .npz file with arrays case, position, vector, '.*' is not one \("),
        (lambda a: a | {"vector": a["vector"][:, 0]}, r"vector \(m, d\), '.*' has shapes \(53,\), \(53,\) and \(53,\)"),
        (
            lambda a: a | {"position": a["position"] * 0},
            r"one vector per slice, '.*' has two of case phantom-00\d, pos",
        ),
        (
            lambda a: a | {"position": a["position"] + 1},
            r"lacks 4 of 36, the first of case phantom-000, position 0: add",
        ),
        (
            lambda a: a | {"vector": a["vector"] * np.nan},
            r"finite, that of case phantom-000, position 0 in '.*' is not",
        ),
        (
            lambda a: a | {"vector": a["vector"].astype(str)},
            r"one real number per vector, those in '.*' have 5 of type <U",
        ),
        (lambda a: a | {"vector": a["vector"] + 1j}, r"those in '.*' have 5 of type complex128: write it again"),
        (lambda a: a | {"vector": a["vector"][:, :0]}, r"those in '.*' have 0 of type float64: write it again"),
    ],
)
def test_a_file_that_does_not_fit_is_an_error(change, sentence, tiny, slices, tmp_path):
    path = write(tmp_path / "wrong.npz", change(vectors_of(tiny)))
    with pytest.raises(StrategyError, match=sentence):
        read_embeddings(path, slices)


def test_a_file_that_cannot_be_read_is_an_error(slices, tmp_path):
    path = tmp_path / "wrong.npz"
    with pytest.raises(StrategyError, match=r"an existing .npz file, '.*wrong.npz' does not exist: check the path"):
        read_embeddings(path, slices)
    path.write_bytes(b"no zip file")
    with pytest.raises(StrategyError, match=r"'.*wrong.npz' is not one \(.*\): write it with numpy.savez"):
        read_embeddings(path, slices)


def test_k_center_covers_the_vectors_of_the_file(tiny, tmp_path):
    arrays = vectors_of(tiny)
    path = write(tmp_path / "all.npz", arrays)
    settings = TINY | {"strategy.embeddings": str(path), "protocol.rounds": 1, "training.epochs": 1}
    done = run("k-center", "phantom", settings=settings, out=tmp_path / "runs", device="cpu")
    assert done.config.strategy.options == {"embedding": "pooled"}
    stack = tiny.stack(done.split.train)
    vectors = read_embeddings(path, stack).astype(np.float64)
    labeled = [i for i in range(len(stack)) if stack.position[i] % 4 == 0]
    for _ in range(3):
        rest = np.setdiff1d(np.arange(len(stack)), labeled)
        labeled.append(int(rest[cdist(vectors[rest], vectors[labeled]).min(1).argmax()]))
    assert list(done.query(0).ids) == labeled[-3:]


def test_a_file_is_checked_before_the_first_training_and_its_content_is_part_of_the_digest(tiny, tmp_path):
    arrays = vectors_of(tiny)

    def config(name, **changes):
        path = write(tmp_path / name, arrays | changes)
        return resolve("k-center", "phantom", settings=TINY | {"strategy.embeddings": str(path)}).config

    first = config("one.npz")
    assert config("two.npz").digest() == first.digest()
    assert config("two.npz", vector=arrays["vector"] + 1).digest() != first.digest()
    assert resolve("k-center", "phantom", settings=TINY).config.digest() != first.digest()
    settings = TINY | {"strategy.embeddings": str(write(tmp_path / "few.npz", {k: v[:3] for k, v in arrays.items()}))}
    with pytest.raises(
        StrategyError, match=r"strategy 'k-center': embeddings must have a vector of every slice of the"
    ):
        run("k-center", "phantom", settings=settings, out=tmp_path / "runs", device="cpu")
    assert not list((tmp_path / "runs").glob("**/records.jsonl"))


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("embed_with_dinov2", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Pixels(torch.nn.Module):
    """Some pixels, in place of DINOv2."""

    def forward(self, images):
        assert images.shape[1:] == (3, 224, 224)
        return images.flatten(1)[:, :7]


def test_the_script_of_the_manual_writes_such_a_file(script, tiny, slices, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "load", lambda *_: Pixels())
    options = [f"{name}={value}" for name, value in TINY.items() if name.startswith("data.")]
    script.main(["phantom", str(tmp_path / "all.npz"), *options])
    found = read_embeddings(tmp_path / "all.npz", slices)
    assert found.shape == (len(slices), 7)
    assert np.isfinite(found).all()
    arrays = script.embed(tiny, Pixels(), batch_size=5)
    np.testing.assert_allclose(read_embeddings(write(tmp_path / "again.npz", arrays), slices), found, rtol=1e-5)


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["phantom"],
        ["phantom", "vectors"],
        ["phantom", "folder", "a.npz"],
        ["phantom", "a.npz", "training.epochs=3"],
        ["phantom", "a.npz", "data.side"],
    ],
)
def test_the_script_of_the_manual_says_how_it_is_used(script, given):
    with pytest.raises(ConfigError, match=r"usage: python docs/embed_with_dinov2.py DATASET TARGET.npz \[data.option"):
        script.main(given)
