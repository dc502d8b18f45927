"""The page is complete, needs no other file and works in a browser; the summary; the time of a large report."""

import gc
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files
from unittest.mock import patch
from urllib.parse import unquote

import numpy as np
import pytest
from support.made_runs import write_run
from support.samples import invoke

from albench.reports import load
from albench.reports.figures.style import COLORED, line_styles
from albench.reports.page_captions import ShortCaption, shortened
from albench.reports.summary import summarize

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Structure(HTMLParser):
    """Links and ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.headings = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        self.ids += [values["id"]] if "id" in values else []
        self.headings += [values["id"]] if tag == "section" else []


def write_made(folder):
    for seed in range(3):
        write_run(folder, "random", seed, [0.5, 0.6 + 0.01 * seed, 0.7])
        write_run(folder, "entropy", seed, [0.5, 0.55, 0.6 + 0.02 * seed])
        write_run(folder, "star", seed, [0.5, 0.75, 0.85 - 0.01 * seed], side=32)
        write_run(folder, "full", seed, [0.8], rounds=2)
    write_run(folder, "bal", 0, [0.5], rounds=2)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_made(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(made):
    code, said = invoke("report", made, "--format", "html")
    assert code == 0, said
    assert "bal on made, seed 0, is not finished: 1 of 3 rounds are done" in said
    return made / "report" / "index.html"


def test_the_page_has_everything_and_begins_with_the_summary(page):
    text = page.read_text()
    structure = Structure(text)
    assert structure.headings == ["summary", "tables", "figures", "queries", "runs", "provenance"]
    said = html.unescape(re.sub(r"\s+", " ", text))
    for part in (
        "star leads with an AUBC of",
        "Unfinished: bal, seed 0.",
        "bal on made, seed 0, is not finished: 1 of 3 rounds are done",
        "Learning curves on made",
        "protocol digest",
        "<b>star</b>, seed 2",
        "c0ffee",
    ):
        assert part in said, part
    assert said.count('class="card run"') == 12


def test_the_page_says_once_what_is_true_of_all_tables_and_figures(page):
    said = html.unescape(re.sub(r"\s+", " ", page.read_text()))
    for sentence in (
        "; computed on cpu.",
        "Unfinished: bal, seed 0.",
        "Volume Dice on 2 test cases, mean over 3 seeds (0, 1, 2).",
        "±: one sample standard deviation.",
        "Slice Dice on 2 test cases, mean over 3 seeds (0, 1, 2).",  # of one table
    ):
        assert said.count(sentence) == 1, sentence


@pytest.mark.usefixtures("sketched")
def test_what_is_the_same_in_all_groups_stands_once_and_a_caption_refers_to_the_first_of_its_kind(tmp_path):
    for seed in range(2):
        for title, classes in (("one", ("foreground",)), ("two", ("liver", "tumor"))):
            for index, strategy in enumerate(("random", "entropy")):
                dice = [0.5, 0.6, 0.7 + 0.01 * index * seed]
                write_run(tmp_path, strategy, seed, dice, title=title, classes=classes)
    assert invoke("report", tmp_path, "--format", "html")[0] == 0
    said = html.unescape(re.sub(r"\s+", " ", (tmp_path / "report" / "index.html").read_text()))
    common = said.partition("In all tables and figures whose captions say nothing else")[2].partition("</article>")[0]
    for sentence in ("Volume Dice on 2 test cases, mean over 2 seeds (0, 1).", "computed on cpu."):
        assert sentence in common
        assert said.count(sentence) == 1
    assert "20 validation slices are labeled and not counted." in common
    averaged = "The classes liver, tumor are averaged: in each case"
    assert averaged not in common
    assert said.count(averaged) == 1
    assert said.count("Positions of all queried slices in their volumes") == 1
    assert '<figcaption class="caption"> As <a href="#figure-positions-one">Query positions on one</a>.' in said


def test_a_caption_leaves_out_what_stands_above_and_refers_to_where_it_stood_first():
    seen = {}
    first = shortened(["A.", "B.", "C."], ("x-one", "X on one"), {"C."}, seen)
    again = shortened(["A.", "B.", "C.", "D."], ("x-two", "X on two"), {"C."}, seen)
    other = shortened(["A."], ("y-two", "Y on two"), {"C."}, seen)
    assert first == ShortCaption("A. B.")
    assert again == ShortCaption("D.", ("x-one", "X on one"))
    assert other == ShortCaption("A.")


@pytest.mark.usefixtures("sketched")
def test_paths_are_links_to_files_that_exist(made, page, tmp_path):
    links = [link for link in Structure(page.read_text()).links if not link.startswith(("#", "data:"))]
    assert len(links) > 20
    for link in links:
        assert (page.parent / unquote(link)).exists(), link
    assert "figures/curves-made.pdf" in links
    runs = {link for link in links if link.startswith("../")}
    assert len(runs) == 12
    assert not any(link.endswith((".tex", ".csv")) for link in links)
    assert invoke("report", made, "--out", tmp_path / "a report")[0] == 0
    complete = Structure((tmp_path / "a report" / "index.html").read_text()).links
    assert {"latex/table1-made.tex", "csv/table1-made.csv"} <= set(complete)
    away = [link for link in complete if link.startswith("../")]
    assert all((tmp_path / "a report" / unquote(link)).is_dir() for link in away)
    assert len(away) == 12


def test_every_color_of_text_has_enough_contrast_on_every_background_in_light_and_dark():
    """4.5 to 1 for text, 3 to 1 for lines of the dark page, as the level AA of WCAG 2.1 wants (1.4.3 and 1.4.11)."""
    css = files("albench.reports").joinpath("templates/page.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    for variables in (light, dark):
        colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", variables))
        assert set(colors) == {"paper", "card", "ink", "muted", "line", "accent", "warn", "warn-paper"}
        for background in ("paper", "card", "warn-paper"):
            for text in ("ink", "muted", "accent", "warn"):
                assert contrast(colors[text], colors[background]) >= 4.5, (text, background)
    card = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark))["card"]
    styles = line_styles([f"method-{index}" for index in range(COLORED)], "random")
    assert all(contrast(style.color, card) >= 3 for style in styles.values())
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the known gray that is just too pale


def contrast(one, other):
    """The contrast ratio of two colors, as WCAG 2.1 defines it."""

    def luminance(color):
        parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.usefixtures("sketched")
def test_the_page_names_the_tolerance_of_surface_dice(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], settings={"protocol.nsd_tolerance": 2.5})
    assert invoke("report", tmp_path, "--format", "html", "--metric", "nsd")[0] == 0
    assert '<p class="muted">surface Dice (NSD) at 2.5 mm' in (tmp_path / "report" / "nsd" / "index.html").read_text()


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize(
    ("scaled", "grid", "marked"), [(True, "working", 1), (True, "native", 0), (False, "working", 0)]
)
def test_the_page_says_once_where_scaled_slices_were_compared_if_not_on_the_grid_of_the_file(
    tmp_path, scaled, grid, marked
):
    write_run(tmp_path, "random", 0, [0.5, 0.6], settings={"scaled": scaled, "protocol.grid": grid})
    assert invoke("report", tmp_path)[0] == 0
    sentence = "Masks are compared on the working grid, to which slices were scaled, not on the grids of the files."
    assert (tmp_path / "report" / "index.html").read_text().count(sentence) == marked
    assert ((tmp_path / "report" / "tables.md").read_text().count(sentence) > 0) == bool(marked)


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (
            ["missed", "contours"],
            "Labels of the training cases have errors: 30% of the masks each are drawn without objects of less than 10 "
            "mm in diameter, drawn with contours 2 mm too far outside or inside. Validation and test masks are the "
            "true ones.",
        ),
        (
            ["neighbor"],
            "Labels of the training cases have errors: 30% of the masks are taken from an adjacent slice. Validation "
            "and test masks are the true ones.",
        ),
    ],
)
def test_the_page_says_once_which_errors_the_labels_have(tmp_path, kinds, sentence):
    write_run(
        tmp_path, "random", 0, [0.5, 0.6], settings={"protocol.annotation_errors": kinds, "protocol.error_rate": 0.3}
    )
    assert invoke("report", tmp_path)[0] == 0
    assert (tmp_path / "report" / "index.html").read_text().count(sentence) == 1
    assert sentence in (tmp_path / "report" / "tables.md").read_text()


def test_runs_with_different_errors_are_not_compared(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "entropy", 0, [0.5, 0.6], settings={"protocol.annotation_errors": ["contours"]})
    assert len(load(tmp_path).groups) == 2


@pytest.mark.usefixtures("sketched")
def test_a_collection_of_garbage_skips_the_records_while_a_page_is_written_and_is_left_as_it_was(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    counts = []

    def report():
        with patch(
            "albench.reports.page.as_svg", lambda drawing: counts.append(gc.get_freeze_count()) or "<svg></svg>"
        ):
            assert invoke("report", tmp_path, "--format", "html")[0] == 0

    gc.unfreeze()
    try:
        report()
        assert gc.get_freeze_count() == 0
        assert min(counts) > 100_000
    finally:
        gc.freeze()
    before = gc.get_freeze_count()
    report()
    assert 0.9 * before < gc.get_freeze_count() <= before  # some of it may be gone


def test_the_page_needs_no_other_file(page):
    text = page.read_text()
    loaded = re.findall(r"<(?:link|script|img|iframe|source|object)[^>]*(?:src|href|data)=\"([^\"]*)", text)
    assert [address for address in loaded if not address.startswith("data:")] == []
    assert not any(re.match(r"[a-z]+:|//", link) for link in Structure(text).links if not link.startswith("data:"))
    assert "default-src 'none'" in text
    without_names = re.sub(r'xmlns(:xlink)?="[^"]*"', "", text)
    assert re.findall(r"url\((?!#|&quot;#|'#)", without_names) == []
    assert "@import" not in text


def test_no_id_is_used_twice(page):
    ids = Structure(page.read_text()).ids
    glyphs = {one for one in ids if ids.count(one) > 1}
    assert glyphs == set()


def test_the_page_escapes_names(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], title="<script>alert(1)</script>")
    assert invoke("report", tmp_path, "--format", "html")[0] == 0
    text = (tmp_path / "report" / "index.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def sentences(folder, **options):
    results = load(folder, **options)
    return " ".join(summarize(results, results.groups[0]).sentences)


def test_the_summary_names_the_leader_its_lead_and_the_evidence(made):
    said = sentences(made)
    # AUBC from round 1 on: star 0.8, 0.795, 0.79; random 0.65, 0.655, 0.66: gains 0.15, 0.14, 0.13.
    assert said.startswith("star leads with an AUBC of 0.795 in volume Dice, ahead of random by 0.1400 (95 % interval ")
    assert "(95 % interval +0.1152 to +0.1648 over seeds, +0.1" in said
    assert " over seeds and cases). Evidence: the interval excludes 0, but it does not" in said
    assert "sign-flip test p = 0.25, and with 3 seeds it cannot be below 0.25" in said
    assert "when any one seed is left out, the best mean rank goes to star." in said
    assert "Compared with random, better: star" in said
    # star's means are 0.75 with 15 % and 0.84 with 20 %.
    assert "On the monotone mean curve the supervised reference (0.800) is reached by star at 17.8% (95 %" in said


def test_the_summary_says_that_a_lead_may_not_hold_on_other_patients(tmp_path):
    for seed in range(3):
        write_run(tmp_path, "random", seed, [0.3, 0.5 + 0.001 * seed], cases=4)
        write_run(tmp_path, "star", seed, [0.3, 0.6], cases=4, offsets=[0.3, -0.1, -0.1, -0.1])
    said = sentences(tmp_path)
    assert "+0.0965 to +0.1015 over seeds, -0." in said
    assert "the interval over seeds and cases includes 0, so the order may be another one on other patients" in said


def test_the_summary_says_that_a_lead_may_be_chance(tmp_path):
    for seed, (one, other) in enumerate([(0.6, 0.5), (0.6, 0.65), (0.6, 0.6)]):
        write_run(tmp_path, "random", seed, [0.5, one])
        write_run(tmp_path, "star", seed, [0.5, other])
    said = sentences(tmp_path)
    assert "the interval includes 0, so the order of the two may be chance" in said
    assert "No method differs significantly from random" in said
    assert "goes to random or star" in said
    assert "The supervised reference is missing, so it is unknown how many labels suffice." in said


def test_the_summary_of_one_seed_or_one_method_makes_no_claim(tmp_path):
    write_run(tmp_path, "star", 0, [0.5, 0.6])
    assert "star is the only method on made" in sentences(tmp_path)
    write_run(tmp_path, "random", 0, [0.5, 0.5])
    said = sentences(tmp_path)
    assert "Not testable: with one seed the difference may be chance." in said
    assert "better" not in said
    write_run(tmp_path / "apart", "random", 1, [0.5, 0.9])
    write_run(tmp_path / "apart", "star", 0, [0.5, 0.5])
    assert "Not testable: the two share no seed, so the difference may be chance." in sentences(tmp_path / "apart")


def test_a_lead_over_different_seeds_is_not_called_a_lead(tmp_path):
    for seed, (one, other) in enumerate([(0.5, 0.6), (0.9, 0.5)]):
        write_run(tmp_path, "random", seed, [0.5, one])
        write_run(tmp_path, "star", seed, [0.5, other])
    write_run(tmp_path, "entropy", 0, [0.5, 0.4])
    write_run(tmp_path, "margin", 0, [0.5, 0.3])
    said = sentences(tmp_path)
    assert "star has the best mean, an AUBC of 0.550 in volume Dice, but over the 2 seeds that it shares with" in said
    assert "it is not ahead: its gain is -0.1500 (95 % interval" in said


def test_seeds_that_only_one_method_has_do_not_make_it_lead(tmp_path):
    for seed, offset in enumerate([0, 0.001, 0.002]):
        write_run(tmp_path, "random", seed, [0.5, 0.7 + offset])
        write_run(tmp_path, "star", seed, [0.5, 0.6])
    write_run(tmp_path, "star", 3, [0.5, 1.0])
    write_run(tmp_path, "star", 4, [0.5, 1.0])
    said = sentences(tmp_path)
    assert "random leads with an AUBC of 0.701 in volume Dice, ahead of star by 0.1010 (95 % interval +0.09" in said
    assert "the interval excludes 0" in said


def test_a_method_with_missing_seeds_is_not_ranked_and_not_tested(tmp_path):
    for seed in range(4):
        for strategy in ("random", "entropy") if seed < 3 else ("random",):
            write_run(tmp_path, strategy, seed, [0.5, 0.6 + 0.02 * (strategy == "entropy") * (seed + 1)])
        write_run(tmp_path, "full", seed, [0.85])
    write_run(tmp_path, "star", 0, [0.9, 0.9])
    said = sentences(tmp_path)
    assert "Not ranked: methods without a seed that most methods have (star)." in said
    assert said.startswith("No clear leader: entropy has the best mean")
    assert "goes to star" not in said
    assert "No method reaches the supervised reference" in said
    assert "Not tested without two common seeds with different gains: star." in said
    results = load(tmp_path)
    assert set(results.ranks()["label"]) == {"random", "entropy"}


@pytest.mark.parametrize(
    ("seeds", "complete"),
    [
        ({"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3], "c": [0]}, ["a", "b"]),
        ({"a": [0, 1], "b": [0, 1], "c": [2, 3, 4], "d": [2, 3, 4]}, ["a", "b", "c", "d"]),
        ({"a": [0, 1, 2], "b": [3], "c": [3, 4], "d": [0, 1]}, ["a", "b", "c", "d"]),
        ({"a": [0, 1], "b": [0, 1, 2], "c": [0, 2]}, ["a", "b", "c"]),
        ({"a": [0], "b": [1]}, ["a", "b"]),
    ],
)
def test_complete_methods_have_every_seed_that_more_than_half_have(tmp_path, seeds, complete):
    for strategy, own in seeds.items():
        for seed in own:
            write_run(tmp_path, strategy, seed, [0.5, 0.6])
    assert load(tmp_path).groups[0].complete == complete


def test_a_reference_without_a_value_is_not_called_missing(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6])
        write_run(tmp_path, "full", seed, [0.8])
    said = sentences(tmp_path, metric="dice_foreground")
    assert "The supervised reference has no value of this metric" in said
    assert "nan" not in said


def test_the_summary_says_when_seeds_are_too_many_for_the_exact_test(tmp_path):
    for seed in range(17):
        write_run(tmp_path, "random", seed, [0.5, 0.6 + 0.001 * seed])
        write_run(tmp_path, "star", seed, [0.5, 0.7 + 0.002 * seed])
    said = sentences(tmp_path)
    assert "17 seeds are too many for the exact sign-flip test" in said
    assert "nan" not in said


def test_the_mean_of_equal_shares_is_exactly_that_share(tmp_path):
    for strategy in ("random", "star"):
        for seed in range(3 if strategy == "star" else 1):
            write_run(tmp_path, strategy, seed, [0.6], labeled=[10])
    assert "has a value" not in sentences(tmp_path)


def test_the_summary_does_not_count_a_round_that_is_above_the_reference_by_luck(tmp_path):
    for index, last in enumerate((0.72, 0.6)):
        folder = tmp_path / str(index)
        write_run(folder, "random", 0, [0.5, 0.9, last])
        write_run(folder, "full", 0, [0.8], rounds=2)
    assert "(0.800) is reached by random at 14.8%." in sentences(tmp_path / "0")  # monotone: 0.5, 0.81, 0.81
    assert "No method reaches the supervised reference (0.800) with up to 20.0%" in sentences(tmp_path / "1")


@pytest.mark.parametrize(("methods", "others"), [(3, ""), (4, ", and by 1 other"), (5, ", and by 2 others")])
def test_the_summary_names_the_three_methods_that_reach_the_reference_with_fewest_labels(tmp_path, methods, others):
    strategies = ["random", "entropy", "margin", "bald", "core-set"][:methods]
    for strategy, last in zip(strategies, (0.9, 0.8, 1.0, 0.75, 0.74), strict=False):
        write_run(tmp_path, strategy, 0, [0.5, 0.6, last])
    write_run(tmp_path, "full", 0, [0.7], rounds=2)
    # Between 15 and 20 %, by 0.1 of 0.4, 0.3 and 0.2.
    said = "(0.700) is reached by margin at 16.2%; random at 16.7%; entropy at 17.5%"
    assert f"{said}{others}." in sentences(tmp_path)


def test_the_gain_in_a_distance_is_in_millimeters(made):
    assert "ahead of random by 1.4000 mm" in sentences(made, metric="hd95")


def browse(page, tmp_path, script, *, width=1280, dark=False):
    """The value of a script that runs on the page, in a frame as wide as a screen."""
    framed = page.read_text().replace(
        "</body>", f"<script>parent.postMessage(JSON.stringify((() => {{ {script} }})()), '*');</script></body>"
    )
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(framed)}">'
        '</iframe><script>onmessage = (event) => document.body.textContent = "said" + event.data + "said";</script>'
    )
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000"]
    command += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [*command, "--dump-dom", f"file://{frame}"], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(html.unescape(done.stdout.split("said")[1]))


in_a_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen(page, tmp_path, width):
    script = """
    document.querySelectorAll("details").forEach((one) => one.open = true);
    const root = document.documentElement;
    const small = [...document.querySelectorAll("body *")].filter((one) => !one.closest("svg"));
    const sizes = small.filter((one) => one.childNodes.length && one.textContent.trim())
        .map((one) => parseFloat(getComputedStyle(one).fontSize));
    return {scroll: root.scrollWidth, screen: root.clientWidth, font: Math.min(...sizes)};
    """
    said = browse(page, tmp_path, script, width=width)
    assert said["scroll"] <= said["screen"]
    assert said["screen"] in (width, width - 15)  # a scroll bar may take its place
    assert said["font"] >= 10


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_wide_table_says_that_it_scrolls_and_keeps_its_first_column(page, tmp_path, width):
    script = """
    return [...document.querySelectorAll("table.sortable")].map((table) => {
        const box = table.parentElement, hint = box.previousElementSibling, cell = table.tBodies[0].rows[0].cells[0];
        const wide = box.scrollWidth > box.clientWidth, before = cell.getBoundingClientRect();
        box.scrollLeft = 10000;
        const after = cell.getBoundingClientRect();
        return {
            wide, words: hint.textContent, hidden: hint.hidden, keyboard: box.tabIndex, scrolled: box.scrollLeft,
            moved: Math.abs(after.left - before.left), part: after.width / box.clientWidth,
        };
    });
    """
    said = browse(page, tmp_path, script, width=width)
    assert any(table["wide"] for table in said)
    for table in said:
        assert table["words"] == "Scroll sideways to see all →"
        assert table["hidden"] != table["wide"]
        assert table["keyboard"] == (0 if table["wide"] else -1)
        assert (table["scrolled"] > 0) == table["wide"]
        assert table["moved"] < 1
        assert table["part"] < 0.5


@pytest.mark.slow
@in_a_browser
def test_a_click_on_a_title_sorts_by_numbers_with_missing_ones_last(page, tmp_path):
    script = """
    const table = document.querySelector("#table1-made table");
    const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim());
    const click = (column) => (table.tHead.rows[0].cells[column].querySelector("button").click(), names());
    return [click(5), click(5), click(6), click(6), click(0)];
    """
    said = browse(page, tmp_path, script)
    # No round is near 25% and 30%, so they have no column.
    # max(p): entropy 0.62, random 0.7, star 0.84; only star reaches the reference.
    assert said[0] == ["entropy", "random", "star"]
    assert said[1] == ["star", "random", "entropy"]
    assert (said[2][0], said[3][0]) == ("star", "star")
    assert said[4] == ["entropy", "random", "star"]


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("dark", [False, True])
def test_text_has_enough_contrast_in_light_and_dark(page, tmp_path, dark):
    script = """
    const light = (color) => {
        const [r, g, b] = color.match(/[0-9.]+/g).map((part) => {
            const value = part / 255;
            return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (one) => {
        for (; one; one = one.parentElement) {
            const color = getComputedStyle(one).backgroundColor;
            if (!/, 0\\)$/.test(color)) return color;
        }
        return "rgb(255, 255, 255)";
    };
    const chosen = document.querySelectorAll("p, td, th, h1, h2, h3, a, dd, dt, li, summary, .drawing");
    return [...chosen].map((one) => {
        const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
        return [(a + 0.05) / (b + 0.05), one.tagName, light(behind(one))];
    });
    """
    said = browse(page, tmp_path, script, dark=dark)
    assert min(said)[0] > 4.5, min(said)
    assert all((background < 0.1) == dark for _, _, background in said)


@pytest.mark.slow
def test_a_large_report_takes_less_than_a_gibibyte(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(11):
        strategy = "star" if index == 10 else f"method-{index}"
        for seed in range(5):
            dice = 0.6 + 0.3 * (1 - np.exp(-np.arange(17) / 5)) + rng.normal(0, 0.01, 17) + index / 500
            labeled = [10 + 2 * index for index in range(17)]
            write_run(tmp_path, strategy, seed, dice.tolist(), cases=12, side=0 if seed else 512, labeled=labeled)
    code = (
        "import sys\n"
        "from albench.machine import peak_memory\n"
        "from albench.cli.main import main\n"
        f"sys.argv = ['albench', 'report', {str(tmp_path)!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(peak_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert int(done.stdout.split()[-1]) < 1024**3
