import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.slow import slow_but

from albench.data import Dataset, Volume, cache_folder, prepare, split_volumes
from albench.data.workers import WorkerPool, default_workers
from albench.errors import DataError, StoreError
from albench.registry import DATASETS, find
from albench.resolve import resolve

PLUGIN = '''
import os, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from albench.data import Dataset, Volume

@dataclass(frozen=True, kw_only=True)
class Slow(Dataset):
    """Volumes that load slowly; every process that reads one adds a line to a file."""
    notes: str
    seconds: float = 0.0
    count: int = 6

    def cases(self):
        return [f"s{i}" for i in range(self.count)]

    def load(self, case):
        with open(self.notes, "a") as file:
            file.write(f"{os.getpid()} {case}\\n")
        time.sleep(self.seconds)
        rng = np.random.default_rng(int(case[1:]))
        image = rng.normal(size=(1, 4, 16 + int(case[1:]), 20)).astype(np.float32)
        return Volume(image, (image[0] > 0).astype(np.uint8), (1.0, 1.0, 1.0))
'''

SCRIPT = """
import sys
from albench.data import prepare
from albench.registry import DATASETS, find
if __name__ == "__main__":
    plugin, notes, seconds, workers = sys.argv[1:]
    data = find(DATASETS, plugin)(notes=notes, seconds=float(seconds))
    print(prepare(data, workers=int(workers)).masks.sum())
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def start(tmp_path):
    """Start the preparation of the slow dataset in a separate process."""
    (tmp_path / "slow.py").write_text(PLUGIN)
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "notes").write_text("")

    def begin(seconds=0.0, workers=1):
        arguments = (tmp_path / "script.py", f"{tmp_path / 'slow.py'}:Slow", tmp_path / "notes", seconds, workers)
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return begin


def read(tmp_path):
    return [line.split() for line in (tmp_path / "notes").read_text().splitlines()]


def result(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return int(out)


def arrays(folder):
    return [np.load(folder / name).tobytes() for name in ("images.npy", "masks.npy")]


def test_workers_give_the_same_files_as_one_process(tmp_path, start, monkeypatch):
    one = prepare(find(DATASETS, f"{tmp_path / 'slow.py'}:Slow")(notes=str(tmp_path / "notes"))).masks.sum()
    (folder,) = cache_folder().glob("slow-*/")
    alone = arrays(folder)
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "other"))
    before = len(read(tmp_path))
    process = start(workers=2)
    assert result(process) == one
    (folder,) = cache_folder().glob("slow-*/")
    assert arrays(folder) == alone
    notes = read(tmp_path)[before:]
    assert {case for _, case in notes} == {f"s{i}" for i in range(6)}
    assert str(process.pid) not in {pid for pid, _ in notes}


@pytest.mark.parametrize("workers", slow_but([2], [1, 2]))
def test_a_killed_preparation_continues_and_leaves_no_worker_running(tmp_path, start, workers):
    process = start(seconds=0.4, workers=workers)
    deadline = time.monotonic() + 60
    while len(list(cache_folder().glob("*.partial/cases/*.slices"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # for workers to notice
    done = sorted(int(path.stem) for path in cache_folder().glob("*.partial/cases/*.slices"))
    assert 3 <= len(done) < 6
    pids = {int(pid) for pid, _ in read(tmp_path)}
    assert not [pid for pid in pids if _runs(pid)]
    before = len(read(tmp_path))
    assert result(start(seconds=0.4, workers=1)) > 0
    assert sorted(case for _, case in read(tmp_path)[before:]) == [f"s{i}" for i in range(6) if i not in done]
    assert len(list(cache_folder().glob("slow-*/meta.json"))) == 1
    assert not list(cache_folder().glob("*.partial"))


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # a zombie process has ended
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_two_processes_with_workers_read_every_volume_once(tmp_path, start):
    both = [start(seconds=0.1, workers=2), start(seconds=0.1, workers=2)]
    assert result(both[0]) == result(both[1])
    assert sorted(case for _, case in read(tmp_path)) == [f"s{i}" for i in range(6)]


def test_an_interrupted_move_continues_with_the_remaining_cases(tmp_path, monkeypatch, start):
    from albench.data.preparation import _CaseFile, _Stack

    data = find(DATASETS, f"{tmp_path / 'slow.py'}:Slow")(notes=str(tmp_path / "notes"))
    prepare(data)
    (folder,) = cache_folder().glob("slow-*/")
    whole = arrays(folder)
    shutil.rmtree(folder)
    written, write = [], _Stack.write

    def at_most(number):
        def counted(stack, row, values, fill):
            if len(written) == number:
                raise KeyboardInterrupt
            written.append(row)
            write(stack, row, values, fill)

        return counted

    monkeypatch.setattr(_Stack, "write", at_most(5))
    with pytest.raises(KeyboardInterrupt):
        prepare(data)
    parts = sorted(cache_folder().glob("*.partial/cases/*.slices"))
    assert [_CaseFile.read(part).is_whole() for part in parts] == [False, False, True, True, True, True]
    before = len(read(tmp_path))
    lines, read_line = [], _CaseFile.read
    monkeypatch.setattr(_CaseFile, "read", lambda path: lines.append(path) or read_line(path))
    monkeypatch.setattr(_Stack, "write", at_most(100))
    prepare(data)
    assert sorted(lines) == sorted(2 * parts)  # once to see what is there, once to move it
    assert len(written) == 5 + 2 * 4
    assert len(read(tmp_path)) == before
    assert arrays(folder) == whole


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("images.npy", Path.unlink),
        ("masks.npy", lambda path: os.truncate(path, 100)),
        ("cases/0.slices", Path.unlink),
        ("cases/7.slices", Path.unlink),
        ("cases/7.slices", lambda path: os.truncate(path, path.stat().st_size - 1)),
        ("cases/7.slices", lambda path: os.truncate(path, 0)),
        ("cases/7.slices", lambda path: path.write_bytes(bytes(path.stat().st_size))),
        ("cases/7.slices", lambda path: path.write_text("[]\n")),
    ],
)
def test_an_interrupted_preparation_whose_files_were_cut_or_removed_begins_anew(monkeypatch, name, change):
    from albench.data.preparation import _Stack

    def fail(stack, row, values, fill):
        if row == 4:
            raise KeyboardInterrupt
        write(stack, row, values, fill)

    write = _Stack.write
    with monkeypatch.context() as patch:
        patch.setattr(_Stack, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(Pairs())
    (partial,) = cache_folder().glob("*.partial")
    change(partial / name)
    done = []
    prepared = prepare(Pairs(), lambda number, total, case: done.append(number))
    assert (done[0], done[-1]) == (0, 8)
    shutil.rmtree(cache_folder())
    again = prepare(Pairs())
    np.testing.assert_array_equal(prepared.images, again.images)
    np.testing.assert_array_equal(prepared.masks, again.masks)


def test_a_disk_that_does_not_return_what_was_written_is_one_sentence_and_nothing_is_kept(monkeypatch):
    from albench.data.preparation import _Stack

    def wrong(stack, row, values, fill):
        write(stack, row, values ^ (row == 4) if values.dtype == np.uint8 else values, fill)

    write = _Stack.write
    with monkeypatch.context() as patch:
        patch.setattr(_Stack, "write", wrong)
        with pytest.raises(StoreError) as refused:
            prepare(Pairs())
    (sentence,) = refused.value.args
    assert sentence.endswith(
        ".partial' must return what was written, case 'b1' is read back differently: check the disk, or choose another "
        "with ALBENCH_CACHE"
    )
    assert not list(cache_folder().glob("pairs-*"))
    assert prepare(Pairs()).masks.all()


def test_files_that_change_while_they_are_prepared_are_one_sentence(decathlon):
    data = find(DATASETS, "folder")(root=str(decathlon))
    image = decathlon / "imagesTr" / "blob_0.nii.gz"

    def change(done, total, case):
        if done == 3:
            image.write_bytes((decathlon / "imagesTr" / "blob_5.nii.gz").read_bytes())

    with pytest.raises(DataError) as refused:
        prepare(data, change)
    assert str(refused.value) == (
        "the files of 'Task99_Blob' must stay as they are while they are prepared, some were changed: run the same "
        "command again"
    )
    assert not list(cache_folder().glob("Task99_Blob-*"))


def test_padding_is_never_foreground():
    prepared = prepare(Full())
    assert prepared.masks.shape == (5, 32, 32)
    assert prepared.masks.sum() == 2 * 16 * 16 + 3 * 20 * 24


@dataclass(frozen=True, kw_only=True)
class Full(Dataset):
    """Two volumes of different size whose voxels are all foreground."""

    name = "full-masks"

    def cases(self):
        return ["a", "b"]

    def load(self, case):
        shape = (2, 16, 16) if case == "a" else (3, 20, 24)
        image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
        return Volume(image, np.ones(shape, np.uint8), (1.0, 1.0, 1.0))


def test_the_number_of_workers_follows_cores_and_memory_unless_the_files_are_small(decathlon, monkeypatch):
    small = find(DATASETS, "folder")(root=str(decathlon))
    assert default_workers(small) == 1
    assert default_workers(Pairs()) == 1
    monkeypatch.setattr("albench.data.workers._SMALL", 1000)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(5)), raising=False)
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 23}.get)  # 32 GiB
    assert default_workers(small) == 5
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3 << 20}.get)
    assert default_workers(small) == 3
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 18}.get)
    assert default_workers(small) == 1


@pytest.mark.slow
def test_a_run_reads_volumes_with_several_workers_too(decathlon, monkeypatch):
    workers_used = []

    class Counted(WorkerPool):
        def __init__(self, dataset, workers):
            workers_used.append(workers)
            super().__init__(dataset, workers)

    monkeypatch.setattr("albench.data.preparation.WorkerPool", Counted)
    monkeypatch.setattr("albench.data.prepared.default_workers", lambda dataset: 2)
    resolve("random", "folder", settings={"data.root": str(decathlon)}, workers=None)
    assert workers_used == [2]
    from support.samples import invoke, tiny_training_arguments

    arguments = ("--data-root", decathlon, "--out", decathlon / "runs", *tiny_training_arguments(data__size=[32, 32]))
    code, output = invoke("run", "--strategy", "random", "--dataset", "folder", *arguments)
    assert (code, workers_used) == (0, [2, 2]), output


def test_a_worker_does_not_import_torch():
    code = "import sys, albench.data.preparation, albench.datasets.brats; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@dataclass(frozen=True, kw_only=True)
class Uneven(Dataset):
    """Two volumes with one and two channels."""

    def cases(self):
        return ["a", "b"]

    def load(self, case):
        channels = 1 if case == "a" else 2
        image = np.random.default_rng(0).normal(size=(channels, 3, 16, 16)).astype(np.float32)
        return Volume(image, np.ones((3, 16, 16), np.uint8), (1.0, 1.0, 1.0))


def test_cases_with_different_numbers_of_channels_are_rejected():
    sentence = "all cases must have the same number of channels, 'a' has 1 and 'b' 2: choose"
    with pytest.raises(DataError, match=sentence):
        prepare(Uneven())


def test_an_error_of_a_worker_reaches_the_user(tmp_path, decathlon):
    (decathlon / "imagesTr" / "blob_3.nii.gz").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"blob_3.nii.gz' must be a readable NIfTI file"):
        prepare(find(DATASETS, "folder")(root=str(decathlon)), workers=2)
    assert not list(cache_folder().glob("*/meta.json"))


@dataclass(frozen=True, kw_only=True)
class Pairs(Dataset):
    """Eight volumes of four patients."""

    def cases(self):
        return [f"{patient}{visit}" for patient in "abcd" for visit in (1, 2)]

    def patient(self, case):
        return case[0]

    def load(self, case):
        image = np.random.default_rng(ord(case[0])).normal(size=(1, 2, 16, 16)).astype(np.float32)
        return Volume(image, np.ones((2, 16, 16), np.uint8), (1.0, 1.0, 1.0))


def test_cases_of_one_patient_are_never_separated():
    prepared = prepare(Pairs())
    for seed in range(10):
        split = split_volumes(prepared.cases, prepared.patients, (0.5, 0.25, 0.25), seed)
        assert [len(part) for part in (split.train, split.val, split.test)] == [4, 2, 2]
        patients = [{name[0] for name in part} for part in (split.train, split.val, split.test)]
        assert not patients[0] & patients[1]
        assert not patients[2] & (patients[0] | patients[1])


_PEAK = """
import sys
from pathlib import Path
import nibabel as nib, numpy as np, torch
from albench.data.preparation import prepare_case
from albench.machine import peak_memory
from albench.registry import DATASETS, find
data = find(DATASETS, "folder")(root=sys.argv[1], size=(240, 240))
warm = find(DATASETS, "folder")(root=sys.argv[2], size=(240, 240))
prepare_case(warm, warm.cases()[0], Path(sys.argv[2]) / "0")
before = peak_memory()
for index, case in enumerate(data.cases()):
    prepare_case(data, case, Path(sys.argv[1]) / str(index))
print(peak_memory() - before)
"""


@pytest.mark.slow
def test_a_worker_needs_less_than_three_volumes_of_memory(tmp_path):
    from support.samples import write_pair

    def volume(name, depth, root):
        values = np.random.default_rng(0).integers(0, 500, (240, 240, depth), dtype=np.int16)
        write_pair(tmp_path / root, name, values, (values > 400).astype(np.uint8))

    volume("small", 2, "warm")
    for name in ("one", "two"):
        volume(name, 155, "large")  # as in BraTS; in smaller ones, what any process needs would count
    code = [sys.executable, "-c", _PEAK, str(tmp_path / "large"), str(tmp_path / "warm")]
    peak = int(subprocess.run(code, capture_output=True, text=True, check=True).stdout)
    assert 0 < peak < 3 * 240 * 240 * 155 * 4
