import shutil

import pytest
from pyarrow.fs import LocalFileSystem

from albench.benchmarks.storage import Folder, Remote, StorageLocation, open_storage
from albench.errors import StoreError

RUN = "phantom/entropy/seed-0-1a2b3c4d"


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def node(tmp_path):
    """Open a node with its own local copy; all nodes share one store."""

    def open_node(name):
        return Remote(LocalFileSystem(), str(tmp_path / "store"), tmp_path / name)

    return open_node


def test_files_sent_by_one_node_are_fetched_by_another(node):
    one, two = node("one"), node("two")
    write(one.local, f"{RUN}/rounds/00/query.json", "{}")
    write(one.local, f"{RUN}/rounds.jsonl", "a\n")
    write(one.local, ".round-0/abc.pt", "weights")
    one.send(RUN)
    one.send(".round-0")
    two.fetch(RUN)
    two.fetch(".round-0")
    assert names(two.local) == names(one.local)
    assert (two.local / RUN / "rounds.jsonl").read_text() == "a\n"


def test_a_single_file_is_fetched_anew(node):
    one, two = node("one"), node("two")
    write(one.local, "suite.json", "new")
    write(two.local, "suite.json", "old")
    one.send("suite.json")
    two.fetch("suite.json")
    two.fetch("absent.json")
    assert names(two.local) == {"suite.json"}
    assert (two.local / "suite.json").read_text() == "new"


def test_records_are_sent_and_fetched_last(node, monkeypatch):
    one, two, order = node("one"), node("two"), []
    for name in ("config.json", "rounds.jsonl", "scores.csv", "zz.json"):
        write(one.local, f"{RUN}/{name}", "a\n")
    there, here = Remote._copy_there, Remote._copy_here
    monkeypatch.setattr(Remote, "_copy_there", lambda self, name, path: (order.append(name), there(self, name, path)))
    monkeypatch.setattr(Remote, "_copy_here", lambda self, name: (order.append(name), here(self, name)))
    one.send(RUN)
    assert order[-1] == f"{RUN}/rounds.jsonl"
    two.fetch(RUN)
    assert order[-1] == f"{RUN}/rounds.jsonl"
    assert len(order) == 8


def test_a_node_with_fewer_rounds_fetches_the_whole_run_and_one_with_more_keeps_its_own(node):
    one, two = node("one"), node("two")
    write(one.local, f"{RUN}/rounds.jsonl", "a\n")
    write(two.local, f"{RUN}/rounds.jsonl", "")
    write(two.local, f"{RUN}/rounds/00/half.npz", "left by a killed process")
    one.send(RUN)
    two.fetch(RUN)
    assert names(two.local) == {f"{RUN}/rounds.jsonl"}
    write(two.local, f"{RUN}/rounds.jsonl", "a\nb\n")
    two.fetch(RUN)
    assert (two.local / RUN / "rounds.jsonl").read_text() == "a\nb\n"
    one.fetch(RUN)
    assert (one.local / RUN / "rounds.jsonl").read_text() == "a\nb\n"


def test_only_changed_files_are_sent_and_removed_files_are_removed(node, monkeypatch):
    one, sent = node("one"), []
    there = Remote._copy_there
    monkeypatch.setattr(Remote, "_copy_there", lambda self, name, path: (sent.append(name), there(self, name, path)))
    write(one.local, f"{RUN}/rounds/00/weights.pt", "w")
    write(one.local, f"{RUN}/rounds.jsonl", "a\n")
    one.send(RUN)
    sent.clear()
    (one.local / RUN / "rounds/00/weights.pt").unlink()
    write(one.local, f"{RUN}/rounds.jsonl", "a\nb\n")
    one.send(RUN)
    assert sent == [f"{RUN}/rounds.jsonl"]
    assert names(one.local.parent / "store") == {f"{RUN}/rounds.jsonl"}


def test_locks_and_temporary_files_are_not_sent(node):
    one = node("one")
    write(one.local, f"{RUN}/.lock", "")
    write(one.local, f"{RUN}/.rounds.jsonl.7.tmp", "")
    write(one.local, f"{RUN}/config.json", "{}")
    one.send(RUN)
    assert names(one.local.parent / "store") == {f"{RUN}/config.json"}


def test_a_store_that_is_not_writable_is_one_sentence(node, tmp_path):
    one = node("one")
    write(one.local, f"{RUN}/config.json", "{}")
    write(tmp_path, "store", "a file where the folder should be")
    with pytest.raises(StoreError, match=r"must be reachable and writable, it is not .*: run the same command again"):
        one.send(RUN)


def test_a_storage_is_opened_from_a_folder_or_a_uri(tmp_path):
    folder = open_storage(StorageLocation(str(tmp_path), "tiny"))
    assert isinstance(folder, Folder)
    assert folder.local == tmp_path / "tiny"
    remote = open_storage(StorageLocation("memory://bucket/runs", "tiny", tmp_path))
    assert isinstance(remote, Remote)
    write(remote.local, f"{RUN}/config.json", "{}")
    remote.send(RUN)
    shutil.rmtree(remote.local)
    open_storage(StorageLocation("memory://bucket/runs", "tiny", tmp_path)).fetch(RUN)
    assert (remote.local / RUN / "config.json").read_text() == "{}"


def test_a_uri_of_an_unknown_kind_is_one_sentence():
    with pytest.raises(StoreError, match=r"--storage must be a folder or a URI .* got 'nonsense://x'"):
        open_storage(StorageLocation("nonsense://x", "tiny"))
