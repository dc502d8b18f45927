"""Costs per slice of devices: between sizes, of other options, and as the records have them."""

import json
import math
import re
from pathlib import Path

import pytest
from support.samples import TINY
from support.slow import slow_but
from support.suites import write_suite

from albench.benchmarks import speed
from albench.benchmarks.cost_sources import MadeUpProbe, Records
from albench.benchmarks.estimate import Probe, RunCost, estimate
from albench.benchmarks.network_size import NetworkSize
from albench.benchmarks.plan import PlannedRun, plan_runs
from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.paper_round import Size, resolved
from albench.benchmarks.suite import load_suite
from albench.benchmarks.unit_costs import REFERENCE, UnitCosts, recorded_costs
from albench.run_session import Execution
from albench.training.device import choose_device

RECORDS = Path(speed.__path__[0]) / "records"
PLUGIN = """
from dataclasses import dataclass
from albench.strategy import Query, Strategy

@dataclass(frozen=True)
class Mine(Strategy):
    def query(self, ctx):
        return Query(ctx.pool.unlabeled[: ctx.budget])
"""


def planned(folder, *strategies, **settings):
    """One run of every strategy on the tiny phantom, by label."""
    path = write_suite(folder, strategies, seeds=1)
    return {run.spec.label: run for run in plan_runs(load_suite(str(path), settings=TINY | settings))}


def costs(**methods):
    """Costs that grow with the square of the arithmetic, and of some methods at 1 GFLOP."""
    sizes = {1.0: 1, 4.0: 16}
    reference = {size: Probe(3 * factor, 2 * factor, 1 * factor, 0) for size, factor in sizes.items()}
    measured = {size: {REFERENCE: cost} for size, cost in reference.items()}
    return UnitCosts("device", "source", measured | {1.0: {**measured[1.0], **methods}})


@pytest.mark.parametrize(
    ("gflop", "factor"),
    [(1, 1), (2, 4), (4, 16), (0.5, 0.5), (8, 32)],  # a power law between the sizes, proportional beyond
)
def test_a_cost_follows_the_arithmetic_of_the_network(tmp_path, gflop, factor):
    run = planned(tmp_path, "star")["star"]
    found = costs(star=Probe(6, 2, 5, 12)).probe(run, NetworkSize(gflop, 0))
    assert (found.fit, found.evaluate, found.query) == pytest.approx((6 * factor, 2 * factor, 5 * factor))
    assert found.training == pytest.approx(12 * factor)


def test_nothing_is_said_of_a_network_far_from_all_that_were_measured(tmp_path):
    run = planned(tmp_path, REFERENCE)[REFERENCE]
    for gflop, known in ((0.49, False), (0.51, True), (7.9, True), (8.1, False)):
        assert math.isnan(costs().probe(run, NetworkSize(gflop, 0)).fit) is not known


def test_nothing_is_said_of_a_plugin_or_of_a_strategy_that_was_not_measured(tmp_path):
    (tmp_path / "entropy.py").write_text(PLUGIN.replace("class Mine", "class entropy"))
    plugin = f"{tmp_path / 'entropy.py'}:entropy"
    wrapped = {"strategy": "spread", "label": "wrapped", "settings": {"strategy": {"inner": {"name": plugin}}}}
    runs = planned(tmp_path, "random", "entropy", {"strategy": plugin, "label": "mine"}, wrapped)
    known = {label for label, run in runs.items() if not math.isnan(costs().probe(run, NetworkSize(1, 0)).query)}
    assert known == {"entropy"}


def test_a_query_costs_as_many_predictions_as_its_options_say(tmp_path):
    more = {"strategy": "mc-dropout", "label": "more", "settings": {"strategy": {"passes": 30}}}
    both = {
        "strategy": "mixture",
        "label": "both",
        "settings": {"strategy": {"inner": {"name": "random"}, "other": {"name": "entropy"}}},
    }
    runs = planned(tmp_path, "mc-dropout", more, both)
    device, size = costs(random=Probe(3, 2, 0, 0), **{"mc-dropout": Probe(3, 2, 4, 0)}), NetworkSize(1, 0)
    found = {label: device.probe(run, size).query for label, run in runs.items()}
    assert found == pytest.approx({"mc-dropout": 4, "more": 12, "both": 1})


def test_a_strategy_without_its_second_training_does_not_pay_for_it(tmp_path):
    without = {"strategy": "star", "label": "without", "settings": {"strategy": {"aggregation": "none"}}}
    runs, device = planned(tmp_path, "star", without), costs(star=Probe(3, 2, 1, 5))
    found = {label: device.probe(run, NetworkSize(1, 0)).training for label, run in runs.items()}
    assert found == pytest.approx({"star": 5, "without": 0})


@pytest.mark.parametrize("suite", slow_but(["paper-brats"], ["paper-brats", "paper-spleen"]))
def test_the_costs_of_an_h100_lead_to_the_hours_that_were_measured_on_it(suite):
    (device,) = (costs for costs in recorded_costs() if costs.device == "NVIDIA H100 80GB HBM3")
    record = json.loads((RECORDS / device.source).read_text())
    (finding,) = (finding for finding in record["findings"] if finding["name"] == "paper_hours")
    hours = {row["name"]: row["value"] for row in finding["rows"]}
    specs, records = load_suite(suite, seeds=[0]).runs, Records()
    size = Size.of(specs[0])
    whole = synthetic.outline(sum(size.cases), size.depth, size.side)
    assert len(specs) == 12
    for spec in specs:
        run = PlannedRun.of(spec, resolved(spec, whole, size.cases))
        cost = RunCost(run, device.probe(run, records.size(run)), 0)
        found = [5 * cost.seconds(bound, None) / 3600 for bound in (0, 1)]
        measured = hours[f"{suite}, 5 runs of {spec.label}"]
        assert found == pytest.approx([measured["low"], measured["high"]], rel=0.01), spec.label


def test_every_strategy_but_wrappers_was_measured_on_a_cpu_up_to_the_size_of_the_paper(tmp_path):
    (device,) = (costs for costs in recorded_costs() if "thread" in costs.device)
    runs = {run.spec.label: run for run in plan_runs(load_suite("smoke", seeds=[0], settings={"data.count": 12}))}
    records = Records()
    probes = {label: device.probe(run, records.size(run)) for label, run in runs.items()}
    for label, probe in probes.items():
        assert 0.001 < probe.fit < 0.1, label
        assert 0 <= probe.query < 0.1, label
    assert probes["random"].query < 0.01 * probes["entropy"].query < 0.01 * probes["mc-dropout"].query
    smallest, *_, largest = sorted(device.measured)
    assert smallest < 0.05
    assert largest == pytest.approx(166.4, abs=0.1)
    assert device.measured[largest][REFERENCE].fit > 0.5


def test_the_recorded_hours_of_a_suite_are_about_those_that_it_took():
    suite = load_suite("fair-hippocampus")
    (told,) = re.findall(r"125 runs, about (\d+) hours on one core", " ".join(suite.about.split()))
    (device,) = (costs for costs in recorded_costs() if "thread" in costs.device)
    records = Records()
    found = estimate(
        plan_runs(suite, published=True), Path("nowhere"), lambda run: records.cost(run, device), keep_weights=False
    )
    assert sum(taken.seconds[0] for taken in found.values()) / 3600 == pytest.approx(int(told), rel=0.4)


def test_the_newest_record_of_a_device_counts(tmp_path):
    def write(name, gpu, ms):
        value = {"median": ms, "low": ms, "high": ms}
        rows = [{"name": f"1 GFLOP, {REFERENCE}, {part}", "value": value, "unit": "ms"} for part in ("fit", "evaluate")]
        finding = {"name": "unit_costs", "hardware": {"gpu": gpu, "cpu": "Intel"}, "rows": rows}
        (tmp_path / name).write_text(json.dumps({"findings": [finding, {"name": "floor", "rows": []}]}))

    write("2026-01-01-a.json", None, 1)
    write("2026-01-02-a.json", "H100", 2)
    write("2026-01-03-a.json", None, 3)
    found = recorded_costs(tmp_path)
    assert [(costs.device, costs.source) for costs in found] == [
        ("H100", "2026-01-02-a.json"),
        ("Intel with 1 thread", "2026-01-03-a.json"),
    ]
    assert found[1].measured[1.0][REFERENCE].fit == 0.003


def test_a_plugin_that_no_record_has_is_timed_on_made_up_slices(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    runs = planned(tmp_path, "entropy", "margin", {"strategy": f"{tmp_path / 'mine.py'}:Mine", "label": "mine"})
    asked = []
    probe = MadeUpProbe(Execution(choose_device("cpu", 1)), Records(), asked.append)
    found = {label: probe.cost(run) for label, run in runs.items()}
    assert asked == ["entropy", "mine"]  # margin costs what it cost relative to entropy
    assert all(cost.fit > 0 and cost.weights > 0 and cost.masks > 0 for cost in found.values())
    assert found["margin"].fit == found["entropy"].fit
    assert found["mine"].query < found["entropy"].query
