"""Runs are found at any depth, through links, and although a folder cannot be read."""

import os

import pytest

from albench.errors import StoreError
from albench.runs.discovery import discover, find_runs
from albench.runs.manifest import MANIFEST


def made(folder, name="config.json"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    return folder


def folders(out):
    return [run.folder for run in find_runs(out)]


def test_runs_are_found_by_their_settings_or_their_records_and_suites_by_their_manifest(tmp_path):
    one, other = made(tmp_path / "a" / "seed-1"), made(tmp_path / "a" / "b" / "seed-0", "rounds.jsonl")
    made(tmp_path / "a", MANIFEST)
    made(one / "rounds" / "00")
    assert folders(tmp_path) == [other, one]
    assert folders(one) == [one]
    assert discover(tmp_path).suites == [tmp_path / "a"]


def test_linked_folders_are_found_once_and_by_their_own_path_if_that_is_below(tmp_path):
    out = tmp_path / "runs"
    inside = made(out / "z" / "seed-0")
    made(tmp_path / "elsewhere" / "random" / "seed-1")
    made(tmp_path / "elsewhere" / "random" / "seed-2")
    (out / "a").symlink_to(inside)
    (out / "run").symlink_to(tmp_path / "elsewhere" / "random" / "seed-2")
    (out / "suite").symlink_to(tmp_path / "elsewhere")
    (out / "z" / "circle").symlink_to(out)
    (out / "itself").symlink_to(out / "itself")
    (out / "nowhere").symlink_to(out / "absent")
    assert folders(out) == [out / "run", out / "suite" / "random" / "seed-1", inside]


def test_a_folder_that_cannot_be_read_is_a_run_whose_sentence_says_so(tmp_path, monkeypatch):
    made(tmp_path / "seed-0")
    closed = made(tmp_path / "seed-1")
    made(tmp_path / ".hidden")

    def closing(call):
        def checked(path, *more, **options):
            if str(path).startswith((str(closed) + "/", str(tmp_path / ".hidden"))) or path == closed:
                raise PermissionError(13, "Permission denied", str(path))
            return call(path, *more, **options)

        return checked

    monkeypatch.setattr(os, "scandir", closing(os.scandir))
    found = find_runs(tmp_path)
    assert [run.folder.name for run in found] == ["seed-0", "seed-1"]
    monkeypatch.setattr(type(closed), "stat", closing(type(closed).stat))
    for read in (lambda run: run.started, lambda run: run.records, lambda run: run.failure):
        with pytest.raises(StoreError, match=r"seed-1/.*' cannot be read \(.*Permission denied.*\): restore it from a"):
            read(found[1])


def test_a_folder_that_does_not_exist_is_one_sentence(tmp_path):
    with pytest.raises(StoreError, match=r"runs must be in an existing folder, '.*absent' is not one: give the --out"):
        find_runs(tmp_path / "absent")
