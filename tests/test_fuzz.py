"""Random damage to all that albench reads: each input works or ends in one sentence, within ten seconds and 2 GB.

`ALBENCH_FUZZ=10000` sets how many inputs are tried in all; the same number tries the same inputs.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.formats import write_dicom, write_frames, write_hdf5, write_itk, write_segmentation, write_structures
from support.samples import TINY

import albench
from albench.benchmarks.suite import load_suite
from albench.cli.status import run_states
from albench.combinations import check_combinations
from albench.config import Protocol, Training
from albench.data import Dataset, check_options, split_dataset
from albench.errors import AlbenchError
from albench.machine import peak_memory
from albench.registry import DATASETS, NETWORKS, STRATEGIES, find, options_of
from albench.reports import load, publish
from albench.resolve import common_settings, make_dataset, make_network, make_strategy
from albench.runs import find_runs, verify
from albench.runs.documents import encode_content
from albench.settings import parse_settings

pytestmark = pytest.mark.slow

_TESTS = 8
fuzzed = settings(
    max_examples=int(os.environ.get("ALBENCH_FUZZ", "900")) // _TESTS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TOKENS = (
    *("", "010", "1:30", "-1", "0", "1e999", ".nan", "1e300", "9" * 40, "true", "null", "none", "[]", "{}", "[1, 2]"),
    *("{a: 1}", "{a: [1, b]}", "&a [*a]", "*a", "<<: {a: 1}", "!!int a", "? [a]\n: b", "'", '"', ": ", "- ", ",", ";"),
    *("\n", "\t", "\r", "\0", "\x1b[31m", "\u202e", "\ufeff", '"\\uD800"', "=1+1", "/", "..", "a/../b", "~", "é" * 300),
    *(
        "image",
        "mask",
        "patient",
        "subject",
        "volumes:",
        "labels",
        "classes",
        "training",
        "all",
        "ignore",
        "[160000, 16]",
    ),
)
token = st.sampled_from(TOKENS) | st.text(max_size=6) | st.integers().map(str) | st.floats().map(str)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(TOKENS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TOKENS), inner, max_size=3),
    max_leaves=6,
)


def survives(action: Callable[[], object]) -> None:
    """The action works, or ends in one sentence that a user can read, in less than ten seconds and 2 GB."""
    with suppress(OSError):  # without it, only what is more than the largest memory so far is counted
        Path("/proc/self/clear_refs").write_text("5")  # which forgets that
    begin, memory = time.monotonic(), peak_memory()
    said = "it works"
    try:
        action()
    except AlbenchError as error:
        said = str(error)
    assert said.strip()
    assert "Traceback" not in said
    assert time.monotonic() - begin < 10
    assert peak_memory() - memory < 2e9


edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), token), min_size=1, max_size=4)


def edited(text: str, changes: Sequence[tuple[float, int, str]]) -> bytes:
    """A text in which some parts are replaced."""
    for where, length, new in changes:
        start = int(where * len(text))
        text = text[:start] + new + text[start + length :]
    return text.encode(errors="surrogatepass")


def read(dataset: Dataset) -> None:
    """Everything that albench asks of a dataset before and in its preparation."""
    check_options(dataset)
    list(dataset.problems())
    dataset.notes()
    dataset.inputs()
    dataset.defaults()
    split_dataset(dataset, Protocol(split=(1, 1, 1)), 0)  # of the three cases here
    for case in dataset.cases():
        dataset.load(case)


def open_folder(root: Path) -> None:
    read(make_dataset("folder", {"data.root": str(root), "data.size": [32, 32]}))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three uncompressed images with masks."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
        for index in range(3):
            values = rng.integers(0, 2 if folder == "labelsTr" else 100, (16, 16, 3)).astype(np.int16)
            nib.save(nib.Nifti1Image(values, np.eye(4)), root / folder / f"case_{index}.nii")
    return root


byte = st.sampled_from((0, 1, 2, 127, 128, 255)) | st.integers(0, 255)
# the fields that say what the voxels are, and any other byte
place = st.integers(40, 56) | st.integers(70, 124) | st.integers(252, 328) | st.integers(0, 351)


@fuzzed
@given(
    folder=st.sampled_from(("imagesTr", "labelsTr")),
    changes=st.lists(st.tuples(place, byte), min_size=1, max_size=6),
    end=st.none() | st.integers(0, 2000),
)
def test_a_nifti_file(pairs, folder, changes, end):
    path = pairs / folder / "case_1.nii"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for where, value in changes:
        damaged[where] = value
    try:
        path.write_bytes(damaged[:end])
        survives(lambda: open_folder(pairs))
    finally:
        path.write_bytes(whole)


@fuzzed
@given(
    folder=st.sampled_from(("imagesTr", "labelsTr")),
    changes=st.lists(st.tuples(place, byte), max_size=4),
    repeated=st.sampled_from((1, 1, 2, 40)),
    packed=st.lists(st.tuples(st.floats(0, 0.999), byte), max_size=3),
    share=st.just(1.0) | st.floats(0, 1),
)
def test_a_compressed_nifti_file(pairs, folder, changes, repeated, packed, share):
    path = pairs / folder / "case_1.nii"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for where, value in changes:
        damaged[where] = value
    stream = bytearray(gzip.compress(damaged) * repeated)  # several members are one file
    for position, value in packed:
        stream[int(position * len(stream))] = value
    compressed = path.with_suffix(".nii.gz")
    path.unlink()
    try:
        compressed.write_bytes(stream[: int(share * len(stream))])
        survives(lambda: open_folder(pairs))
    finally:
        compressed.unlink()
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The files of a folder in each format, after the folder itself."""
    root, rng = tmp_path_factory.mktemp("formats"), np.random.default_rng(0)
    image, mask = rng.normal(100, 20, (16, 16, 3)).astype(np.int16), rng.integers(0, 2, (16, 16, 3)).astype(np.uint8)
    for form in ("mha", "nhdr", "nrrd"):
        write_itk(root / form / "imagesTr" / f"a.{form}", image, np.eye(4))
        write_itk(root / form / "labelsTr" / f"a.{form}", mask, np.eye(4), compressed=True)
    for form in ("series", "frames"):
        series = write_dicom(root / form / "imagesTr" / "a", image, np.eye(4))
        write_segmentation(root / form / "labelsTr" / "a.dcm", series, mask)
        if form == "frames":
            write_frames(series.with_suffix(".dcm"), series)
    series = write_dicom(root / "contours" / "ct", image, np.eye(4))
    corners = np.array([(-2.0, -2, 1), (-2, -9, 1), (-9, -9, 1)])
    write_structures(root / "contours" / "plan" / "a.dcm", series, [("organ", [corners]), ("empty", [])])
    write_hdf5(root / "h5" / "a.h5", image=image, label=mask)
    found = {folder.name: sorted(path for path in folder.rglob("*") if path.is_file()) for folder in root.iterdir()}
    return {name: [root / name, *files] for name, files in found.items()}


@fuzzed
@given(
    form=st.sampled_from(("mha", "nhdr", "nrrd", "series", "frames", "contours", "h5")),
    file=st.integers(0, 9),
    changes=st.lists(st.tuples(st.integers(0, 3000), byte), min_size=1, max_size=6),
    end=st.none() | st.integers(0, 4000),
)
def test_a_file_of_another_format(formats, form, file, changes, end):
    root, *files = formats[form]
    path = files[file % len(files)]
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for where, value in changes:
        damaged[where % len(whole)] = value
    try:
        path.write_bytes(damaged[:end])
        survives(lambda: open_folder(root))
    finally:
        path.write_bytes(whole)


VOLUMES = "".join(
    f"  - {{image: imagesTr/case_{i}.nii, mask: labelsTr/case_{i}.nii, patient: {i}}}\n" for i in range(3)
)
LISTINGS = {
    "list.yaml": f"axis: axial\nlabels: [1]\nwindow: [0, 90]\nsize: [16, 32]\nunknown: 5\nvolumes:\n{VOLUMES}",
    "list.csv": "image,mask,patient,axis,window,labels\n"
    + "".join(f'imagesTr/case_{i}.nii,labelsTr/case_{i}.nii,{i},axial,"[0, 90]",[1]\n' for i in range(3)),
}


@fuzzed
@given(name=st.sampled_from(sorted(LISTINGS)), changes=edits)
def test_a_listing(pairs, name, changes):
    path = pairs / name
    path.write_bytes(edited(LISTINGS[name], changes))
    survives(lambda: read(make_dataset("folder", {"data.root": str(path)})))


CONTENT = {
    "labels": {"0": "background", "1": "organ"},
    "modality": {"0": "CT"},
    "training": [{"image": f"./imagesTr/case_{i}.nii", "label": f"./labelsTr/case_{i}.nii"} for i in range(3)],
    "test": ["./imagesTs/a.nii"],
}


@fuzzed
@given(
    replaced=st.dictionaries(st.sampled_from(sorted(CONTENT)), plain, max_size=2),
    changes=st.just([]) | edits,
    target=st.sampled_from(("foreground", "classes")),
)
def test_a_dataset_json(pairs, replaced, changes, target):
    path = pairs / "dataset.json"
    path.write_bytes(edited(json.dumps(CONTENT | replaced), changes))
    try:
        survives(lambda: read(make_dataset("folder", {"data.root": str(pairs), "data.target": target})))
    finally:
        path.unlink()


SUITE = """about: Which query is best?
dataset: phantom
network: unet
seeds: [0, 1]
settings: {protocol: {rounds: 3, splits: 2}, training: {lr: 1e-4}, data: {count: 6}}
strategies:
  - random
  - {strategy: star, label: random query, settings: {strategy: {query_rule: random}}}
variants:
  - {group: half, settings: {protocol: {budget: 8}}}
"""


@fuzzed
@given(changes=edits)
def test_a_suite(pairs, changes):
    path = pairs / "mine.yaml"
    path.write_bytes(edited(SUITE, changes))
    survives(lambda: load_suite(str(path)))


NAMES = [
    f"{section}.{name}"
    for section, made in {
        "protocol": Protocol(),
        "training": Training(),
        "data": find(DATASETS, "phantom")(),
        "strategy": find(STRATEGIES, "star")(),
        "network": find(NETWORKS, "residual")(),
    }.items()
    for name in options_of(made)
]


@fuzzed
@given(assignments=st.lists(st.tuples(st.sampled_from(NAMES), token), min_size=1, max_size=3))
def test_settings(assignments):
    def use() -> None:
        chosen = parse_settings([f"{name}={value}" for name, value in assignments])
        make_strategy("star", chosen)
        dataset = make_dataset("phantom", chosen)
        make_network("residual", dataset, chosen)
        protocol, training = common_settings(dataset, chosen)
        check_combinations(protocol, training)
        check_options(dataset)
        split_dataset(dataset, protocol, 0)

    survives(use)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A folder with one run of two rounds, and its files."""
    out = tmp_path_factory.mktemp("fuzzed") / "runs"
    albench.run("entropy", "phantom", settings=TINY | {"protocol.rounds": 1}, out=out, device="cpu")
    return out, sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != ".lock")


def damage(path: Path, kind: str, share: float, bytes_: Sequence[tuple[float, int]], changes: Sequence) -> None:
    """Replace a file by what a damage leaves of it."""
    whole = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "cut":
        path.write_bytes(whole[: int(share * len(whole))])
    elif kind == "bytes":
        damaged = bytearray(whole)
        for where, value in bytes_ if damaged else ():
            damaged[int(where * len(damaged))] = value
        path.write_bytes(damaged)
    elif kind == "text":
        path.write_bytes(edited(whole.decode(errors="replace"), changes))


@fuzzed
@given(
    which=st.floats(0, 0.999),
    kind=st.sampled_from(("bytes", "cut", "text", "missing", "folder")),
    share=st.floats(0, 1),
    bytes_=st.lists(st.tuples(st.floats(0, 0.999), byte), min_size=1, max_size=6),
    changes=edits,
)
def test_a_run_folder(finished, which, kind, share, bytes_, changes):
    out, files = finished
    path = files[int(which * len(files))]
    whole = path.read_bytes()
    damage(path, kind, share, bytes_, changes)
    try:
        survives(lambda: [verify(run) for run in find_runs(out)])
        survives(lambda: run_states(out))
        survives(lambda: load(out).curves())
        for run in find_runs(out):
            for name in ("stored_config", "environment", "split", "records", "failure", "finished"):
                survives(partial(getattr, run, name))
            survives(run.snapshots)
            for method in (run.query, run.pseudo, run.predictions, run.arrays, run.weights):
                survives(partial(method, 0))
                survives(partial(method, 1))
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def bundle(finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of that run."""
    folder = tmp_path_factory.mktemp("fuzzed") / "bundle"
    publish(load(finished[0]), folder)
    return folder


@fuzzed
@given(
    name=st.sampled_from(("bundle.json", "scores.csv.gz", "rounds.csv.gz", "queries.csv.gz")),
    sealed=st.booleans(),
    changes=edits,
    replaced=plain,
    where=st.floats(0, 0.999),
)
def test_a_bundle(bundle, name, sealed, changes, replaced, where):
    """Its text is edited; sealed, its hashes are those of the edit, so that everything in it is read."""
    files = {path: path.read_bytes() for path in bundle.iterdir()}
    path, manifest = bundle / name, json.loads(files[bundle / "bundle.json"])
    if name != "bundle.json":
        path.write_bytes(gzip.compress(edited(gzip.decompress(files[path]).decode(), changes)))
        manifest["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    elif sealed:
        keys = sorted(manifest)
        manifest[keys[int(where * len(keys))]] = replaced
    else:
        path.write_bytes(edited(files[path].decode(), changes))
    try:
        if sealed:
            del manifest["sha256"]
            with suppress(ValueError):  # JSON has no NaN
                (bundle / "bundle.json").write_text(encode_content(manifest))
        survives(lambda: load(bundle).curves())
    finally:
        for file, whole in files.items():
            file.write_bytes(whole)
