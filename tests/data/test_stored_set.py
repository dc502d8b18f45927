import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from support.samples import TINY, invoke, tiny_arguments
from support.suites import write_suite

import albench
from albench.callback import NullCallback
from albench.data import cache_folder, prepare, prepared_sets
from albench.data.checksums import Checksum
from albench.data.stored_set import read_set, write_meta
from albench.errors import StoreError
from albench.registry import DATASETS, find

PHANTOM = ("phantom", "--set", "data.count=4", "--set", "data.depth=8", "--set", "data.side=40")
SPLIT = ("--set", "protocol.split=[2,1,1]")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("albench.console.terminal", lambda: Console(width=500))  # a sentence is not wrapped


def phantom():
    return find(DATASETS, "phantom")(count=4, depth=8, side=40)


@pytest.fixture
def stored():
    """The folder of a prepared set."""
    prepare(phantom())
    (found,) = prepared_sets()
    return found.folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _zeros(path):
    with path.open("r+b") as file:
        file.seek(128)
        file.write(bytes(path.stat().st_size - 128))


def _more(path):
    with path.open("ab") as file:
        file.write(b"x")


def _other_shape(path):
    np.save(path, np.load(path)[:-1])


def _smaller(path):
    for name in ("images.npy", "masks.npy"):
        np.save(path.with_name(name), np.load(path.with_name(name))[..., :16, :16])


def _other_format(path):
    with path.open("wb") as file:
        np.savez(file, np.zeros(3))


def _edited(path):
    meta = json.loads(path.read_text())
    meta["spacing"][0][0] *= 2
    path.write_text(json.dumps(meta))


DAMAGES = [
    *[("meta.json", lambda path, text=text: path.write_text(text)) for text in ("", "{", "{}", "[]", "1", "null")],
    ("meta.json", _edited),
    *[(name, Path.unlink) for name in ("meta.json", "images.npy", "masks.npy")],
    *[(name, _zeros) for name in ("images.npy", "masks.npy")],
    *[(name, _other_shape) for name in ("images.npy", "masks.npy")],
    *[(name, _more) for name in ("images.npy", "masks.npy")],
    *[(name, lambda path: os.truncate(path, path.stat().st_size - 1)) for name in ("images.npy", "masks.npy")],
    *[(name, lambda path: os.truncate(path, 0)) for name in ("images.npy", "masks.npy")],
    ("images.npy", lambda path: path.write_bytes(b"hello")),
    ("images.npy", _smaller),
    ("masks.npy", _other_format),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_set_that_was_cut_purged_or_edited_is_made_anew(stored, name, damage):
    before = content(stored)
    damage(stored / name)
    assert content(stored) != before
    assert invoke("data", "check", "--cache")[0] == 1
    calls, notices = [], []
    prepare(phantom(), lambda *call: calls.append(call), on_notice=notices.append)
    assert calls[-1][:2] == (4, 4)
    (notice,) = notices
    assert notice.startswith(f"'{stored}' must ")
    assert notice.endswith(": it is prepared again")
    assert content(stored) == before
    assert invoke("data", "check", "--cache") == (0, "0 problems, 0 warnings")


def test_a_line_says_what_was_wrong_with_a_set_that_is_made_anew(stored, tmp_path):
    sentence = f"'{stored}' must be a whole prepared set, it is not (meta.json is cut, edited or of an earlier version)"
    path = write_suite(tmp_path, ["full"], seeds=1)
    run = ("run", "--strategy", "full", "--dataset", "phantom", *tiny_arguments(*PHANTOM[1:], *SPLIT))
    commands = {
        "data prepare": ("data", "prepare", *PHANTOM),
        "run": (*run, "--out", tmp_path / "runs"),
        "bench": ("bench", path, "--plan", *PHANTOM[1:], *SPLIT, "--storage", tmp_path),
    }
    for name, command in commands.items():
        _edited(stored / "meta.json")
        code, output = invoke(*command)
        assert (code, output.count(f"{sentence}: it is prepared again")) == (0, 1), (name, output)
        code, output = invoke(*command)
        assert (code, "prepared again" in output) == (0, False), (name, output)


def test_a_line_names_the_case_that_was_changed(stored):
    _zeros(stored / "masks.npy")
    notices = []
    prepare(phantom(), on_notice=notices.append)
    assert notices == [
        f"'{stored}' must hold what was prepared, case 'phantom-000' was changed since: it is prepared again"
    ]


def test_a_first_preparation_says_nothing():
    prepare(phantom(), on_notice=pytest.fail)


def test_a_callback_of_a_run_from_python_is_told(stored, tmp_path):
    class Notices(NullCallback):
        said: list[str] = []

        def on_notice(self, text):
            self.said.append(text)

    (stored / "images.npy").unlink()
    settings = TINY | {"data.count": 4, "data.side": 40, "protocol.split": [2, 1, 1]}
    albench.run("full", "phantom", settings=settings, out=tmp_path, device="cpu", callback=Notices())
    (said,) = Notices.said
    assert said.startswith(f"'{stored}' must be a whole prepared set, it is not ([Errno 2] No such file or directory: ")


def test_facts_are_compared_as_they_are_read(tmp_path):
    facts = {"cases": ("a",), "counts": [1], "valid": [(1, 1)], "options": {"values": {10: (1, 2), 9: None}}}
    image, mask = np.ones((1, 1, 1, 1), np.float16), np.ones((1, 1, 1), np.uint8)
    np.save(tmp_path / "images.npy", image)
    np.save(tmp_path / "masks.npy", mask)
    write_meta(tmp_path, facts | {"checksums": [asdict(Checksum.of(image, mask))]})
    assert read_set(tmp_path).meta["options"] == {"values": {"10": [1, 2], "9": None}}


def test_a_set_whose_folder_was_emptied_is_made_anew(stored):
    before = content(stored)
    shutil.rmtree(stored)
    stored.mkdir()
    prepare(phantom())
    assert content(stored) == before


def test_the_files_of_others_in_a_damaged_set_are_kept(stored):
    (stored / "images.npy").unlink()
    (stored / "notes.txt").write_text("mine")
    with pytest.raises(StoreError) as refused:
        prepare(phantom())
    assert str(refused.value) == (
        f"'{stored}' must hold a prepared set only, it is damaged and also holds 'notes.txt': move that away"
    )
    assert (stored / "masks.npy").exists()


def test_a_set_behind_a_link_is_read_and_kept_if_it_is_damaged(stored, tmp_path):
    moved = stored.rename(tmp_path / "elsewhere")
    stored.symlink_to(moved)
    assert prepare(phantom()).masks.any()
    (moved / "images.npy").unlink()
    with pytest.raises(StoreError) as refused:
        prepare(phantom())
    assert str(refused.value) == (
        f"'{stored}' must be a whole prepared set, it is a link to a damaged one: remove the link"
    )
    assert (moved / "masks.npy").exists()


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
@pytest.mark.parametrize("where", ["valid", "padding"])
def test_check_finds_every_changed_byte_also_where_no_sample_is(stored, name, where):
    meta = json.loads((stored / "meta.json").read_text())
    place = meta["checksums"][1]["place"]
    row = place[0] + meta["counts"][0]
    values = np.load(stored / name, mmap_mode="r+")
    assert values.shape[-2:] == (48, 48)
    other = (place[1] + 1) % 40
    values[row, ..., other, 3 if where == "valid" else 45] += values.dtype.type(1)
    values.flush()
    prepare(phantom(), lambda *call: pytest.fail("made anew"))
    code, output = invoke("data", "check", "--cache")
    assert code == 1
    sentence = f"'{stored}' must hold what was prepared, case 'phantom-001' was changed since: remove it, and it is"
    assert sentence in output
    assert "1 problem, 0 warnings" in output


def test_the_check_of_the_cache_names_sets_without_checksums_and_leaves_out_interrupted_preparations(stored):
    shutil.copytree(stored, stored.with_name(f"{stored.name}.partial"))
    assert invoke("data", "check", "--cache") == (0, "0 problems, 0 warnings")
    shutil.rmtree(stored.with_name(f"{stored.name}.partial"))
    meta = json.loads((stored / "meta.json").read_text())
    del meta["sha256"], meta["checksums"]
    (stored / "meta.json").write_text(json.dumps(meta))
    code, output = invoke("data", "check", "--cache")
    assert code == 1
    assert (
        f"'{stored}' must be a whole prepared set, it is not (meta.json is cut, edited or of an earlier version): "
        "remove it, and it is prepared again" in output
    )


def test_the_check_needs_a_path_or_the_cache(tmp_path):
    for more in ((), (tmp_path, "--cache")):
        code, output = invoke("data", "check", *more)
        assert code == 2
        assert "either a path or --cache must be given: name the data, or leave the path out" in output


@pytest.fixture
def without_rights():
    """The beginning of a command that may not write where the mode of a file forbids it, even for root."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere")
    return ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.mark.slow
def test_a_read_only_cache_is_enough_for_what_is_prepared(decathlon, without_rights):
    cache = cache_folder()
    data = ("folder", "--data-root", str(decathlon))
    albench = [*without_rights, str(Path(sys.executable).parent / "albench"), "data", "prepare"]
    assert invoke("data", "prepare", *data)[0] == 0
    shutil.rmtree(cache / "digests")
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        told = subprocess.run([*albench, *data], capture_output=True, text=True, check=False)
        assert (told.returncode, told.stderr) == (0, "")
        assert "Task99_Blob: 6 cases" in told.stdout
        told = subprocess.run([*albench, *PHANTOM], capture_output=True, text=True, check=False)
        assert told.returncode == 2
        assert " ".join(told.stderr.split()) == (
            f"albench: 'phantom' must be in the cache '{cache}' or the cache be writable, neither is so: set "
            "ALBENCH_CACHE to another folder, or prepare the data where this one is writable"
        )
    finally:
        for path in (cache, *cache.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
