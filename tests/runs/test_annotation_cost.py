import json
import math

import numpy as np
import pytest

from albench.runs.annotation_cost import Effort, contour_length, effort, total
from albench.runs.snapshots import pictures
from albench.runs.store import read_masks
from albench.training.evaluation import showcase


def disk(radius: float, side: int = 120) -> np.ndarray:
    y, x = np.ogrid[:side, :side]
    return ((y - side / 2) ** 2 + (x - side / 2) ** 2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("radius", [10, 20.5, 40])
def test_the_outline_of_a_disk_is_as_long_as_its_circumference(radius):
    assert contour_length(disk(radius)) == pytest.approx(2 * math.pi * radius, rel=0.04)


def test_the_outline_of_a_rectangle_is_the_mean_over_four_directions():
    mask = np.zeros((9, 12), dtype=np.uint8)
    mask[2:5, 3:10] = 1  # 3 x 7: lines cross it 2 * (3 + 7) times straight, 2 * (3 + 7 - 1) times on each diagonal
    assert contour_length(mask) == pytest.approx(math.pi / 8 * (20 + 2 * 18 / math.sqrt(2)))


def test_an_outline_does_not_depend_on_where_the_mask_lies_or_on_how_it_is_turned():
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[3:9, 4:20] = 1
    mask[5:7, 8:12] = 0
    moved = np.roll(mask, (6, 5), (0, 1))
    assert effort(mask) == effort(moved) == effort(mask.T) == effort(mask[:, ::-1].copy())
    assert effort(mask).foreground == 6 * 16 - 2 * 4


def test_an_empty_mask_costs_nothing_and_a_full_one_its_border():
    assert effort(np.zeros((4, 4), dtype=np.uint8)) == Effort(0, 0.0)
    assert effort(np.ones((1, 1), dtype=np.uint8)) == Effort(1, pytest.approx(math.pi / 8 * (4 + 4 / math.sqrt(2))))


def test_labels_cost_their_sum_and_every_case_counts_once():
    labels = [Effort(3, 1.5), Effort(0, 0.0), Effort(4, 2.0)]
    expected = {"slices": 3, "nonempty": 2, "foreground": 7, "contour": 3.5, "cases": 2}
    assert total(labels, [5, 5, 1]) == expected


def test_every_record_tells_what_all_labels_of_its_training_cost(tiny_run, tiny):
    store = tiny_run("entropy")
    split = json.loads((store.folder / "split.json").read_text())
    masks = {
        (name, position): mask
        for name in split["train"]
        for position, mask in enumerate(tiny.labeled_stack((name,)).masks(np.arange(split["slices"][name])))
    }
    bought = [(named["case"], named["position"]) for named in split["initial"]]
    for index, record in enumerate(store.records):
        found = [effort(masks[key]) for key in bought]
        assert record["effort"]["slices"] == record["labeled"] == len(bought)
        assert record["effort"]["nonempty"] == sum(masks[key].any() for key in bought)
        assert record["effort"]["foreground"] == sum(int(masks[key].sum()) for key in bought)
        assert record["effort"]["contour"] == pytest.approx(sum(one.contour for one in found))
        assert record["effort"]["cases"] == len({name for name, _ in bought})
        query = json.loads((store.folder / "rounds" / f"{index:02d}" / "query.json").read_text())
        bought += [(named["case"], named["position"]) for named in query["slices"]]


def test_the_slices_whose_predictions_are_shown_are_kept_with_their_truth(tiny_run, tiny):
    store = tiny_run("random")
    shown = np.load(store.folder / "showcase.npz")
    test = tiny.labeled_stack(json.loads((store.folder / "split.json").read_text())["test"])
    np.testing.assert_array_equal(shown["ids"], showcase(test))
    np.testing.assert_array_equal(shown["masks"], test.masks(shown["ids"]))
    np.testing.assert_array_equal(shown["positions"], test.slices.position[shown["ids"]])
    assert list(read_masks(store.folder / "rounds" / "00" / "showcase.npz")) == shown["ids"].tolist()


def test_the_most_wanted_slices_are_kept_as_pictures(tiny_run):
    store = tiny_run("entropy")
    query = json.loads((store.folder / "rounds" / "00" / "query.json").read_text())
    asked = np.load(store.folder / "rounds" / "00" / "arrays.npz")
    assert asked["asked_ids"].tolist() == query["ids"]
    assert asked["asked_positions"].tolist() == [named["position"] for named in query["slices"]]
    assert asked["asked_cases"].tolist() == [named["case"] for named in query["slices"]]
    assert not (store.folder / "rounds" / "02" / "arrays.npz").exists()


def test_a_picture_is_made_smaller_by_leaving_out_pixels(tiny):
    stack = tiny.labeled_stack(tiny.cases[:1])
    whole = pictures(stack.slices, [2, 0], stack.masks(np.array([2, 0])))
    small = pictures(stack.slices, [2, 0], stack.masks(np.array([2, 0])), longest=16)
    assert small["images"].shape == (2, 16, 16)
    np.testing.assert_array_equal(small["images"], whole["images"][:, ::2, ::2])
    np.testing.assert_array_equal(small["masks"], whole["masks"][:, ::2, ::2])
    np.testing.assert_array_equal(small["pixel"], whole["pixel"] * 2)
    np.testing.assert_array_equal(small["valid"], [[16, 16], [16, 16]])
