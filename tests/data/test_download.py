import hashlib
import threading

import pytest
from support.loopback import serving

from albench.data import Archive, make_marked
from albench.data.download import fetch
from albench.errors import DataError

CONTENT = bytes(range(256)) * 20_000  # 5 MB


@pytest.fixture
def server():
    with serving(CONTENT) as running:
        yield running


@pytest.fixture
def archive(server, tmp_path):
    return Archive(f"{server.url}/Task.tar", hashlib.md5(CONTENT).hexdigest(), tmp_path / "place" / "Task.tar")


def download(archive):
    return fetch(archive, lambda done, total: None, pause=0.01)


def test_an_archive_is_downloaded_once_with_progress(server, archive):
    reports = []
    path = fetch(archive, lambda done, total: reports.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert reports[0] == (0, len(CONTENT))
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    download(archive)
    assert server.ranges_requested == [None]
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".Task.tar.albench.json", "Task.tar"]


def test_a_download_resumes_after_a_broken_connection(server, archive):
    server.breaks = [1_000_000, 2_000_000]
    assert download(archive).read_bytes() == CONTENT
    assert server.ranges_requested == [None, "bytes=1000000-", "bytes=3000000-"]


def test_bytes_of_an_earlier_process_are_not_downloaded_again(server, archive):
    server.breaks = [1_500_000, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"must be reachable, the connection failed after 1 MiB .*: run the same"):
        download(archive)
    server.breaks = []
    assert download(archive).read_bytes() == CONTENT
    assert server.ranges_requested[-1] == "bytes=1500000-"


def test_a_download_from_a_server_without_ranges_starts_again(server, archive):
    server.supports_ranges, server.breaks = False, [1_000_000]
    assert download(archive).read_bytes() == CONTENT


def test_a_complete_file_that_was_not_yet_verified_is_verified(server, archive):
    partial = archive.path.parent / ".Task.tar.partial"
    make_marked(partial)
    (partial / "Task.tar").write_bytes(CONTENT)
    assert download(archive).read_bytes() == CONTENT


def test_a_file_with_a_wrong_checksum_is_rejected_and_removed(server, archive):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DataError, match=r"must have the MD5 sum [0-9a-f]{32}, it has [0-9a-f]{32} and is removed: "):
        download(archive)
    assert not archive.path.exists()
    assert not list(archive.path.parent.rglob("Task.tar"))
    server.content = CONTENT
    assert download(archive).read_bytes() == CONTENT


def test_an_unreachable_server_is_one_sentence(archive, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="must be reachable, the connection failed after 0 MiB"):
        download(archive)


def test_two_simultaneous_downloads_fetch_the_archive_once(server, archive):
    threads = [threading.Thread(target=download, args=(archive,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert archive.path.read_bytes() == CONTENT
    assert len(server.ranges_requested) == 1
