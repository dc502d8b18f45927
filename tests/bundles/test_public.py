"""Command lines and texts of a bundle tell what was run, not where."""

import pytest

from albench.bundles.public import check_public, public_command
from albench.errors import StoreError


@pytest.mark.parametrize(
    ("command", "public"),
    [
        ("/home/a/.venv/bin/albench bench menu --set protocol.rounds=3", "albench bench menu --set protocol.rounds=3"),
        ("/usr/lib/python3/site-packages/albench/__main__.py list suites", "albench list suites"),
        ("albench bench /home/a/mine.yaml --max-hours 2", "albench bench mine.yaml --max-hours 2"),
        (
            "albench run --strategy ../a/mine.py:Mine --tuned=/t/tuned.yaml",
            "albench run --strategy mine.py:Mine --tuned=tuned.yaml",
        ),
        ("albench run --out alice --data-root data --seed 3", "albench run --out ... --data-root ... --seed 3"),
        ("albench run --out=alice --set data.root=alice", "albench run --out=... --set data.root=..."),
        ("albench bench menu --address host:6379 --storage s3://a/b", "albench bench menu --address ... --storage ..."),
        (
            "albench run --set data.labels=[1,2] --set training.lr=1e-4",
            "albench run --set data.labels=[1,2] --set training.lr=1e-4",
        ),
        (r"C:\Users\alice\albench.exe run D:\alice", "albench.exe run ..."),
        ("ipykernel_launcher.py -f /run/user/1000/kernel.json", "ipykernel_launcher.py -f ..."),
        ("study.py ~alice ./runs", "study.py ... ..."),
        ("/opt/ray/workers/default_worker.py --node-ip-address=10.0.0.7", ""),
        ("", ""),
    ],
)
def test_a_command_line_names_no_folder_and_no_host(command, public):
    shown = public_command(command.split())
    assert " ".join(shown) == public
    assert public_command(shown) == shown


@pytest.mark.parametrize(
    "text",
    ["/home/alice", "see ~/runs", "root=/data", "'/x'", r"C:\Users", "(file:///tmp)", r"\\server\share", "a, /b"],
)
def test_an_absolute_path_is_found_anywhere(text):
    for content in (text, {"a": [1, {"b": text}]}, {text: 1}):
        with pytest.raises(StoreError, match=r"^a bundle must not tell where files lie, a name or text in it has '"):
            check_public(content)


@pytest.mark.parametrize(
    "text", ["and/or", "1 / 2", "a/b/c", "https://example.org/x", "Dice: 0.5", "train/val", "~5 mm"]
)
def test_a_text_without_a_path_is_not_rejected(text):
    check_public({"a": [text, 1, None]})
