import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

import pytest

from albench.errors import StoreError
from albench.files import atomic_write, is_locked, locked, translate_os_errors, write_json, write_text

_HOLD = """
import sys, time
from pathlib import Path
from albench.files import locked
with locked(Path(sys.argv[1]), wait=False) as got:
    print(got, flush=True)
    time.sleep(60)
"""


def test_a_file_is_replaced_when_the_block_succeeds(tmp_path):
    path = tmp_path / "new" / "value.txt"
    for content in (b"first", b"second"):
        with atomic_write(path) as file:
            file.write(content)
            assert not path.exists() or path.read_bytes() == b"first"
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["value.txt"]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_a_file_is_unchanged_when_the_block_fails(tmp_path, error):
    path = tmp_path / "value.txt"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half of the n")
        file.flush()
        raise error

    with pytest.raises(error), atomic_write(path) as file:
        fail(file)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_not_written_as_json(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "value.txt", tmp_path / "file" / "deeper" / "value.txt"):
        with pytest.raises(StoreError, match=r"must be writable, the system says '.*': choose another folder"):
            write_json(path, 1)
        with pytest.raises(StoreError, match="must be writable"), locked(path, wait=False):
            pass


def _pipe(path):
    os.mkfifo(path)


def _folder(path):
    path.mkdir()


def _link(path):
    path.symlink_to(path.with_name("target"))


@pytest.mark.parametrize(("make", "kind"), [(_pipe, "a pipe"), (_folder, "a folder"), (_link, "a symbolic link")])
@pytest.mark.parametrize("target", [True, False])
def test_what_is_not_a_regular_file_is_not_replaced(tmp_path, make, kind, target):
    path = tmp_path / "out"
    make(path)
    if target:
        (tmp_path / "target").write_text("kept")
    before = sorted(tmp_path.iterdir()), path.lstat()
    with pytest.raises(StoreError) as refused:
        write_text(path, "new")
    assert str(refused.value) == (
        f"a file is written to a new path or in place of a regular file, '{path}' is {kind}: choose another path"
    )
    assert (sorted(tmp_path.iterdir()), path.lstat()) == before
    assert not target or (tmp_path / "target").read_text() == "kept"


def test_a_device_is_not_replaced():
    with pytest.raises(StoreError, match="'/dev/null' is a device or a socket: choose another path"):
        write_json(Path("/dev/null"), 1)
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "the disk must have room for '/x', it is full: free some space and run the same command again"),
        (errno.EDQUOT, "the disk must have room for '/x'"),
        (errno.EACCES, "'/x' must be writable, the system says 'Permission denied': choose another folder"),
        (errno.EROFS, "'/x' must be writable, the system says 'Read-only file system'"),
    ],
)
def test_disk_errors_become_one_sentence(code, sentence):
    with pytest.raises(StoreError, match=sentence), translate_os_errors(Path("/x")):
        raise OSError(code, os.strerror(code))


def test_other_errors_are_not_translated(tmp_path):
    with pytest.raises(InterruptedError), translate_os_errors(tmp_path):
        raise OSError(errno.EINTR, "x")


def test_a_lock_has_one_holder_and_is_released_when_the_holder_is_killed(tmp_path):
    path = tmp_path / "deep" / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with locked(path, wait=False) as got:
            assert not got
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=30)
    with locked(path, wait=False) as got:
        assert got


def test_a_process_can_wait_for_a_lock(tmp_path):
    with ExitStack() as holder:
        assert holder.enter_context(locked(tmp_path / ".lock", wait=False))
        released = []
        Timer(0.2, lambda: (released.append(True), holder.close())).start()
        with locked(tmp_path / ".lock", wait=True) as got:
            assert got
            assert released


def test_a_lock_is_released_after_the_block_and_after_an_error(tmp_path):
    path = tmp_path / ".lock"
    with pytest.raises(ZeroDivisionError), locked(path, wait=False):
        _ = 1 / 0
    with locked(path, wait=True) as got, locked(path, wait=False) as second:
        assert got
        assert not second


def test_a_lock_file_is_removed_by_its_holder_if_asked_also_after_an_error(tmp_path):
    path = tmp_path / ".lock"
    with locked(path, wait=True, leave=False), locked(path, wait=False, leave=False) as second:
        assert not second
        assert path.exists()
    assert not path.exists()
    with pytest.raises(ZeroDivisionError), locked(path, wait=True, leave=False):
        _ = 1 / 0
    assert not path.exists()


def test_waiting_for_a_lock_file_that_is_removed_acquires_the_new_file(tmp_path):
    path = tmp_path / ".lock"
    with ExitStack() as holder, ExitStack() as waiter:
        holder.enter_context(locked(path, wait=True, leave=False))
        Timer(0.2, holder.close).start()
        assert waiter.enter_context(locked(path, wait=True, leave=False))
        with locked(path, wait=False) as third:
            assert not third


def test_is_locked_neither_acquires_the_lock_nor_needs_the_file(tmp_path):
    path = tmp_path / ".lock"
    assert not is_locked(path)
    assert not path.exists()
    with locked(path, wait=False) as got:
        assert got
        assert is_locked(path)
    path.chmod(0o444)
    assert not is_locked(path)
    assert not is_locked(tmp_path)  # a folder in its place


def test_a_lock_is_acquired_although_another_process_inspects_it(tmp_path):
    path = tmp_path / ".lock"
    path.touch()
    with path.open("rb") as inspected:
        fcntl.flock(inspected, fcntl.LOCK_SH)
        Timer(0.15, lambda: fcntl.flock(inspected, fcntl.LOCK_UN)).start()
        with locked(path, wait=False) as got:
            assert got


_WRITE = """
import sys, time
from pathlib import Path
from albench.files import atomic_write
with atomic_write(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    time.sleep(60)
"""


def test_the_next_write_removes_what_a_killed_one_left_and_lets_a_living_one_alone(tmp_path):
    path = tmp_path / "value.txt"
    command = [sys.executable, "-c", _WRITE, str(path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        temporary = [tmp_path / f".value.txt.{writer.pid}.tmp" for writer in writers]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "written\n"
        writers[0].kill()
        writers[0].wait(timeout=30)
        assert all(file.read_bytes() == b"half" for file in temporary)
        write_text(path, "whole")
        assert sorted(tmp_path.iterdir()) == sorted([temporary[1], path])
        assert path.read_text() == "whole"
    finally:
        for writer in writers:
            writer.kill()
            writer.wait(timeout=30)
    write_text(path, "again")
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_removes_no_file_of_another_kind(tmp_path):
    names = [".value.txt.tmp", ".value.txt.new.tmp", "value.txt.17.tmp", ".other.txt.17.tmp", ".value.txt.17.tmp~"]
    for name in names:
        (tmp_path / name).write_text("kept")
    (tmp_path / ".value.txt.17.tmp").mkdir()
    (tmp_path / ".value.txt.18.tmp").symlink_to(tmp_path / ".other.txt.17.tmp")
    os.mkfifo(tmp_path / ".value.txt.19.tmp")
    before = sorted(tmp_path.iterdir())
    write_text(tmp_path / "value.txt", "new")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "value.txt"])
