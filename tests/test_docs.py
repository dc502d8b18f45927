"""What the documents say is true: commands, names, paths, tables and examples."""

import importlib
import importlib.util
import inspect
import itertools
import math
import re
import shlex
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from support import made_runs
from support.forks import audits_by_forks
from support.manual_tables import manual_tables
from support.markdown import Document
from support.published import published
from support.samples import TINY, TINY_TRAINING
from support.suites import write_suite

import albench
from albench import benchmarks, config
from albench.benchmarks.suite import load_suite, suite_names
from albench.bundles import published_results, read_bundle
from albench.bundles.manifest import BUNDLE, TABLES
from albench.bundles.public import check_public
from albench.bundles.tables import unpacked_text
from albench.embeddings import read_embeddings
from albench.network import Task
from albench.registry import DATASETS, NETWORKS, STRATEGIES, available, find
from albench.reports.report import all_tables
from albench.runs.layout import RunLayout
from albench.runs.records import Metrics, RoundRecord
from albench.testing import check_network, check_strategy

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING, CHANGELOG = (
    Document.read(ROOT / name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
)
MANUAL = {path.stem: Document.read(path) for path in sorted((ROOT / "docs").glob("*.md"))}
DOCUMENTS = [README, CONTRIBUTING, *MANUAL.values()]
ROOMS = {"albench", "strategies", "datasets", "benchmarks", "reports", "examples", "tests", "docs", ".github", ".ci"}
PLACEHOLDER = "NAME"  # in a path of a file that a reader writes

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.path.name)


def own(group: str) -> set[str]:
    """Names of albench's own strategies or datasets."""
    return {entry.name for entry in available(group) if entry.cls and entry.cls.__module__.startswith(f"{group}.")}


@pytest.fixture(scope="module")
def main():
    from typer.main import get_command

    from albench.cli.main import app

    return get_command(app)


def command_of(command, words):
    """The command that a line calls, and the words after its name."""
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options(command) -> set[str]:
    """Options of a command and of the commands below it."""
    below = {option for one in getattr(command, "commands", {}).values() for option in options(one)}
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {"--help"} | own | below


@each_document
def test_the_command_lines_of_a_document_can_be_parsed(document, main):
    for line in document.shell:
        words = shlex.split(line.partition(" > ")[0], comments=True)
        if words and words[0].removeprefix(".venv/bin/") == "albench":
            command, arguments = command_of(main, words[1:])
            command.make_context(words[1], list(arguments))  # raises UsageError


SHELLS = {
    "bash": ["bash", "-O", "failglob", "-c"],  # which rejects a pattern without a file, as zsh does
    "zsh": ["zsh", "-f", "-c"],
}


@pytest.mark.parametrize("shell", SHELLS)
@each_document
def test_a_shell_gives_the_words_of_a_command_line_to_the_command(document, shell, tmp_path):
    """A pattern such as [1,2] must be quoted, and no word may be a history, a home or a variable."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    lines = [line.partition(" > ")[0] for line in document.shell]
    lines = [line for line in lines if "$" not in line]  # of a script that sets the variable
    split = {line: words for line in lines for words in [_words(line)] if words and _is_command(words[0])}
    for line, words in split.items():
        script = f"printf '%s\\0' {line}"
        got = subprocess.run([*SHELLS[shell], script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (got.stdout.split("\0")[:-1], got.stderr) == (words, ""), line


def _words(line: str) -> list[str]:
    """The words of a line; none of one that is no command."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


def _is_command(word: str) -> bool:
    return word.removeprefix(".venv/bin/") in ("albench", "make", "pip", "pytest", "pre-commit", "python", "source")


@each_document
def test_the_commands_and_options_that_the_text_names_exist(document, main):
    for span in document.spans:
        if span.startswith("albench "):
            command, arguments = command_of(main, span.split()[1:])
            assert {word for word in arguments if word.startswith("--")} <= options(command), span
        elif re.fullmatch(r"--[a-z-]+( .*)?", span):
            assert span.split()[0] in options(main), span


@each_document
def test_the_targets_of_make_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for code in document.code:
        if code.startswith("make "):
            assert set(code.partition("#")[0].split()[1:]) <= targets, code


@each_document
def test_the_tests_that_a_document_selects_exist(document):
    for line in document.shell:
        words = shlex.split(line, comments=True)
        if words and words[0].endswith("pytest"):
            (path,) = (word for word in words if word.endswith(".py"))
            names = re.findall(r"def (test_\w+)", (ROOT / path).read_text())
            wanted = words[words.index("-k") + 1] if "-k" in words else ""
            assert any(wanted in name for name in names), line


@each_document
def test_the_python_names_of_a_document_exist(document):
    for name in {name for code in document.code for name in re.findall(r"(?<![\w/.])albench(?:\.[A-Za-z_]\w*)+", code)}:
        assert resolved(name), name


def resolved(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_the_new_names_of_the_changelog_exist():
    """Those that no later version has renamed."""
    rows = [row.split("|") for row in (ROOT / "CHANGELOG.md").read_text().splitlines() if row.startswith("| ")]
    old, new = ({name for row in rows for name in re.findall(r"albench(?:\.[A-Za-z_]\w*)+", row[i])} for i in (2, 3))
    names = new - old
    assert names
    assert {name for name in names if not resolved(name)} == set()


@each_document
def test_the_repository_paths_of_a_document_exist(document):
    for word in {word for code in document.code for word in re.split(r"[\s(),;:=]+", code)}:
        first, slash, _ = word.partition("/")
        in_a_room = slash and first in ROOMS and PLACEHOLDER not in word
        if in_a_room or word.endswith((".cfg", ".toml", ".cff")) or word in ("Makefile", "constraints.txt"):
            assert (ROOT / word).exists(), word


@each_document
def test_the_settings_of_a_document_exist(document):
    known = {
        f"{section}.{field.name}"
        for section, cls in (("protocol", config.Protocol), ("training", config.Training))
        for field in fields(cls)
    }
    for section, group in (("data", DATASETS), ("network", NETWORKS)):
        known |= {f"{section}.{field.name}" for name in own(group) for field in fields(find(group, name))}
    for code in document.code:
        for name in re.findall(r"(?:^|\s|')((?:protocol|training|network|data)\.[a-z_]+)(?=[=\s]|$)", code):
            assert name in known, name


@each_document
def test_the_links_of_a_document_lead_somewhere(document):
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", document.prose):
        if target.startswith("http"):
            continue
        path = document.path.parent / target if target else document.path
        assert path.exists(), target
        assert not anchor or anchor in Document.read(path).anchors, anchor


def test_the_readme_is_short():
    assert len(README.text.splitlines()) <= 110


def test_the_readme_lists_every_strategy_by_its_kind_and_no_other():
    rows = re.findall(r"^\| ([a-z-]+) \| (`.*`) \|$", README.section("Strategies"), re.MULTILINE)
    kinds = {name: kind for kind, names in rows for name in re.findall("`(.*?)`", names)}
    assert kinds == {name: find(STRATEGIES, name).kind for name in own(STRATEGIES)}


def test_the_manual_lists_every_strategy_with_kind_cost_and_source_and_no_other():
    table = re.findall(r"^\| `.*\|$", MANUAL["strategies"].text, re.MULTILINE)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    rows = [(name.strip("`"), kind, number, source) for name, kind, _, number, source in cells]
    expected = [(name, find(STRATEGIES, name)) for name in own(STRATEGIES)]
    assert sorted(rows) == sorted(
        (name, cls.kind, f"{cls().predictions_per_slice():.3g}", cls.paper) for name, cls in expected
    )


def test_the_readme_lists_every_dataset_and_no_other():
    assert sorted(README.first_cells("dataset")) == sorted(own(DATASETS))


def test_the_manual_lists_every_network_and_no_other():
    assert sorted(MANUAL["add-a-network"].first_cells("network")) == sorted(own(NETWORKS))


def test_the_suites_are_all_listed():
    assert sorted(MANUAL["cluster"].first_cells("suite")) == suite_names()


def test_the_metrics_are_all_explained():
    assert MANUAL["how-it-works"].first_cells("metric") == [field.name for field in fields(Metrics)]


def test_the_fields_of_a_record_are_all_explained():
    assert sorted(MANUAL["how-it-works"].first_cells("field")) == sorted(field.name for field in fields(RoundRecord))


def test_the_files_of_a_run_are_all_listed():
    run = RunLayout(Path())
    paths = [*run.header, run.records, run.scores, run.failure]
    one = run.round(3)
    paths += [one.query, one.answers, one.audit, one.pseudo, one.predictions, one.arrays, one.weights]
    (tree,) = (block for block in MANUAL["how-it-works"].indented if "config.json" in block)
    listed = [line.split()[0] for line in tree.splitlines()[1:] if not line.split()[0].endswith("/")]
    assert sorted(listed) == sorted(path.name for path in paths)


def test_the_measurements_of_speed_are_all_explained():
    modules = {path.stem for path in (ROOT / "benchmarks" / "speed").glob("*.py") if not path.stem.startswith("__")}
    measuring = {name for name in modules if "def measure()" in (ROOT / f"benchmarks/speed/{name}.py").read_text()}
    assert set(MANUAL["performance"].first_cells("module")) == measuring
    assert modules <= set(MANUAL["performance"].spans)


def test_the_map_shows_every_package_and_only_what_exists():
    (block,) = (block for block in CONTRIBUTING.indented if "albench/cli/" in block)
    rooms = [line.split()[0].rstrip("/") for line in block.splitlines()]
    assert [room for room in rooms if not (ROOT / room).is_dir()] == []
    top = ("albench", "strategies", "datasets", "benchmarks", "reports")
    packages = {path.parent.relative_to(ROOT).as_posix() for name in top for path in (ROOT / name).rglob("__init__.py")}
    assert packages <= set(rooms)


def test_the_changelog_and_the_citation_are_of_this_version():
    newest = re.search(r"^## ([\d.]+) - (\d{4}-\d\d-\d\d)$", CHANGELOG.text, re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest.groups() == (albench.__version__, str(citation["date-released"]))
    assert citation["version"] == albench.__version__


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The file of the strategy in 15 lines, and the outcome of the contract kit."""
    code, _ = MANUAL["add-a-strategy"].fenced("python")
    path = tmp_path_factory.mktemp("example") / "least_confidence.py"
    path.write_text(code)
    with audits_by_forks():
        return code, check_strategy(find(STRATEGIES, f"{path}:LeastConfidence")())


@pytest.mark.slow
def test_the_strategy_in_15_lines_is_that_short_and_passes_the_contract_kit(example):
    code, checks = example
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    assert [check for check in checks if not check.passed] == []


@pytest.mark.slow
def test_the_rules_in_the_document_are_those_of_the_kit(example):
    _, checks = example
    listed = re.findall(r"^- (.*?)[,.]$", MANUAL["add-a-strategy"].section("The rules"), re.MULTILINE)
    assert listed == [check.rule for check in checks]


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_the_strategy_with_a_training_of_its_own_passes_the_contract_kit_and_takes_equal_steps(tmp_path):
    _, code = MANUAL["add-a-strategy"].fenced("python")
    path = tmp_path / "half_pseudo.py"
    path.write_text(code)
    plugin = f"{path}:HalfPseudo"
    assert [check for check in check_strategy(find(STRATEGIES, plugin)()) if not check.passed] == []
    matched = {"protocol.compute": "matched", "protocol.steps": 6, "protocol.rounds": 2}
    records = albench.run(plugin, "phantom", settings=TINY | matched, out=tmp_path / "run", device="cpu").records
    assert [[training.steps for training in record.fit_trainings] for record in records] == [[3, 3]] * 3
    assert [record.pseudo.count for record in records] == [0, 10, 10]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The file of the network in 20 lines, and the outcome of the contract kit."""
    code, _ = MANUAL["add-a-network"].fenced("python")
    path = tmp_path_factory.mktemp("example") / "my_net.py"
    path.write_text(code)
    return code, check_network(find(NETWORKS, f"{path}:MyNet")())


def test_the_network_in_20_lines_is_that_short_and_follows_the_rules_in_the_document(network):
    code, checks = network
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    assert [check for check in checks if not check.passed] == []
    listed = re.findall(r"^- (.*?)[,.]$", MANUAL["add-a-network"].section("The rules"), re.MULTILINE)
    assert listed == [check.rule for check in checks]


def test_the_vectors_of_another_encoder_are_a_file_of_embeddings(tiny, tmp_path, monkeypatch):
    _, code = MANUAL["add-a-network"].fenced("python")
    monkeypatch.chdir(tmp_path)
    data = {name: value for name, value in TINY.items() if name.startswith("data.")}
    exec(compile(code.replace('"phantom", {}', f'"phantom", {data}'), "<example>", "exec"), {})
    slices = tiny.stack(tiny.cases)
    assert read_embeddings(Path("vectors.npz"), slices).shape == (len(slices), 512)


EXAMPLES = [
    pytest.param(code, id=f"{document.path.name}-{number}")
    for document in DOCUMENTS
    for number, code in enumerate(document.fenced("python"), 1)
    if document not in [MANUAL[name] for name in ("add-a-strategy", "add-a-network", "annotate", "questions")]
]  # plugins have tests of their own, and tests/cli/test_annotate.py has a project


@pytest.fixture
def workplace(tmp_path, monkeypatch, decathlon):
    """A folder with everything that the examples use; what they run is tiny."""
    monkeypatch.chdir(tmp_path)
    decathlon.rename("Task04_Hippocampus")
    write_suite(tmp_path, ["random", "full"], name="smoke", seeds=1)
    Path("mine.yaml").write_text(MANUAL["cluster"].fenced("yaml")[0])
    idea, _ = MANUAL["add-a-strategy"].fenced("python")
    Path("my_idea.py").write_text(idea.replace("LeastConfidence", "MyIdea").replace("least-confidence", "my-idea"))
    spleen = Path("runs/paper-spleen").absolute()
    runs = itertools.product(("random", "star"), (0, 1))
    folders = {(name, seed): made_runs.write_run(spleen, name, seed, [0.5, 0.6], side=24) for name, seed in runs}
    made_runs.write_suite(spleen, [(name, "spleen", folder) for (name, _), folder in folders.items()])

    run, plan_suite, run_suite = albench.run, benchmarks.plan_suite, benchmarks.run_suite
    training = {
        name: value for name, value in TINY_TRAINING.items() if name not in ("protocol.budget", "protocol.split")
    }

    def tiny_run(*arguments, **options):
        inspect.signature(run).bind(*arguments, **options)
        return run(*arguments, **options | {"settings": TINY | {"network.backbone": "resnet18"}, "device": "cpu"})

    def tiny_plan(suite, **options):
        inspect.signature(plan_suite).bind(suite, **options)
        settings = {**(options.get("settings") or {}), **training}
        return plan_suite(str(Path(suite).with_suffix(".yaml")), **options | {"settings": settings, "seeds": [0]})

    def tiny_suite(suite, **options):
        inspect.signature(run_suite).bind(suite, **options)
        plan = tiny_plan(suite) if isinstance(suite, str) else suite
        outcome = run_suite(plan, **options | {"use_ray": False, "device": "cpu", "cpus_per_run": 1})
        assert outcome.finished
        assert not outcome.failures
        return outcome

    monkeypatch.setattr(albench, "run", tiny_run)
    monkeypatch.setattr(benchmarks, "plan_suite", tiny_plan)
    monkeypatch.setattr(benchmarks, "run_suite", tiny_suite)


@each_document
def test_every_block_of_code_is_in_a_language_that_is_tested(document):
    fences = re.findall(r"^ *```(.*)$", document.text, re.MULTILINE)
    assert set(fences[::2]) <= {"python", "yaml", "bash"}
    assert set(fences[1::2]) <= {""}
    assert not [line for block in document.indented for line in block.splitlines() if line.startswith(">>>")]


@each_document
def test_the_scripts_of_a_document_can_be_read_by_the_shell(document):
    for script in document.fenced("bash"):
        read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert read.stderr == ""


def test_the_wrappers_in_the_document_can_be_loaded(tmp_path):
    path = tmp_path / "wrapped.yaml"
    (strategies,) = MANUAL["add-a-strategy"].fenced("yaml")
    path.write_text(f"dataset: phantom\nseeds: 1\n{strategies}")
    suite = load_suite(str(path))
    assert [run.label for run in suite.runs] == ["stochastic-batches", "BALD at a distance"]


def test_the_u_net_in_the_document_follows_the_rules(tmp_path):
    (code,) = MANUAL["questions"].fenced("python")
    path = tmp_path / "my_unet.py"
    path.write_text(code)
    network = find(NETWORKS, f"{path}:MyUNet")
    assert [check for check in check_network(network()) if not check.passed] == []
    task = Task(1, (32, 32), network())
    module = network().build(task)
    weights = {name: torch.full_like(value, 2) for name, value in module.state_dict().items()}
    torch.save(weights, tmp_path / "weights.pt")
    loaded = network(weights=str(tmp_path / "weights.pt")).build(task).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_the_study_in_the_document_can_be_loaded(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(MANUAL["cluster"].fenced("yaml")[1])
    runs = load_suite(str(path), seeds=[0]).runs
    assert list(dict.fromkeys(run.group for run in runs)) == [
        *("phantom, few labels", "phantom, many labels", "hippocampus, few labels", "hippocampus, many labels"),
        "lesions, few labels",
    ]
    assert runs[-1].settings["data.root"] == str(tmp_path / "lesions")
    assert {run.group for run in load_suite(str(path), dataset=["phantom", "lesions"]).runs} == {
        *("phantom, few labels", "phantom, many labels", "lesions, few labels"),
    }


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_examples_of_the_documents_run(code, workplace, capsys):
    exec(compile(code, "<example>", "exec"), {"__name__": "__main__"})
    assert "Traceback" not in capsys.readouterr().err


def test_the_lists_of_files_in_the_document_can_be_read(tmp_path):
    from albench.datasets._listing import read_listing

    blocks = MANUAL["data"].indented
    lists = {
        "list.csv": next(block for block in blocks if block.startswith("image,mask,patient")),
        "list.yaml": next(block for block in blocks if "volumes:" in block),
    }
    (tmp_path / "anna").mkdir()
    for name in ("before", "before-mask", "after", "after-mask"):
        (tmp_path / "anna" / f"{name}.nii.gz").touch()
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        found = read_listing(tmp_path / name)
        assert set(found.patients.values()) == {"anna"}
        assert not found.problems
    assert len(read_listing(tmp_path / "list.csv").volumes) == 2


def test_the_study_of_when_training_ends_gives_its_table():
    study = pd.read_csv(ROOT / "docs/studies/when-training-ends.csv", keep_default_na=False)
    expected = []
    for (dataset, stop, patience, floor), runs in study.groupby(
        ["dataset", "stop", "patience", "min_steps"], sort=False
    ):
        assert sorted(runs.seed) == list(range(12))
        dice = runs.test_dice_volume
        numbers = (f"{dice.mean():.3f}", f"{dice.std():.3f}", f"{dice.min():.3f}", f"{runs.steps.mean():.0f}")
        expected.append("| " + " | ".join([dataset, f"`{stop}`", patience, str(floor), *numbers]) + " |")
    text = (ROOT / "docs/fair-comparison.md").read_text()
    found = [line for line in text.splitlines() if re.match(r"\| (hippocampus|phantom) \|", line)]
    assert [line.replace(" | | ", " |  | ") for line in found] == expected


def test_the_fair_suite_gives_its_sentences():
    words, found = " ".join(MANUAL["fair-comparison"].text.split()), published("fair-hippocampus")
    methods, rivals = found.efficiency(), found.differences().query("kind == 'baseline'").set_index("label")
    parts = found.attribution().query("label == 'star'").set_index("part")
    for part in ("query", "training", "both"):
        row = parts.loc[part]
        assert f"{row.gain:+.4f} ({_range(row.low, row.high)})" in words
    best = rivals.loc[rivals.gain.idxmax()]
    assert f"({len(rivals)} comparisons, smallest p = {rivals.t_holm.min():.2f})" in words
    assert f"The best, `{best.name}`, leads `random` by {best.gain:.4f} ({_range(best.low, best.high)})" in words
    excluding = rivals[(rivals.low > 0) | (rivals.high < 0)]
    assert (list(excluding.index), bool(excluding.gain.max() < 0)) == (["taal"], True)
    assert f"{methods.reference.iloc[0]:.3f} ± {methods.reference_sd.iloc[0]:.3f}" in words
    assert (methods.reach == math.inf).all()
    labels = found.pseudo_labels().query("label == 'star'")
    empty = (labels["count"] * labels.empty_share).sum()
    assert f"{empty:,.0f} of its {labels['count'].sum():,} pseudo-labels are empty" in words
    first = found.curves().query("round == 0").pivot_table("value", "seed", "label")
    chance = (first["taal query, supervised"] - first["random"]).abs()
    assert f"by {chance.min():.3f} to {chance.max():.3f} in volume Dice" in words


def test_the_menu_gives_its_sentences():
    words, found = " ".join(MANUAL["strategies"].text.split()), published("menu-hippocampus")
    methods, rivals = found.efficiency(), found.differences().query("kind == 'baseline'").set_index("label")
    assert set(methods.label) == own(STRATEGIES) - {"full"}
    assert f"({len(rivals)} comparisons, smallest p = {rivals.t_holm.min():.2f})" in words
    assert f"range of all {len(methods)} methods is {methods.aubc.max() - methods.aubc.min():.3f}" in words
    assert f"{methods.reference.iloc[0]:.3f} ± {methods.reference_sd.iloc[0]:.3f}" in words
    excluding = rivals[(rivals.low > 0) | (rivals.high < 0)]
    assert (list(excluding.index), set(rivals.least)) == (["strided"], {0.25})
    assert f"{len(found.collection.runs)} runs on two CPU cores (x86, torch 2.13.0+cpu)" in words


def test_own_compute_gives_its_sentences():
    words, found = " ".join(MANUAL["strategies"].text.split()), published("own-compute-hippocampus")
    methods, rivals = found.efficiency(), found.differences().query("kind == 'baseline'").set_index("label")
    assert f"All {len(found.collection.runs)} runs are of two CPU cores" in words
    assert f"({len(rivals)} comparisons, smallest p = {rivals.t_holm.min():.2f})" in words
    assert f"reference, {methods.reference.iloc[0]:.3f} ± {methods.reference_sd.iloc[0]:.3f}." in words
    assert methods.final.max() < methods.reference.iloc[0]
    above, below = ([*rivals[found].index] for found in (rivals.low > 0, rivals.high < 0))
    assert (above, below) == (["star", "star, random query", "star, no pseudo-labels"], [])
    assert rivals.gain["star query, supervised"] < 0


def test_the_lead_of_strided_in_the_text_is_that_of_five_seeds():
    gain = published("fair-hippocampus").differences().query("label == 'strided' and kind == 'baseline'").gain.item()
    assert f"it leads `random` by {gain:.4f} only" in " ".join(MANUAL["strategies"].text.split())


@pytest.mark.parametrize("path", sorted(MANUAL), ids=str)
def test_the_tables_of_the_manual_are_those_of_the_published_results(path):
    for table in manual_tables(MANUAL[path].path):
        assert table.text == table.computed(), f"PYTHONPATH=tests python -m support.manual_tables writes {path}.md anew"


@pytest.mark.parametrize("name", published_results())
def test_published_results_give_all_tables_and_are_in_the_manual(name):
    results = published(name)
    assert not results.collection.problems
    tables = list(all_tables(results))
    assert all(table.rows for table in tables)
    assert name in {table.bundle for document in MANUAL.values() for table in manual_tables(document.path)}
    manifest = read_bundle(published_results()[name]).manifest
    assert (manifest.license, manifest.data_license) == ("CC BY 4.0", "CC BY-SA 4.0"), "as docs/questions.md says"
    assert manifest.commits
    assert manifest.commands
    files = {path.name: path.read_bytes() for path in published_results()[name].iterdir()}
    assert files.keys() == {BUNDLE, *TABLES}, "no image, no mask, nothing else"
    for file, content in files.items():
        check_public(content.decode() if file == BUNDLE else unpacked_text(content))
    assert sum(map(len, files.values())) < 1.5e6, "the wheel would grow by it"


def _range(low: float, high: float) -> str:
    return f"{low:+.4f} to {high:+.4f}"


@pytest.fixture(scope="module")
def findings():
    """The script that writes the numbers of docs/findings.md."""
    spec = importlib.util.spec_from_file_location("findings", ROOT / "docs/studies/findings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_number_of_the_findings_follows_from_its_record(findings):
    page = MANUAL["findings"].text
    assert findings.rendered(page) == page, "run python docs/studies/findings.py, and read the page"


def test_the_figure_of_the_findings_shows_their_tables(findings):
    with Image.open(ROOT / "docs/findings.png") as figure:
        assert figure.text["Source"] == findings.drawn_from(), "run python docs/studies/findings.py"
    gains, parts = findings.draw().axes
    shown = [text.get_text() for text in gains.get_yticklabels()]
    assert shown == sorted(shown, key=lambda label: -findings.gains_over_best()[label].gain)
    points = [line.get_xdata()[0] for line in parts.lines if line.get_marker() == "o"]
    assert points == [test.difference for test in findings.parts_tested().values()]


def test_the_findings_have_no_number_beside_those():
    """In the other sentences, which nothing recomputes; what others found is cited in a section of its own."""
    own = MANUAL["findings"].text.partition("\n## What is known of other data\n")[0]
    written = re.sub(r"<!-- [a-z-]+ -->.*?<!-- end -->", "", own, flags=re.DOTALL)
    written = re.sub(r"95 % (t\s)?intervals", "", written)
    assert re.findall(r"\d+", re.sub(r"\([^)]*\)|`[^`]*`", "", written)) == ["0"]  # of round 0


@pytest.mark.parametrize("name", ["fair-hippocampus", "own-compute-hippocampus"])
def test_the_findings_compute_the_numbers_of_the_report(findings, name):
    report, areas = findings.published(name), findings.areas(name)
    for row in report.differences().query("kind == 'baseline'").itertuples():
        found = findings.paired(findings.over(row.label, row.rival, areas))
        assert (found.difference, found.low, found.high, found.t) == pytest.approx((row.gain, row.low, row.high, row.t))
    rows = report.attribution().set_index(["label", "part"])
    attributed = findings.attributed(name)
    assert set(attributed) == {"ceal-entropy", "taal", "star"}
    for label, parts in attributed.items():
        for part in ("query", "query, supervised", "training", "both", "interaction"):
            row, found = rows.loc[(label, part)], findings.paired(findings.contrast(parts[part], areas))
            assert (found.difference, found.low) == pytest.approx((row.gain, row.low))
        seeds = {part: findings.contrast(weights, areas) for part, weights in parts.items()}
        for seed, interaction in seeds["interaction"].items():
            assert interaction == pytest.approx(seeds["query"][seed] - seeds["query, supervised"][seed])


def test_areas_of_two_suites_are_between_the_labels_that_both_have(findings):
    menu, own = (findings.curves_of(f"{name}-hippocampus") for name in ("menu", "own-compute"))
    assert findings.areas_in_common(menu) == [findings.areas("menu-hippocampus")]
    for curves, areas in zip((menu, own), findings.areas_in_common(menu, own), strict=True):
        curve = curves["star"]
        assert curve.labeled[1:3].tolist() == [168, 218]
        assert list(areas["star"].values()) == pytest.approx(curve.values[:, 1:3].mean(1))  # two rounds, one trapezoid


def test_the_gains_of_every_setting_are_those_of_the_report(findings):
    rows = {row.split("|")[1].strip(): row for row in findings.one_change().splitlines() if row.startswith("| ")}
    found = findings.published("ablations-hippocampus").differences().query("kind == 'baseline'")
    assert found.groupby("group").size().to_dict() == dict.fromkeys(list(rows)[2:], 3)
    for row in found.itertuples():
        assert f"{row.gain:+.4f} ({row.low:+.4f} to {row.high:+.4f})" in rows[row.group]


def test_the_reference_of_the_ablations_repeats_the_menu(findings):
    menu, reference = (findings.published(f"{name}-hippocampus").curves() for name in ("menu", "ablations"))
    reference, columns = reference[reference.group == "reference"], ["label", "seed", "round", "labeled", "value"]
    assert len(reference) == 4 * 3 * 3  # methods, seeds, rounds
    merged = reference[columns].merge(menu[columns], on=columns)
    assert len(merged) == len(reference), "docs/findings.md says that the numbers are the same"


def test_the_steps_of_the_findings_are_those_of_the_suites(findings):
    text = findings.longer_training()
    costs = {suite: findings.published(f"{suite}-hippocampus").costs() for suite in ("menu", "own-compute")}
    taken = {
        suite: table[table.seed.isin(costs["menu"].seed)].groupby(["label", "seed"]).steps.agg(["max", "size"])
        for suite, table in costs.items()
    }
    means = {suite: (own["max"] / own["size"]).groupby("label").mean() for suite, own in taken.items()}
    assert set(means["menu"]) == {200}
    assert "instead of 200." in text
    assert f"(`random`: {means['own-compute']['random']:.0f})" in text
    assert f"| star | {means['own-compute']['star']:.0f} |" in text
    assert means["own-compute"].min() >= config.Training().min_steps


def test_the_findings_know_arms_and_baselines_from_methods(findings):
    assert [label for label in findings.areas() if findings.is_arm(label)] == [
        *("ceal-entropy, random query", "taal, random query", "taal query, supervised", "star, random query"),
        "star query, supervised",
    ]
    assert not {"random", "foreground-random", "stratified", "strided"} & set(findings.methods())


def test_the_default_end_of_a_training_is_the_best_of_the_study():
    training = config.Training()
    assert (training.stop, training.patience, training.patience_steps, training.min_steps) == ("val_dice", 5, 100, 300)
    study = pd.read_csv(ROOT / "docs/studies/when-training-ends.csv", keep_default_na=False)
    early = study[study.patience.str.contains("epochs")]
    for _, rules in early.groupby("dataset"):
        worst = rules.groupby(["stop", "patience", "min_steps"]).test_dice_volume.min()
        assert worst.idxmax() == ("val_dice", "5 epochs and 100 steps", "300")
    hippocampus = early[(early.dataset == "hippocampus") & (early.min_steps == "300")]
    assert hippocampus.test_dice_volume.min() > 0.6
