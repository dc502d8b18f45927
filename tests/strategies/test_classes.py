"""Every strategy with several classes and with unknown pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.samples import TINY, TINY_TRAINING, write_pair

from albench import run
from albench.data import LabeledStack
from albench.encoder_decoder import plain
from albench.masks import UNKNOWN, PackedMasks
from albench.network import Task
from albench.oracle import MaskOracle
from albench.pool import Pool
from albench.query import check_query
from albench.registry import STRATEGIES, available
from albench.resolve import make_strategy, resolve
from albench.strategy import Round
from albench.streams import Streams
from albench.training.learner import Learner

NAMES = [entry.name for entry in available(STRATEGIES) if entry.name != "full"]
ALIKE = [name for name in NAMES if name != "clasp-pe"]  # it has a share of the budget and a draw for every class
ROWS = [1, 0]  # of a permutation of two classes


@pytest.fixture
def labeled(tiny) -> LabeledStack:
    """Training slices whose foreground is two classes, left and right of its middle column."""
    stack = tiny.labeled_stack(tiny.cases[:4])
    return relabeled(stack, halved(stack.masks(np.arange(len(stack.slices)))), ("left", "right"))


def halved(masks: np.ndarray) -> np.ndarray:
    """Foreground as class 1 up to its middle column and class 2 from there on."""
    filled = masks.any((1, 2))
    columns = np.arange(masks.shape[2])
    middle = (masks.sum(1) * columns).sum(1)[filled] / masks.sum((1, 2))[filled]
    found = masks.copy()
    found[filled] *= 1 + (columns > middle[:, None, None]).astype(np.uint8)
    return found


def relabeled(stack: LabeledStack, masks: np.ndarray, classes: tuple[str, ...]) -> LabeledStack:
    """The same slices with other label maps."""
    ids, known = np.arange(len(masks)), masks != UNKNOWN
    slices = replace(stack.slices, classes=classes)
    if not known.all():
        slices = replace(slices, known=PackedMasks.of(ids, known.astype(np.uint8)))
    return LabeledStack(slices, PackedMasks.of(ids, masks))


def context(strategy, truth: LabeledStack, validation: LabeledStack, **options) -> tuple[Round, MaskOracle]:
    """A round whose network predicts all classes somewhere; every fourth slice is labeled."""
    resolved = resolve("random", "phantom", settings=TINY)
    config = resolved.config
    streams, oracle, slices = Streams(0, "classes"), MaskOracle(truth), truth.slices
    ids = np.flatnonzero((slices.position % 4 == 0) & slices.annotatable)
    pool = Pool(slices).with_masks(oracle.annotate(ids, len(ids)))
    with streams.torch("weights"):
        network = strategy.network(Task(1, (32, 32), resolved.network, len(slices.classes)))
    learner = Learner(
        network,
        slices,
        validation,
        config.training,
        streams,
        round_index=0,
        lr=1e-3,
        device=torch.device("cpu"),
        **options,
    )
    return Round(0, 3, pool, learner, {}, None, streams.numpy("query"), 4, 2), oracle


def query(strategy, ctx, oracle):
    """A checked query, from the same random state each time."""
    with Streams(0, "classes").torch("query"):
        asked = strategy.query(ctx)
    found = oracle.answer(asked, ctx.pool, ctx.budget, uses_labels=strategy.uses_labels)
    check_query(found, ctx.pool, ctx.budget)
    return found


def predict_weights(network) -> tuple[torch.Tensor, torch.Tensor]:
    layer = plain(network).decoder.predict
    return layer.weight, layer.bias


@pytest.mark.parametrize("name", ALIKE)
def test_a_second_class_that_never_occurs_changes_no_query(name, tiny):
    """The logits of one class are made to agree with those of two. STAR does not train here."""
    settings = {"strategy.aggregation": "self"} if name == "star" else {}
    strategy = make_strategy(name, settings)
    one, val = tiny.labeled_stack(tiny.cases[:4]), tiny.labeled_stack(tiny.cases[4:5])
    masks = one.masks(np.arange(len(one.slices)))
    two = relabeled(one, masks, ("foreground", "nothing"))
    (ctx, oracle), (other, other_oracle) = context(strategy, one, val), context(strategy, two, val)
    state, wider = ctx.learner.network.state_dict(), other.learner.network.state_dict()
    with torch.no_grad():
        predict_weights(ctx.learner.network)[0].mul_(20)  # so that foreground is predicted somewhere
    for key, value in wider.items():
        if value.shape == state[key].shape:
            value.copy_(state[key])
    weight, bias = (value.data for value in predict_weights(other.learner.network))
    weight.zero_()
    bias.copy_(torch.tensor([0.0, 0.0, -1e4]))
    weight[1:2], bias[1:2] = (value.data for value in predict_weights(ctx.learner.network))
    found, expected = query(strategy, other, other_oracle), query(strategy, ctx, oracle)
    assert found.ids.tolist() == expected.ids.tolist()
    assert list(found.pseudo) == list(expected.pseudo)
    for i, mask in expected.pseudo.items():
        np.testing.assert_array_equal(found.pseudo[i], mask)
    if expected.scores is not None:
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ALIKE)
def test_the_order_of_the_classes_changes_no_query(name, tiny, labeled):
    strategy = make_strategy(name, {})
    val = tiny.labeled_stack(tiny.cases[4:5])
    val = relabeled(val, halved(val.masks(np.arange(len(val.slices)))), labeled.slices.classes)
    order = np.array([0, 2, 1], np.uint8)
    swapped = [relabeled(s, order[s.masks(np.arange(len(s.slices)))], ("right", "left")) for s in (labeled, val)]
    (ctx, oracle), (other, other_oracle) = context(strategy, labeled, val), context(strategy, *swapped)
    with torch.no_grad():
        predict_weights(ctx.learner.network)[0].mul_(20)
    other.learner.network.load_state_dict(permuted(ctx.learner.network.state_dict(), order))
    found, expected = query(strategy, other, other_oracle), query(strategy, ctx, oracle)
    assert found.ids.tolist() == expected.ids.tolist()
    assert list(found.pseudo) == list(expected.pseudo)
    for i, mask in expected.pseudo.items():
        np.testing.assert_array_equal(found.pseudo[i], order[mask])


def permuted(state: dict[str, torch.Tensor], order: np.ndarray) -> dict[str, torch.Tensor]:
    """The weights of a network whose classes have another order."""
    changed = {key: value.clone() for key, value in state.items()}
    for key, value in state.items():
        if key.endswith(("decoder.predict.weight", "decoder.predict.bias")):
            changed[key] = value[order.tolist()]
    if "labeled_encoder.mask_stem.weight" in state:
        changed["labeled_encoder.mask_stem.weight"] = state["labeled_encoder.mask_stem.weight"][:, ROWS]
    return changed


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_slice_without_a_known_label_is_never_queried(name, classes, tiny, labeled):
    strategy = make_strategy(name, {"strategy.pseudo_as_memory": True} if name == "star" else {})
    masks = labeled.masks(np.arange(len(labeled.slices)))
    masks = np.minimum(masks, classes)
    masks[::3] = UNKNOWN  # of the others, the upper half is unknown
    masks[:, :16] = UNKNOWN
    truth = relabeled(labeled, masks, labeled.slices.classes[:classes])
    val = tiny.labeled_stack(tiny.cases[4:5])
    ctx, oracle = context(strategy, truth, replace(val, slices=replace(val.slices, classes=truth.slices.classes)))
    assert not np.isin(np.arange(0, len(masks), 3), ctx.pool.unlabeled).any()
    strategy.fit(ctx)
    found = query(strategy, ctx, oracle)
    assert not (found.ids % 3 == 0).any()
    bought = oracle.annotate(found.ids, ctx.budget)
    assert all((mask[:16] == UNKNOWN).all() and (mask[16:] != UNKNOWN).all() for mask in bought.values())
    assert all((mask <= classes).all() for mask in found.pseudo.values())


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("bal", "star", "k-center")])
def test_the_unknown_area_counts_in_a_score_only_if_asked(name, tiny, labeled):
    """Scores of slices whose upper half is unknown are those of their lower half."""
    strategy = make_strategy(name, {})
    masks = labeled.masks(np.arange(len(labeled.slices)))
    masks[:, :16] = UNKNOWN
    truth, val = relabeled(labeled, masks, labeled.slices.classes), tiny.labeled_stack(tiny.cases[4:5])
    given = [query(strategy, *context(strategy, truth, val, score_unknown=asked)).scores for asked in (False, True)]
    whole = query(strategy, *context(strategy, labeled, val)).scores
    if whole is None:
        return
    np.testing.assert_array_equal(given[1], whole)
    if name != "random-foreground":
        assert not np.allclose(given[0], whole)


@pytest.mark.parametrize("name", ["ceal-entropy", "star"])
def test_slices_that_cannot_be_labeled_may_be_pseudo_labeled_and_have_no_dice(name, tiny, labeled):
    settings = {"strategy.pseudo": 99} if name == "ceal-entropy" else {"strategy.pseudo_count": 99}
    masks = labeled.masks(np.arange(len(labeled.slices)))
    masks[1::2] = UNKNOWN
    truth = relabeled(labeled, masks, labeled.slices.classes)
    val = tiny.labeled_stack(tiny.cases[4:5])
    val = relabeled(val, halved(val.masks(np.arange(len(val.slices)))), labeled.slices.classes)
    strategy = make_strategy(name, settings)
    ctx, oracle = context(strategy, truth, val)
    pseudo = query(strategy, ctx, oracle).pseudo
    undrawn = {i: mask for i, mask in pseudo.items() if i % 2}
    assert len(undrawn) == len(masks) // 2
    quality = oracle.evaluate_masks(undrawn)
    assert (quality.count, quality.dice, quality.dice_foreground) == (len(undrawn), None, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "full"])
def test_what_a_mask_has_where_it_is_unknown_changes_no_record(name, tmp_path):
    """Two sets of files that differ only there: values of unknown pixels, and whether a slice is drawn there at all."""
    records = []
    for folder, value in (("one", 8), ("other", 9)):
        root = tmp_path / folder / "set"
        for index in range(6):
            write_pair(root, f"case_{index}", *partly_drawn(index, value))
        settings = TINY_TRAINING | {
            "data.root": str(root),
            "data.classes": {"left": 1, "right": 2},
            "data.unknown": [8, 9],
            "protocol.budget": 3,
            "protocol.rounds": 2,
        }
        made = run(name, "folder", settings=settings, out=tmp_path / folder / "runs", device="cpu")
        records.append([record.results() for record in made.records])
    assert records[0] == records[1]


def partly_drawn(index: int, value: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A volume and its mask, whose upper half and whose every third slice have a value that stands for unknown."""
    rng = np.random.default_rng(index)
    mask = np.zeros((32, 32, 9), np.uint8)
    mask[8:16, 6:24, 2:8], mask[16:25, 6:24, 2:8] = 1, 2
    image = (rng.normal(size=mask.shape) + 2 * (mask > 0) + mask).astype(np.float32)
    mask[:, 12:], mask[:, :, 1::3] = value, value
    return image, mask
