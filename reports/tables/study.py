"""The tables over several datasets: mean ranks with tests, and AUBC in every group."""

from __future__ import annotations

from albench.errors import counted
from albench.reports.captions import computed, floors_of, left_out
from albench.reports.rank_tests import least_signed_rank
from albench.reports.results import Results
from albench.reports.study import Study
from albench.reports.study_summary import about_ranks, evidence, not_compared
from albench.reports.tables.cells import MISSING, Cell, NumberFormat, metric_cell, number_cell
from albench.reports.tables.table import Column, Row, Table, marked

_GAIN = NumberFormat(4, sign=True)
_P_VALUE = NumberFormat(3, least=0.001)
_RANK = NumberFormat(2)


def study_rank_table(results: Results, study: Study) -> Table:
    """Mean ranks over datasets, the ranks on each, and signed-rank tests against the baseline."""
    against = {pair.one: pair for pair in study.against(results.baseline)}
    rows = []
    for label, mean, ranks in zip(study.methods, study.mean_ranks, study.ranks, strict=True):
        cells = [Cell(label), *(number_cell(float(rank), _RANK) for rank in (mean, *ranks))]
        pair = against.get(label)
        tests = [(pair.gain, _GAIN), (pair.p, _P_VALUE), (pair.holm, _P_VALUE)] if pair else []
        cells += [number_cell(value, form) for value, form in tests] or [Cell(MISSING)] * 3
        rows.append(Row(tuple(cells)))
    compared = _about_baseline(results, study, len(against))
    columns = (
        Column("Method"),
        Column("mean rank", "lower"),
        *(Column(name, "lower") for name in study.datasets),
        *(Column(title, notes=compared) for title in (f"gain over {results.baseline}", "signed-rank p", "Holm")),
    )
    about = (*about_ranks(results, study), *evidence(study))
    sources = (*not_compared(study), computed(results.collection, study.runs), *left_out(results.collection))
    return marked(Table("study-ranks", "Mean ranks over datasets", columns, tuple(rows), about, sources))


def study_area_table(results: Results, study: Study) -> Table:
    """AUBC of every method in every group."""
    numbers = results.efficiency().set_index(["label", "group"])
    better = "higher" if results.metric.higher else "lower"
    columns = (Column("Method"), *(Column(group.name, better) for group in study.groups))
    rows = []
    for label in (*study.methods, *study.others):
        areas = [numbers.loc[(label, group.name)] if label in group.methods else None for group in study.groups]
        cells = [
            Cell(MISSING) if area is None else metric_cell(results.metric, area["aubc"], area["aubc_sd"])
            for area in areas
        ]
        rows.append(Row((Cell(label), *cells), ranked=label in study.methods))
    unit = f" [{results.metric.unit}]" if results.metric.unit else ""
    about = (
        f"AUBC in {results.metric.title}{unit}, mean ± sample standard deviation over the runs of each group, in the "
        "order of mean ranks. Groups have ranges of labels of their own, so their numbers are not compared with each "
        "other.",
        *floors_of(study.groups),
    )
    sources = (*not_compared(study), computed(results.collection, study.runs), *left_out(results.collection))
    return marked(Table("study-aubc", "AUBC in every group", columns, tuple(rows), about, sources))


def _about_baseline(results: Results, study: Study, tests: int) -> tuple[str, ...]:
    if not tests:
        return ()
    datasets = len(study.datasets)
    return (
        f"Gain: mean over datasets of the difference in mean AUBC to {results.baseline}, positive where the method is "
        "better, with Wilcoxon's signed-rank test, which is exact for up to 16 datasets. With "
        f"{datasets} datasets its p cannot be below {least_signed_rank(datasets):.3g}, and after Holm's correction for "
        f"{counted(tests, 'test')} not below {min(1.0, tests * least_signed_rank(datasets)):.3g}.",
    )
