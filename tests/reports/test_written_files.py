"""Which files a report writes, and which of a former one it removes."""

import hashlib
import shutil

import pytest
from support.made_runs import write_run
from support.samples import invoke
from support.sketches import sketched_figures

from albench.reports.written_files import LISTING, replace_part


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A folder of runs in two groups with its report."""
    folder = tmp_path_factory.mktemp("reported")
    write_run(folder, "random", 0, [0.5, 0.6, 0.7])
    write_run(folder, "random", 0, [0.5, 0.6, 0.7], title="other")
    report(folder)
    return folder


@pytest.fixture
def out(reported, tmp_path):
    """The report in a copy of the folder."""
    return shutil.copytree(reported, tmp_path / "runs") / "report"


def report(folder, *more):
    with sketched_figures():
        code, said = invoke("report", folder, *more)
    assert code == 0, said
    return said


def files(out):
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def remove_group(folder):
    shutil.rmtree(folder / "other")


def test_files_that_a_report_does_not_write_again_are_removed(out):
    before = files(out)
    assert {"latex/table1-other.tex", "csv/table1-other.csv", "figures/curves-other.pdf"} <= before
    remove_group(out.parent)
    report(out.parent)
    after = files(out)
    assert before - after == {name for name in before if "other" in name}
    assert after < before


def test_what_albench_did_not_write_or_somebody_edited_stays(out):
    table = out / "latex" / "table1-other.tex"
    table.write_text(f"{table.read_text()}% mine\n")
    own = [out / "figures" / "mine.pdf", out / "latex" / "paper.tex", out / "notes.md"]
    for path in own:
        path.write_text("mine")
    elsewhere = out / "elsewhere.csv"
    link = out / "csv" / "table1-other.csv"
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    remove_group(out.parent)
    report(out.parent, "--format", "latex")
    report(out.parent, "--format", "csv")
    assert all(path.read_text() == "mine" for path in own)
    assert table.read_text().endswith("% mine\n")
    assert link.is_symlink()
    assert elsewhere.is_file()
    assert not (out / "latex" / "efficiency-other.tex").exists()


def test_one_format_leaves_the_others_as_they_are(out):
    before = files(out)
    remove_group(out.parent)
    report(out.parent, "--format", "csv")
    after = files(out)
    assert before - after == {name for name in before if "other" in name and name.startswith("csv/")}


def test_without_a_list_nothing_is_removed(out):
    for content in (None, "{", '{"csv": ["csv/table1-other.csv"], "latex": 3}', "[]"):
        (out / LISTING).unlink(missing_ok=True)
        if content is not None:
            (out / LISTING).write_text(content)
        replace_part(out, "csv", [out / "csv" / "table1-made.csv"])
        assert (out / "csv" / "table1-other.csv").is_file()


def test_a_listed_path_outside_of_the_report_is_not_removed(tmp_path):
    (tmp_path / "out").mkdir()
    other, former = tmp_path / "other.csv", tmp_path / "out" / "former.csv"
    other.write_text("a")
    former.write_text("b")
    replace_part(tmp_path / "out", "csv", [former])
    listing = tmp_path / "out" / LISTING
    digests = {text: hashlib.sha256(text.encode()).hexdigest() for text in "ab"}
    content = listing.read_text().replace("former.csv", "../other.csv")
    assert digests["b"] in content
    listing.write_text(content.replace(digests["b"], digests["a"]))
    replace_part(tmp_path / "out", "csv", [])
    assert other.is_file()
    assert former.is_file()


def test_reports_by_two_metrics_have_folders_of_their_own(out):
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    said = report(out.parent, "--metric", "hd95", "--format", "markdown")
    assert said == f"wrote {out / 'hd95' / 'tables.md'}"
    report(out.parent, "--metric", "nsd", "--format", "markdown", "--out", out)
    report(out.parent, "--class", "foreground", "--format", "markdown")
    texts = {name: (out / name / "tables.md").read_text() for name in ("hd95", "nsd", "dice_volume-foreground")}
    assert "Hausdorff" in texts["hd95"]
    assert "urface Dice" in texts["nsd"]
    assert "Volume Dice of foreground" in texts["dice_volume-foreground"]
    assert {path: path.read_bytes() for path in before} == before


def test_only_reports_chosen_methods_beside_the_reference(tmp_path):
    for strategy in ("random", "entropy", "star"):
        write_run(tmp_path, strategy, 0, [0.5, 0.6, 0.7])
    write_run(tmp_path, "full", 0, [0.8])
    write_run(tmp_path, "entropy", 1, [0.5], rounds=2)
    said = report(tmp_path, "--only", "star", "--only", "random", "--format", "markdown")
    assert "entropy" not in said
    text = (tmp_path / "report" / "tables.md").read_text()
    assert "entropy" not in text
    assert ", only random, star; albench" in text
    assert "Supervised reference: 0.800" in text


def test_only_names_a_method(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7])
    code, said = invoke("report", tmp_path, "--only", "randon")
    assert (code, said) == (2, "albench: --only must name a method of the report, got 'randon': did you mean 'random'?")
