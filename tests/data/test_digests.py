import hashlib
import os
from pathlib import Path

import pytest

from albench.data import cache_folder
from albench.data.digests import file_digests


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def read(monkeypatch):
    """The names of the files that were read as a whole."""
    from albench.data import digests

    names, whole = [], digests.digest_of
    monkeypatch.setattr(digests, "digest_of", lambda file: names.append(Path(file.name).name) or whole(file))
    return names


def expected(path):
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest())]


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 40_000, 200_000])
def test_an_unchanged_file_is_read_once(tmp_path, read, size):
    path = tmp_path / "volume.nii"
    path.write_bytes(os.urandom(size))
    for _ in range(3):
        assert file_digests([path]) == expected(path)
    assert read == ["volume.nii"]


@pytest.mark.parametrize("position", [0, 150_000, 199_999])
def test_other_content_of_the_same_size_and_time_is_noticed(tmp_path, read, position):
    path = tmp_path / "volume.nii"
    path.write_bytes(bytes(200_000))
    file_digests([path])
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(position)
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ino == before.st_ino
    assert file_digests([path]) == expected(path)
    assert len(read) == 2


@pytest.mark.parametrize("position", [0, 28_573, 199_999])
def test_a_sample_tells_contents_apart_where_the_file_system_does_not(tmp_path, read, monkeypatch, position):
    from albench.data import digests

    class Frozen:
        st_ino, st_size, st_mtime_ns, st_ctime_ns = 1, 200_000, 2, 3

    monkeypatch.setattr(digests.os, "fstat", lambda descriptor: Frozen)
    path = tmp_path / "volume.nii"
    path.write_bytes(bytes(200_000))
    file_digests([path])
    with path.open("r+b") as file:
        file.seek(position)
        file.write(b"x")
    assert file_digests([path]) == expected(path)
    assert len(read) == 2


def test_another_file_under_the_same_name_is_read(tmp_path, read):
    path, other = tmp_path / "volume.nii", tmp_path / "other.nii"
    path.write_bytes(bytes(100_000))
    other.write_bytes(bytes(50_000) + b"x" + bytes(49_999))
    time = path.stat().st_mtime_ns
    file_digests([path])
    os.utime(other, ns=(time, time))
    other.replace(path)
    assert file_digests([path]) == expected(path)
    assert len(read) == 2


@pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"x": 1}', "null"])
def test_a_damaged_index_is_made_anew(tmp_path, read, text):
    path = tmp_path / "volume.nii"
    path.write_bytes(b"content")
    file_digests([path])
    (index,) = (cache_folder() / "digests").iterdir()
    for content in (text, f'{{"{path}": 1}}', f'{{"{path}": []}}', f'{{"{path}": null}}'):
        index.write_text(content)
        assert file_digests([path]) == expected(path)
    assert len(read) == 5


def test_no_file_has_no_digest():
    assert file_digests([]) == []
