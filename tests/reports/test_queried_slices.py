"""The queried slices on the page: which ones, where they lie, how many, and without the data."""

import html
import re

import pytest
from support.made_runs import write_run
from support.samples import TINY_TRAINING, invoke

import albench
from albench.datasets.phantom import Phantom
from albench.reports import load, queried_slices
from albench.reports.queried_slices import queried_slices as of_results
from albench.reports.report import write


def section(page):
    """The section of the page without its images, in one line; empty if it has none."""
    found = re.search(r'<section id="queries">.*?</section>', page.read_text(), re.DOTALL)
    text = re.sub(r'src="data:image/webp;base64,[^"]*"', "", found.group() if found else "")
    return " ".join(html.unescape(re.sub(r"<(?!img)[^>]*>", " ", text)).split())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed in (1, 0):
        write_run(folder, "random", seed, [0.5, 0.6, 0.7], side=32, cases=4, labeled=[10, 18, 20])
        write_run(folder, "entropy", seed, [0.5, 0.6, 0.7], side=32, cases=4, labeled=[10, 18, 20])
    write_run(folder, "margin", 0, [0.5, 0.6, 0.7], cases=4, labeled=[10, 18, 20])
    return folder


def test_every_round_of_the_lowest_seed_shows_its_first_slices(made):
    (group,) = of_results(load(made))
    assert [(method.label, method.replicate) for method in group.methods] == [
        ("random", "seed 0"),
        ("entropy", "seed 0"),
    ]
    for method in group.methods:
        assert albench.open_run(method.folder).config.seed == 0
        rounds = [(one.index, one.count, len(one.slices)) for one in method.rounds]
        assert rounds == [(0, 8, 6), (1, 2, 2)]
    assert group.sentences == [
        "The contour is that of the mask that was bought.",
        "Slices count from the bottom of the volume, from 0.",
    ]
    assert group.classes == {}


@pytest.mark.usefixtures("sketched")
def test_the_page_names_case_and_slice_and_the_command_for_a_viewer(made, tmp_path):
    write(load(made), tmp_path, "html")
    said = section(tmp_path / "index.html")
    (folder,) = (made / "made" / "random").glob("seed-0-*")
    command = f"albench queries {folder} --nifti asked"
    assert f"random , seed 0 2 queries All slices, and volumes for a viewer: {command} After" in said
    assert "After round 0 6 of 8 shown" in said
    assert "After round 1 2 of 2 shown" in said
    assert said.count("<img") == 16
    assert 'alt="t0, slice 1"> t0 slice 1' in said
    assert '<a href="#queries">Queried slices</a>' in (tmp_path / "index.html").read_text()


@pytest.mark.usefixtures("sketched")
def test_a_report_of_runs_without_images_has_no_section(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write(load(tmp_path), tmp_path / "report", "html")
    text = (tmp_path / "report" / "index.html").read_text()
    assert "Queried slices" not in text
    assert "#queries" not in text


def test_the_number_of_images_on_a_page_is_bounded_but_every_round_has_one(made, monkeypatch):
    for most, expected in ((1000, [6, 2]), (12, [3, 2]), (8, [2, 2]), (1, [1, 1])):
        monkeypatch.setattr(queried_slices, "MOST", most)
        (group,) = of_results(load(made))
        for method in group.methods:  # four queries in all
            assert [len(one.slices) for one in method.rounds] == expected


def test_a_page_with_as_many_images_as_can_be_has_less_than_8_megabytes_of_them(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], side=160, cases=3, labeled=[10, 60])  # of noise, which is large
    (group,) = of_results(load(tmp_path))
    (one,) = group.methods[0].rounds
    assert len(one.slices) == 6
    assert sum(len(shown.address) for shown in one.slices) / 6 * queried_slices.MOST < 8e6


@pytest.mark.usefixtures("sketched")
def test_the_classes_are_named_in_their_colors(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], side=32, classes=("liver", "tumor"), unknown=True)
    assert invoke("report", tmp_path, "--format", "html")[0] == 0
    said = section(tmp_path / "report" / "index.html")
    assert "The contour is that of the mask that was bought, in the color of its class." in said
    assert "Hatched: the label is unknown." in said
    assert "liver tumor random , seed 0 1 query" in said


@pytest.mark.usefixtures("sketched")
def test_the_place_of_a_slice_is_that_of_the_queries_and_without_the_data_it_is_left_out(decathlon, tmp_path):
    settings = TINY_TRAINING | {"data.root": str(decathlon), "data.axis": "coronal", "protocol.budget": 4}
    run = albench.run("random", "folder", settings=settings, out=tmp_path / "runs", device="cpu")
    page = tmp_path / "runs" / "report" / "index.html"
    assert invoke("report", tmp_path / "runs", "--format", "html")[0] == 0
    said = section(page)
    table = run.queries()
    assert len(table) == said.count("<img") == 4
    for row in table.rename(columns={"index": "j"}).itertuples():
        assert f"{row.case} j = {row.j}, {row.mm:.1f} mm" in said
    assert "i, j or k is the index of the slice in its file as 3D Slicer counts it, from 0; millimeters are" in said
    decathlon.rename(tmp_path / "moved")
    assert invoke("report", tmp_path / "runs", "--format", "html")[0] == 0
    said = section(page)
    assert said.count(" mm ") == 0
    assert all(f"{row.case} slice {row.position}" in said for row in table.itertuples())
    assert (
        "Slices count from the bottom of the volume, from 0; their index in the file is left out, because the data are "
        "not where they were: albench queries gives it, with --data-root."
    ) in said


@pytest.mark.usefixtures("sketched")
def test_slices_without_files_count_from_the_bottom_and_no_volume_is_generated_for_it(tiny_run, monkeypatch):
    run = tiny_run("entropy")
    monkeypatch.setattr(Phantom, "load", None)
    assert invoke("report", run.folder.parents[2], "--format", "html")[0] == 0
    said = section(run.folder.parents[2] / "report" / "index.html")
    assert "Slices count from the bottom of the volume, from 0. entropy , seed 0 2 queries" in said
    first = albench.open_run(run.folder).query(0).slices[0]
    assert f"{first.case} slice {first.position}" in said
