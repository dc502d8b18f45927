import math

import numpy as np
import pytest

from albench.runs.annotation_cost import MaskCost, contour_length, mask_cost, total_cost
from albench.runs.records import AnnotationCost


def disk(radius: float, side: int = 120) -> np.ndarray:
    y, x = np.ogrid[:side, :side]
    return ((y - side / 2) ** 2 + (x - side / 2) ** 2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("radius", [10, 20.5, 40])
def test_the_contour_of_a_disk_is_as_long_as_its_circumference(radius):
    assert contour_length(disk(radius)) == pytest.approx(2 * math.pi * radius, rel=0.04)


def test_the_contour_of_a_rectangle_is_the_mean_over_four_directions():
    mask = np.zeros((9, 12), dtype=np.uint8)
    mask[2:5, 3:10] = 1  # 3 x 7: lines cross it 2 * (3 + 7) times straight, 2 * (3 + 7 - 1) times on each diagonal
    assert contour_length(mask) == pytest.approx(math.pi / 8 * (20 + 2 * 18 / math.sqrt(2)))


def test_the_cost_does_not_depend_on_position_and_orientation():
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[3:9, 4:20] = 1
    mask[5:7, 8:12] = 0
    moved = np.roll(mask, (6, 5), (0, 1))
    assert mask_cost(mask) == mask_cost(moved) == mask_cost(mask.T) == mask_cost(mask[:, ::-1].copy())
    assert mask_cost(mask).foreground_pixels == 6 * 16 - 2 * 4


def test_an_empty_mask_costs_nothing_and_a_full_one_its_border():
    assert mask_cost(np.zeros((4, 4), dtype=np.uint8)) == MaskCost(0, 0.0)
    one = MaskCost(1, pytest.approx(math.pi / 8 * (4 + 4 / math.sqrt(2))))
    assert mask_cost(np.ones((1, 1), dtype=np.uint8)) == one


def test_labels_cost_their_sum_and_every_case_counts_once():
    masks = [MaskCost(3, 1.5), MaskCost(0, 0.0), MaskCost(4, 2.0)]
    expected = AnnotationCost(slices=3, nonempty_slices=2, foreground_pixels=7, contour_length=3.5, cases=2)
    assert total_cost(masks, [5, 5, 1]) == expected


def test_every_record_tells_what_all_labels_of_its_training_cost(tiny_run, tiny):
    run = tiny_run("entropy")
    masks = {
        (name, position): mask
        for name in run.split.train
        for position, mask in enumerate(tiny.labeled_stack((name,)).masks(np.arange(run.split.slices[name])))
    }
    labeled = [(named.case, named.position) for named in run.split.initial]
    for index, record in enumerate(run.records):
        costs = [mask_cost(masks[key]) for key in labeled]
        found = record.annotation_cost
        assert found.slices == record.labeled == len(labeled)
        assert found.nonempty_slices == sum(masks[key].any() for key in labeled)
        assert found.foreground_pixels == sum(int(masks[key].sum()) for key in labeled)
        assert found.contour_length == pytest.approx(sum(cost.contour_length for cost in costs))
        assert found.cases == len({name for name, _ in labeled})
        labeled += [(named.case, named.position) for named in run.query(index).slices]
