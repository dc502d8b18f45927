import shutil

import pytest
from pyarrow.fs import LocalFileSystem

from albench.benchmarks.storage import Folder, Place, Remote, open_storage
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
    """A node with a working copy of its own; all share one store."""

    def open_node(name):
        return Remote(LocalFileSystem(), str(tmp_path / "store"), tmp_path / name)

    return open_node


def test_what_one_node_sends_another_fetches(node):
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


def test_the_records_are_sent_last_and_fetched_last(node, monkeypatch):
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


def test_a_node_that_is_behind_takes_the_whole_run_and_one_that_is_ahead_keeps_its_own(node):
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


def test_only_what_changed_is_sent_and_what_was_removed_is_removed(node, monkeypatch):
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


def test_locks_and_half_written_files_stay_here(node):
    one = node("one")
    write(one.local, f"{RUN}/.lock", "")
    write(one.local, f"{RUN}/.rounds.jsonl.7.tmp", "")
    write(one.local, f"{RUN}/config.json", "{}")
    one.send(RUN)
    assert names(one.local.parent / "store") == {f"{RUN}/config.json"}


def test_a_store_that_cannot_be_written_is_one_sentence(node, tmp_path):
    one = node("one")
    write(one.local, f"{RUN}/config.json", "{}")
    write(tmp_path, "store", "a file where the folder should be")
    with pytest.raises(StoreError, match=r"must be reachable and writable, it is not: .*finished rounds are kept here"):
        one.send(RUN)


def test_a_storage_is_a_folder_or_a_uri(tmp_path):
    folder = open_storage(Place(str(tmp_path), "tiny"))
    assert isinstance(folder, Folder)
    assert folder.local == tmp_path / "tiny"
    remote = open_storage(Place("memory://bucket/runs", "tiny", tmp_path))
    assert isinstance(remote, Remote)
    write(remote.local, f"{RUN}/config.json", "{}")
    remote.send(RUN)
    shutil.rmtree(remote.local)
    open_storage(Place("memory://bucket/runs", "tiny", tmp_path)).fetch(RUN)
    assert (remote.local / RUN / "config.json").read_text() == "{}"


def test_an_unknown_kind_of_uri_is_one_sentence():
    with pytest.raises(StoreError, match=r"--storage must be a folder or a URI .* got 'nonsense://x'"):
        open_storage(Place("nonsense://x", "tiny"))
