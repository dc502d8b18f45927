import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from albench.errors import StoreError
from albench.temporary import temporary_folder

_HOLD = """
import sys, time
from pathlib import Path
from albench.temporary import temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "file").write_text("content")
    (folder / "link").symlink_to(Path(sys.argv[1], "kept"))
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds a temporary folder in `tmp_path`; returns the process and the folder."""
    started = []

    def call():
        process = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    yield call
    for process in started:
        process.kill()
        process.wait(timeout=30)


def test_a_temporary_folder_is_private_and_nothing_is_left_of_it(tmp_path):
    def fail(folder):
        assert folder.parent == tmp_path
        assert folder.name.startswith("albench-")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").write_text("")
        raise KeyError

    with pytest.raises(KeyError), temporary_folder(tmp_path) as made:
        fail(made)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_by_the_next_one_and_that_of_a_living_one_is_not(tmp_path, hold):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    (killed, left), (_, held) = hold(), hold()
    with temporary_folder(tmp_path):
        assert left.is_dir()
    killed.kill()
    killed.wait(timeout=30)
    assert (left / "deep" / "er" / "file").exists()
    with temporary_folder(tmp_path) as folder:
        assert not left.exists()
        assert (held / "deep" / "er" / "file").exists()
        assert len(list(tmp_path.iterdir())) == 5  # two folders with their locks, and what is kept
    assert not folder.exists()
    assert (tmp_path / "kept" / "file").exists()


def test_only_what_albench_made_for_this_user_in_this_place_is_removed(tmp_path, hold, monkeypatch):
    killed, left = hold()
    killed.kill()
    killed.wait(timeout=30)
    (tmp_path / "elsewhere").mkdir()
    names = ("albench-01234567", "albench-notes", "albench-copy", "albench-link", "other")
    others = [tmp_path / name for name in names]
    for folder in others[:2]:
        folder.mkdir()
        (folder / "file").write_text("")
    shutil.copytree(left, others[2], symlinks=True)
    others[3].symlink_to(left)
    shutil.copytree(left, tmp_path / "elsewhere" / left.name, symlinks=True)
    shutil.copytree(left, others[4], symlinks=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with temporary_folder(tmp_path):
            assert left.is_dir()
    with temporary_folder(tmp_path, "other-"):
        assert left.is_dir()
    with temporary_folder(tmp_path):
        assert not left.exists()
    assert all(os.path.lexists(folder) for folder in others)
    assert all((folder / "file").exists() for folder in others[:2])
    assert (tmp_path / "elsewhere" / left.name / "deep").exists()


def test_a_folder_that_is_held_does_not_delay_another(tmp_path, hold, monkeypatch):
    _, held = hold()
    with monkeypatch.context() as patch:
        patch.setattr("albench.files.time.sleep", lambda seconds: pytest.fail("it waits"))
        with temporary_folder(tmp_path):
            assert held.is_dir()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="must be writable, the system says"), temporary_folder(tmp_path / "file"):
        pass
    monkeypatch.setattr(tempfile, "gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError))
    with pytest.raises(StoreError) as refused, temporary_folder():
        pass
    assert str(refused.value) == (
        "one folder for temporary files must be writable, TMPDIR, /tmp, /var/tmp and the current folder are not: "
        "set TMPDIR to one that is"
    )
