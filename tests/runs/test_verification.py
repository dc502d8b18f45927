"""Every damage to a run is named: each file, each field, and exchanges that every single file would survive."""

import json
import shutil
from pathlib import Path

import pytest
from support.damages import changes, field_names, places, rewrite, set_value
from support.made_runs import write_run

from albench.errors import StoreError
from albench.runs import RunReader, find_runs, verify
from albench.runs.documents import encode
from albench.runs.layout import folder_name
from albench.runs.records import (
    FailureRecord,
    ProcessesRecord,
    QueryRecord,
    RoundRecord,
    SplitRecord,
    StoredConfig,
)
from albench.runs.scores import scores_csv
from albench.runs.store import write_failure
from albench.runs.verification import check

DOCUMENTS = {
    "config.json": StoredConfig,
    "environment.json": ProcessesRecord,
    "split.json": SplitRecord,
    "failure.json": FailureRecord,
    "rounds.jsonl": RoundRecord,
    "query.json": QueryRecord,
}
OPTIONS = {"options", "locations"}  # of a strategy or dataset: any names


@pytest.fixture(scope="module")
def evidence(tmp_path_factory, request):
    """Two finished runs of STAR, which writes every kind of file, with tuned options and a failure in the first."""
    from support.samples import TINY
    from support.suites import write_tuned

    import albench

    out = tmp_path_factory.mktemp("evidence") / "runs"
    settings = TINY | {"network.backbone": "resnet18"}
    tuned = tmp_path_factory.mktemp("tuned") / "tuned.json"
    write_tuned(tuned, {"pseudo_count": 2}, strategy="star")
    for seed in (0, 1):
        more = {"tuned": tuned} if seed == 0 else {}
        albench.run("star", "phantom", seed=seed, settings=settings, out=out, device="cpu", keep_weights=True, **more)
    first, _ = find_runs(out)
    write_failure(first.folder, "it did not work", "Traceback: here")
    return out


@pytest.fixture
def runs(evidence, tmp_path):
    """A copy of both runs."""
    shutil.copytree(evidence, tmp_path / "runs")
    return find_runs(tmp_path / "runs")


def documents(folder: Path) -> list[Path]:
    """One file of each kind."""
    return [next(path for path in sorted(folder.rglob(name))) for name in DOCUMENTS]


def assert_named(folder: Path, path: Path) -> None:
    found = verify(RunReader(folder))
    assert found, path
    assert path in {damage.file for damage in found}
    for damage in found:
        assert str(damage.file) in damage.sentence
        assert ":" in damage.sentence or ";" in damage.sentence  # and a remedy


def test_a_sound_run_has_no_damage(runs):
    for run in runs:
        assert verify(run) == []
        assert run.finished


def test_the_evidence_holds_every_field_of_every_document(runs):
    for name, cls in DOCUMENTS.items():
        written = set()
        for path in runs[0].folder.rglob(name):
            for line in path.read_text().splitlines() if name == "rounds.jsonl" else [path.read_text()]:
                written |= {str(key) for place in places(json.loads(line)) for key in place}
        assert field_names(cls) <= written, name


def test_every_changed_field_is_named(runs):
    folder, count = runs[0].folder, 0
    for path in documents(folder):
        original = path.read_text()
        lines = original.splitlines() if path.name == "rounds.jsonl" else [original]
        for index, line in enumerate(lines):
            if len(lines) > 1 and index != 1:
                continue  # one record stands for all
            for change in changes(json.loads(line)):
                rewrite(path, index if len(lines) > 1 else None, change.apply, sealed=False)
                assert_named(folder, path)
                path.write_text(original)
                count += 1
    assert count > 500
    assert verify(RunReader(folder)) == []


def test_every_changed_field_is_named_although_its_document_was_sealed_again(runs):
    """What the chain is for: only the last record and the note of a failure have nothing after them that would tell."""
    folder = runs[0].folder
    for path in documents(folder):
        original = path.read_text()
        lines = original.splitlines() if path.name == "rounds.jsonl" else [original]
        for index, line in enumerate(lines if path.name != "failure.json" else []):
            if path.name == "rounds.jsonl" and index == len(lines) - 1:
                continue
            for place in places(json.loads(line)):
                change = next(change for change in changes(json.loads(line)) if change.place == place)
                rewrite(path, index if len(lines) > 1 else None, change.apply, sealed=True)
                assert verify(RunReader(folder)), (path, place)
                path.write_text(original)


@pytest.mark.parametrize("damage", ["removed", "cut", "one bit", "empty", "not text", "another run's"])
def test_every_damaged_file_is_named(runs, damage):
    folder, other = (run.folder for run in runs)
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == ".lock":
            continue
        if damage == "removed" and path.name == "scores.csv":  # it follows from the records
            continue
        original = path.read_bytes()
        if damage == "removed":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(original[: len(original) // 2])
        elif damage == "one bit":
            path.write_bytes(original[:-3] + bytes([original[-3] ^ 1]) + original[-2:])
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "not text":
            path.write_bytes(b"\xff\xfe\x00" * 9)
        else:
            twin = other / path.relative_to(folder)
            path.write_bytes(twin.read_bytes() if twin.exists() else b"{}")
        if _is_sound(path, original, damage):
            assert verify(RunReader(folder)) == [], path
        elif path.name == "rounds.jsonl" and damage == "removed":
            assert verify(RunReader(folder)) == []  # it is a run that has not finished a round
            assert not RunReader(folder).finished
        elif path.name in ("environment.json", "split.json", "snapshots.npz"):
            assert verify(RunReader(folder)), path  # named itself, or by the first record
        else:
            assert_named(folder, path)
        path.write_bytes(original)
    assert verify(RunReader(folder)) == []


def _is_sound(path: Path, original: bytes, damage: str) -> bool:
    """What a finished run may lose: the note of a failure, its weights, and nothing if the content is equal."""
    if damage == "removed":
        return path.name in ("failure.json", "weights.pt")
    return path.read_bytes() == original


def test_edited_dice_is_named(runs):
    path = runs[0].layout.records
    rewrite(path, 1, lambda content: set_value(content, ("test", "dice_slice"), 0.99), sealed=False)
    (damage,) = verify(RunReader(runs[0].folder))
    with pytest.raises(StoreError, match="line 2, was changed after it was written"):
        check(RunReader(runs[0].folder))
    assert damage.sentence == (
        f"'{path}', line 2, was changed after it was written, its content does not match its SHA-256: restore it from "
        "a copy, or remove the run"
    )


def test_edited_dice_with_a_hash_that_fits_is_named_by_the_record_after_it(runs):
    path = runs[0].layout.records
    rewrite(path, 1, lambda content: set_value(content, ("test", "dice_slice"), 0.99), sealed=True)
    (damage,) = verify(RunReader(runs[0].folder))
    assert damage.sentence == (
        f"'{path}', line 3, was written after other content than is there now, the record before it in '{path}' was "
        "changed or replaced: restore it from a copy, or remove the run"
    )


@pytest.mark.parametrize(("order", "line", "index"), [((1, 0, 2), 1, 1), ((0, 0, 1, 2), 2, 0), ((0, 2), 2, 2)])
def test_swapped_repeated_and_removed_lines_are_named(runs, order, line, index):
    path = runs[0].layout.records
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{lines[i]}\n" for i in order))
    (damage,) = verify(RunReader(runs[0].folder))
    assert f"'{path}', line {line}, must be round {line - 1}, it is round {index}: a line was repeated, moved" in (
        damage.sentence
    )


def test_another_runs_records_are_named(runs):
    path = runs[0].layout.records
    path.write_text(runs[1].layout.records.read_text())
    (damage,) = verify(RunReader(runs[0].folder))
    assert "line 1, was written after other content than is there now, one of 'config.json', 'environment.json'" in (
        damage.sentence
    )


def test_a_query_over_budget_is_named_although_its_hashes_fit(runs):
    """A forger who hashes everything again still cannot exceed the budget."""
    run = runs[0]
    path = run.layout.round(0).query

    def more(content):
        content["ids"] = [*content["ids"], 99]
        content["slices"] = [*content["slices"], content["slices"][0]]

    rewrite(path, None, more, sealed=True)
    _forge(run)
    sentences = [damage.sentence for damage in verify(RunReader(run.folder))]
    assert any(
        f"'{path}' must hold at most the 3 slices of protocol.budget, it holds 4: restore" in s for s in sentences
    )
    assert any("line 2, must count " in s and "slices as the queries before it" in s for s in sentences)


def _forge(run: RunReader) -> None:
    """Give every record hashes that fit what is there now."""
    from dataclasses import replace

    from albench.runs.verification import file_hashes, hash_before

    lines: list[str] = []
    for index, record in enumerate(RunReader(run.folder).records):
        previous = hash_before(run.layout, run.processes, lines)
        record = replace(record, previous=previous, files=file_hashes(run.layout.round(index).folder))
        lines.append(encode(record))
    run.layout.records.write_text("".join(f"{line}\n" for line in lines))


def test_changed_settings_are_named_by_the_name_of_the_folder(runs):
    path = runs[0].layout.config
    rewrite(path, None, lambda content: set_value(content, ("run", "training", "patience"), 50), sealed=True)
    (damage,) = verify(RunReader(runs[0].folder))
    assert (
        f"'{path}' must hold the settings that its folder is named after, these belong to 'seed-0-" in damage.sentence
    )


def test_a_run_of_a_plugin_whose_folder_was_named_after_its_code_is_sound(tmp_path):
    folder = write_run(tmp_path, "mine", 0, [0.5, 0.6], settings={"strategy.code": "1234"})
    config = RunReader(folder).config
    assert folder.name == folder_name(config)
    former = folder.rename(folder.with_name(folder_name(config, code=True)))
    assert former != folder
    assert verify(RunReader(former)) == []


def test_another_runs_weights_are_named(runs):
    path = runs[0].layout.round(2).weights
    path.write_bytes(runs[1].layout.round(2).weights.read_bytes())
    (damage,) = verify(RunReader(runs[0].folder))
    assert damage.sentence == (
        f"'{path}' was changed or replaced after it was written, it does not match its record: restore it from a copy, "
        "or remove the run"
    )


def test_an_added_file_is_named(runs):
    path = runs[0].layout.round(1).folder / "query (copy).json"
    path.write_text("{}")
    (damage,) = verify(RunReader(runs[0].folder))
    assert damage.sentence == f"'{path}' was added after the round was finished: remove it"


@pytest.mark.parametrize("name", ["config.json", "split.json", "snapshots.npz", "rounds.jsonl", "scores.csv"])
def test_a_folder_in_the_place_of_a_file_is_named(runs, name):
    path = runs[0].folder / name
    path.unlink()
    path.mkdir()
    damages = verify(RunReader(runs[0].folder))
    assert f"{name}'" in damages[0].sentence


def test_a_moved_run_is_sound(runs, tmp_path):
    target = tmp_path / "elsewhere" / runs[0].folder.name
    shutil.copytree(runs[0].folder, target)
    assert verify(RunReader(target)) == []


def test_a_missing_table_of_metrics_is_sound(runs):
    runs[0].layout.scores.unlink()
    assert verify(RunReader(runs[0].folder)) == []


def test_a_file_that_may_not_be_read_is_named(runs, monkeypatch):
    path, opened = runs[0].layout.round(1).weights, Path.open

    def closed(self, *more, **options):
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(self, *more, **options)

    monkeypatch.setattr(Path, "open", closed)
    (damage,) = verify(RunReader(runs[0].folder))
    assert damage.sentence == (
        f"'{path}' cannot be read (Permission denied): restore it from a copy, or remove the run"
    )


def test_what_a_killed_process_leaves_is_sound(runs):
    """Files of a round without its record, and the table of the round before."""
    run = runs[0]
    lines, records = run.layout.records.read_text().splitlines(), run.records
    run.layout.records.write_text("".join(f"{line}\n" for line in lines[:2]))
    run.layout.scores.write_text(scores_csv(records[:1]))
    (run.layout.round(2).folder / ".weights.pt.17.tmp").write_bytes(b"half")
    assert verify(RunReader(run.folder)) == []
    run.layout.scores.write_text(scores_csv(records))
    (damage,) = verify(RunReader(run.folder))
    assert (
        f"'{run.layout.scores}' must hold the metrics of 'rounds.jsonl', it was changed: remove it" in damage.sentence
    )
