"""The app under the real server of MONAI Label, asked over HTTP as 3D Slicer asks it."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

if importlib.util.find_spec("monailabel") is None:
    pytest.skip("MONAI Label is not installed", allow_module_level=True)

import requests
import torch
from monailabel.interfaces.datastore import Datastore
from support import monai_label

from albench.annotation import Rules, rounds
from albench.annotation.label_drawings import LabelDrawings
from albench.loop import Execution
from albench.masks import UNKNOWN
from albench_monai_label.datastore import ProjectDatastore
from albench_monai_label.open_project import OpenProject
from albench_monai_label.options import Options

APP = Path(__file__).parents[1]
SETTINGS: dict[str, object] = {
    "protocol.interval": 4,
    "protocol.budget": 3,
    "network.width": 0.125,
    "network.decoder_width": 4,
    "training.epochs": 2,
    "training.steps": 4,
    "training.batch_size": 8,
}
COMPUTING = rounds.Computing(
    Execution(torch.device("cpu")),
    lambda dataset, prepared: LabelDrawings(dataset, prepared, Rules(dataset.class_names)),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project of three volumes of 6 slices."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for name in ("anna", "bert", "carl"):
        values = rng.normal(100, 10, (32, 30, 6)).astype(np.float32)
        nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])), folder / "images" / f"{name}.nii.gz")
    rounds.new(folder / "project", folder / "images", COMPUTING, strategy="entropy", settings=SETTINGS)
    return folder / "project"


@pytest.fixture(scope="module")
def server(project, tmp_path_factory) -> Iterator[str]:
    """The address of `monailabel start_server` with the app."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(APP / "main.py", folder)  # because the server makes folders beside it
    log = folder / "log"
    command = [
        *(sys.executable, "-m", "monailabel.main", "start_server", "--app", folder, "--studies", project),
        *("--host", "127.0.0.1", "--port", port, "--conf", "device", "cpu"),
    ]
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(APP)},
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                requests.get(f"{address}/info/", timeout=300)
                break
            except requests.ConnectionError:
                time.sleep(1)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def test_the_datastore_has_the_methods_of_monai_label(project):
    """And the stand-in, with which albench's own tests are run, has them too."""
    parameters = {
        name: (*inspect.signature(getattr(Datastore, name)).parameters,)[1:] for name in Datastore.__abstractmethods__
    }
    assert parameters == monai_label.DATASTORE
    store = ProjectDatastore(OpenProject(project, Options(device="cpu")))
    assert store.status()["total"] == 3


def test_a_round_is_drawn_and_trained_over_the_server(project, server, tmp_path):
    info = requests.get(f"{server}/info/", timeout=300).json()
    assert info["name"] == "albench: images"
    assert info["labels"] == ["foreground"]
    assert info["strategies"]["albench"]["strategy"] == "entropy"
    assert info["models"] == {}
    assert info["trainers"]["albench"]["config"]["strategy"][0] == "entropy"
    status = {"total": 3, "completed": 0, "label_tags": {"original": 3}}
    assert requests.get(f"{server}/datastore/", timeout=300).json() == status

    drawn: list[str] = []
    while sample := requests.post(f"{server}/activelearning/albench", json={}, timeout=300).json():
        case = sample["id"]
        assert case not in drawn
        assert Path(sample["path"]).name == f"{case}.nii.gz"
        path = tmp_path / f"{case}.nii.gz"
        address = f"{server}/datastore/label?label={case}&tag=original"
        path.write_bytes(requests.get(address, timeout=300).content)
        image = nib.load(path)
        values = np.asarray(image.dataobj).astype(np.int16)
        asked = {one["index_3d_slicer"] for one in sample["slices"]}
        assert set(np.flatnonzero((values != UNKNOWN).any((0, 1))).tolist()) == asked
        values[8:20, 9:18, sorted(asked)] = 1
        renumbered = np.select([values == UNKNOWN, values == 1], [1, 2]).astype(np.int16)  # as 3D Slicer does
        nib.save(nib.Nifti1Image(renumbered, image.affine), path)
        segments = {"label_info": [{"name": "unknown", "idx": 1}, {"name": "foreground", "idx": 2}]}
        with path.open("rb") as label:
            answer = requests.put(
                f"{server}/datastore/label?image={case}",
                data={"params": json.dumps(segments)},
                files={"label": (path.name, label)},
                timeout=300,
            )
        assert answer.json() == {"image": case, "label": case}
        saved = requests.get(f"{server}/datastore/label?label={case}&tag=final", timeout=300).content
        (tmp_path / "saved.nii.gz").write_bytes(saved)
        assert np.array_equal(np.asarray(nib.load(tmp_path / "saved.nii.gz").dataobj), values)
        drawn.append(case)
    assert sorted(drawn) == ["anna", "bert", "carl"]
    assert requests.get(f"{server}/datastore/", timeout=300).json()["completed"] == 3
    objects = requests.get(f"{server}/datastore/?output=all", timeout=300).json()["objects"]
    names = {"label_names": {"foreground": 1, "unknown": UNKNOWN}}
    assert [objects[case]["labels"]["original"]["info"]["params"] for case in sorted(drawn)] == [names] * 3

    trained = requests.post(f"{server}/train/albench?run_sync=true", json={"strategy": "random"}, timeout=600).json()
    assert trained == {"round": 1, "slices": 3, "finished": False}
    info = requests.get(f"{server}/info/", timeout=300).json()
    assert info["strategies"]["albench"]["strategy"] == "random"
    assert [*info["models"]] == ["albench"]
    assert requests.get(f"{server}/datastore/", timeout=300).json()["completed"] == 0

    answer = requests.post(f"{server}/infer/albench?image=anna&output=image", timeout=600)
    (tmp_path / "predicted.nii.gz").write_bytes(answer.content)
    (expected,) = rounds.segment(project, tmp_path / "out", COMPUTING, cases=["anna"])
    predicted, own = (nib.load(path) for path in (tmp_path / "predicted.nii.gz", expected.segmentation))
    assert np.array_equal(np.asarray(predicted.dataobj), np.asarray(own.dataobj))
    assert np.allclose(predicted.affine, own.affine)


def test_a_round_is_refused_in_a_sentence_while_slices_are_missing(project, server):
    asked = requests.post(f"{server}/train/albench?run_sync=true", json={}, timeout=300)
    assert asked.status_code == 422
    assert asked.json()["detail"].startswith("a round begins when its slices are drawn, ")
    task = requests.post(f"{server}/train/albench", json={}, timeout=300).json()
    for _ in range(600):
        found = next(
            one for one in requests.get(f"{server}/train/?all=true", timeout=300).json() if one["id"] == task["id"]
        )
        if found["status"] not in ("SUBMITTED", "RUNNING"):
            break
        time.sleep(1)
    assert found["status"] == "ERROR"
    assert "a round begins when its slices are drawn, " in " ".join(found["details"])
