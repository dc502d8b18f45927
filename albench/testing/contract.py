"""The contract: the rules of the benchmark for strategies and datasets, and the checks of every rule."""

from __future__ import annotations

import hashlib
import pickle
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.stats import chi2

from albench.callback import NullCallback
from albench.config import Choice, Protocol, RunConfig, Training, build
from albench.data import Dataset, Prepared, check_volume, split_volumes
from albench.errors import AlbenchError, few
from albench.exits import rejecting_exits
from albench.loop import Execution, run
from albench.registry import DEFAULT_NETWORK, NETWORKS, find, import_path, options_of
from albench.resolve import ResolvedRun, files_of
from albench.runs.records import RoundRecord
from albench.settings import by_section
from albench.strategy import OracleDraw, Query, Round, Strategy
from albench.temporary import temporary_folder
from albench.testing.harness import PROTOCOL, TRAIN, TRAINING, StrategyHarness, small_network, stored, toy_classes

__all__ = ["Check", "check_dataset", "check_strategy"]

_REPEATS = 24  # of a query that draws, in each of two orders of the pool
_CHANCE = 1e-6  # of rejecting a strategy that draws whatever the order
_BY_ID = (
    "do not choose by id. Usual causes: a generator with a fixed seed, which draws the same ids in any order (draw "
    "from ctx.rng), and a tie broken by position, where the first of equal scores win (draw among them from ctx.rng)"
)


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        rule: what a plugin must do.
        problem: how the plugin breaks the rule; empty if it does not.
    """

    rule: str
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether the plugin keeps the rule."""
        return not self.problem


def check_strategy(
    strategy: Strategy, report: Callable[[Check], None] = lambda check: None, *, audit: bool = True
) -> list[Check]:
    """Check a strategy against the rules of the benchmark, in about twenty seconds on a CPU.

    A strategy that draws, from `ctx.rng` or by dropout, is queried many times, and the frequencies of the chosen slices
    are compared; a deterministic strategy must choose exactly the same slices. If the first query fails, only that is
    reported.

    Args:
        report: called after every check.
        audit: audit a query too, which starts a fresh process.

    Returns:
        All outcomes, in order.
    """
    rule = "queries exactly the budget of distinct unlabeled slices, finite scores and well-formed pseudo-labels"
    harnesses: list[StrategyHarness] = []

    def begin() -> None:
        harnesses.append(StrategyHarness(strategy))

    first = outcome(rule, begin)
    report(first)
    checks = [first]
    rules = _STRATEGY_RULES | (_AUDIT_RULE if audit else {})
    for rule, check in rules.items() if first.passed else ():
        checks.append(outcome(rule, partial(check, harnesses[0])))
        report(checks[-1])
    return checks


def check_dataset(dataset: Dataset, report: Callable[[Check], None] = lambda check: None) -> list[Check]:
    """Check a dataset against the rules of the benchmark, on its first cases.

    Args:
        report: called after every check.

    Returns:
        All outcomes, in order.
    """
    checks = []
    for rule, check in _DATASET_RULES.items():
        checks.append(outcome(rule, partial(check, dataset)))
        report(checks[-1])
    return checks


def outcome(rule: str, check: Callable[[], str | None]) -> Check:
    """What a check of a rule finds; an error of the plugin counts as a problem."""
    try:
        with rejecting_exits("a plugin"):
            return Check(rule, check() or "")
    except AlbenchError as error:
        return Check(rule, str(error))
    except Exception as error:  # every error of a plugin is an outcome
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Check(rule, f"it raised {type(error).__name__}: {error} ({where.filename}:{where.lineno})")


def _deterministic(harness: StrategyHarness) -> str | None:
    answers = []
    for global_seed in (1, 2):
        with _global_state(global_seed):
            answers.append(harness.query())
    if _same(*answers):
        return None
    return f"the same context gave two queries, {_both(harness, *answers)}: use ctx.rng, and keep nothing between calls"


def _independent_of_order(harness: StrategyHarness) -> str | None:
    orders = (TRAIN, TRAIN[::-1])
    if _same(harness.query(seed=0), harness.query(seed=1)):
        first, second = (sorted(harness.named(harness.query(cases=order).ids, order)) for order in orders)
        if first == second:
            return None
        return f"with the cases in another order it chose other slices, {_answers(first, second)}: {_BY_ID}"
    counts = [_counts(harness, order) for order in orders]
    slices = sorted(set(counts[0]) | set(counts[1]))
    one, two = (np.array([count.get(name, 0) for name in slices]) for count in counts)
    share = (one + two) / (2 * _REPEATS)
    spread = 2 * _REPEATS * share * (1 - share)
    deviation = np.where(spread > 0, (one - two) ** 2 / np.maximum(spread, 1e-12), 0.0)
    if chi2.sf(deviation.sum(), df=len(slices)) < _CHANCE:
        worst = int(deviation.argmax())
        return (
            f"it chose {_named([slices[worst]])} {one[worst]} of {_REPEATS} times, and {two[worst]} times with the "
            f"cases in another order: {_BY_ID}"
        )
    return None


def _counts(harness: StrategyHarness, order: Sequence[str]) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = {}
    for seed in range(_REPEATS):
        for name in harness.named(harness.query(seed=seed, cases=order, rebuild=False).ids, order):
            counts[name] = counts.get(name, 0) + 1
    return counts


def _one_left(harness: StrategyHarness) -> str | None:
    harness.query(annotated=np.arange(len(harness.labeled.slices) - 1), budget=1)
    return None


def _all_at_once(harness: StrategyHarness) -> str | None:
    unlabeled = np.count_nonzero(harness.labeled.slices.position % PROTOCOL.interval)
    harness.query(budget=int(unlabeled))
    return None


def _several_classes(harness: StrategyHarness) -> str | None:
    StrategyHarness(harness.strategy, toy_classes())
    return None


def _leaves_pool(harness: StrategyHarness) -> str | None:
    images = harness.prepared.images
    before = _hash(images)
    problem: list[str] = []

    def watch(ctx: Round, query: Query | OracleDraw) -> None:
        masks = {int(i): ctx.pool.mask(int(i)) for i in ctx.pool.labeled}
        truth = harness.labeled.masks(ctx.pool.labeled)
        if any(not np.array_equal(masks[int(i)], mask) for i, mask in zip(ctx.pool.labeled, truth, strict=True)):
            problem.append("it changed a mask of the pool: work on a copy")

    harness.query(watch=watch)
    if _hash(images) != before:
        problem.append("it changed the images of the pool: work on a copy")
    return problem[0] if problem else None


def _leaves_weights(harness: StrategyHarness) -> str | None:
    problem: list[str] = []

    def watch(ctx: Round, query: Query | OracleDraw) -> None:
        after = ctx.learner.weights()
        changed = [key for key, value in harness.weights.items() if not torch.equal(value, after[key])]
        if changed and not ctx.learner.log:
            problem.append(f"it changed '{changed[0]}' in query: train with ctx.learner, or work on a copy")
        modes = {module.training for module in ctx.learner.network.modules()}
        if modes == {True, False}:
            problem.append("it left the network partly in training and partly in evaluation mode: restore the modes")

    harness.query(watch=watch)
    return problem[0] if problem else None


def _leaves_random_state(harness: StrategyHarness) -> str | None:
    with _global_state(3):
        before = _state()
        harness.query()
        if _state() != before:
            return "it drew from, or seeded, the global generator of random or numpy: use ctx.rng"
    return None


def _cannot_see_truth(harness: StrategyHarness) -> str | None:
    masks = harness.prepared.masks
    slices = harness.labeled.slices
    hidden = slices.rows[slices.position % PROTOCOL.interval != 0]
    other = masks.copy()
    other[hidden] = np.random.default_rng(0).permutation(masks[hidden])
    altered = Prepared(**{**vars(harness.prepared), "masks": other}).labeled_stack(TRAIN)
    answers: list[Query | OracleDraw] = []
    for truth in (None, altered):
        harness.query(truth=truth, watch=lambda ctx, query: answers.append(query))
    first, second = answers
    if isinstance(first, OracleDraw) and isinstance(second, OracleDraw):  # not what the oracle makes of it
        same = all(np.array_equal(one, other) for one, other in zip(astuple(first), astuple(second), strict=True))
    else:
        same = isinstance(first, Query) and isinstance(second, Query) and _same(first, second)
    if same:
        return None
    shown = f", {_both(harness, first, second)}" if isinstance(first, Query) and isinstance(second, Query) else ""
    return f"its query changed with masks of unlabeled slices{shown}: use pool.mask of labeled slices only"


def _pickles(harness: StrategyHarness) -> str | None:
    again = pickle.loads(pickle.dumps(harness.strategy))
    return None if again == harness.strategy else "it is not equal to itself after pickling: make it a frozen dataclass"


def _resolved(strategy: Strategy, prepared: Prepared, protocol: Protocol) -> ResolvedRun:
    """A run on the toy dataset."""
    network = small_network()
    config = RunConfig(
        strategy=Choice(strategy.name, import_path(type(strategy)), None, options_of(strategy)),
        dataset=Choice("contract", "contract", None, {}),
        title="contract",
        locations={},
        data_key=prepared.key,
        seed=0,
        protocol=protocol,
        training=TRAINING,
        network=Choice("small", import_path(type(network)), None, options_of(network)),
        files=files_of("strategy", strategy),
    )
    split = split_volumes(prepared.cases, prepared.patients, protocol.split, protocol.split_seed)
    return ResolvedRun(config, strategy, network, prepared, split)


def _audited(harness: StrategyHarness) -> str | None:
    with temporary_folder() as folder:
        resolved = _resolved(harness.strategy, stored(harness.prepared, folder), replace(PROTOCOL, rounds=1))
        audit = run(resolved, folder / "runs", Execution(torch.device("cpu"), audit=True)).audit(0)
    return audit.sentence if audit and audit.verdict != "passed" else None


def _resumes(harness: StrategyHarness) -> str | None:
    resolved = _resolved(harness.strategy, harness.prepared, PROTOCOL)
    execution = Execution(torch.device("cpu"))
    with temporary_folder() as folder:
        whole = run(resolved, folder / "whole", execution).records
        for _ in whole:
            try:
                parts = run(resolved, folder / "parts", execution, _Interrupting()).records
            except _StoppedError:
                continue
    for one, other in zip(whole, parts, strict=True):
        found, again = one.results(), other.results()
        changed = [name for name, value in found.items() if again[name] != value]
        if changed:
            return (
                f"a run that was stopped and continued gave another record of round {one.round}, in {few(changed)}: "
                "keep nothing outside of Query and weights"
            )
    return None


_STRATEGY_RULES: dict[str, Callable[[StrategyHarness], str | None]] = {
    "gives the same query in the same context, whatever the global random state": _deterministic,
    "does not depend on the order of the pool": _independent_of_order,
    "works when one unlabeled slice is left": _one_left,
    "works when the budget equals the number of unlabeled slices": _all_at_once,
    "works with several classes, and with pixels and slices whose labels are unknown": _several_classes,
    "leaves images and masks of the pool unchanged": _leaves_pool,
    "leaves the weights unchanged, unless it trains with the learner": _leaves_weights,
    "leaves the global random state unchanged": _leaves_random_state,
    "does not depend on masks of unlabeled slices": _cannot_see_truth,
    "can be pickled": _pickles,
    "gives the same records when a run is interrupted and continued": _resumes,
}

_AUDIT_RULE = {"gives the same query in a fresh process without the masks that were not bought": _audited}


def _sorted_cases(dataset: Dataset) -> str | None:
    names = list(dataset.cases())
    if len(names) < 3:
        return f"it has {len(names)} cases, at least 3 are needed for training, validation and test"
    if names != sorted(set(names)):
        return "cases() is not sorted, or repeats a name"
    return None


def _well_formed(dataset: Dataset) -> str | None:
    volumes = [(name, dataset.load(name)) for name in _first(dataset)]
    for name, volume in volumes:
        check_volume(volume, name, dataset.window, dataset.class_names)
        if volume.image.dtype != np.float32 or volume.mask.dtype != np.uint8:
            return f"case '{name}' is {volume.image.dtype} with a {volume.mask.dtype} mask, not float32 with uint8"
    channels = {len(volume.image) for _, volume in volumes}
    return None if len(channels) == 1 else f"its cases have {sorted(channels)} channels, not the same number"


def _loads_alike(dataset: Dataset) -> str | None:
    for name in _first(dataset):
        with _global_state(1):
            one = dataset.load(name)
        with _global_state(2):
            two = dataset.load(name)
        if not (np.array_equal(one.image, two.image) and np.array_equal(one.mask, two.mask)):
            return f"case '{name}' differed when it was loaded twice: seed its randomness by its name"
    return None


def _files_exist(dataset: Dataset) -> str | None:
    missing = [path for path in dataset.inputs() if not path.is_file()]
    return f"inputs() names '{missing[0]}', which is not a file" if missing else None


def _sound_defaults(dataset: Dataset) -> str | None:
    parts = by_section(dataset.defaults())
    for section, cls in (("protocol", Protocol), ("training", Training), ("network", find(NETWORKS, DEFAULT_NETWORK))):
        build(cls, parts[section], section)
    wrong = [section for section in ("strategy", "data") if parts[section]]
    return (
        f"defaults() sets options of '{wrong[0]}': only protocol, training and network belong there" if wrong else None
    )


def _pickles_dataset(dataset: Dataset) -> str | None:
    return None if pickle.loads(pickle.dumps(dataset)) == dataset else "it is not equal to itself after pickling"


_DATASET_RULES: dict[str, Callable[[Dataset], str | None]] = {
    "names at least three cases, sorted, without repeats": _sorted_cases,
    "loads float32 images with uint8 masks of its classes of the same shape, finite, with a spacing": _well_formed,
    "loads the same twice, whatever the global random state": _loads_alike,
    "names existing files as its inputs": _files_exist,
    "has defaults that are known settings": _sound_defaults,
    "can be pickled": _pickles_dataset,
}


def _first(dataset: Dataset) -> Sequence[str]:
    return list(dataset.cases())[:3]


class _StoppedError(Exception):
    pass


class _Interrupting(NullCallback):
    """Stops a run after every round but the last."""

    def on_round(self, record: RoundRecord) -> None:
        if record.round < PROTOCOL.rounds and record.unlabeled:
            raise _StoppedError


def _same(first: Query, second: Query) -> bool:
    scores = (first.scores is None and second.scores is None) or (
        first.scores is not None and second.scores is not None and np.array_equal(first.scores, second.scores)
    )
    pseudo = list(first.pseudo) == list(second.pseudo) and all(
        np.array_equal(mask, second.pseudo[i]) for i, mask in first.pseudo.items()
    )
    return scores and pseudo and np.array_equal(first.ids, second.ids)


def _both(harness: StrategyHarness, first: Query, second: Query) -> str:
    """How two different queries of the pool in its usual order differ, in words."""
    if not np.array_equal(first.ids, second.ids):
        return _answers(harness.named(first.ids), harness.named(second.ids))
    same = f"both {_named(harness.named(first.ids))}, with other"
    if list(first.pseudo) != list(second.pseudo) or any((m != second.pseudo[i]).any() for i, m in first.pseudo.items()):
        return f"{same} pseudo-labels"
    return f"{same} scores"


def _answers(first: Sequence[tuple[str, int]], second: Sequence[tuple[str, int]]) -> str:
    return f"first {_named(first)}, then {_named(second)} (case and position)"


def _named(slices: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{case} {position}" for case, position in slices)


@contextmanager
def _global_state(seed: int) -> Iterator[None]:
    """Seed the global generators, which strategies must not touch, and restore them afterwards."""
    python, legacy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


def _state() -> bytes:
    return pickle.dumps((random.getstate(), np.random.get_state()))


def _hash(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()
