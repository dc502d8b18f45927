import numpy as np

from albench.runs.snapshots import snapshots
from albench.training.evaluation import example_slices


def test_the_example_slices_are_kept_with_their_truth(tiny_run, tiny):
    run = tiny_run("random")
    shown, test = run.snapshots(), tiny.labeled_stack(run.split.test)
    np.testing.assert_array_equal(shown["ids"], example_slices(test))
    np.testing.assert_array_equal(shown["masks"], test.masks(shown["ids"]))
    np.testing.assert_array_equal(shown["positions"], test.slices.position[shown["ids"]])
    assert list(run.predictions(0)) == shown["ids"].tolist()


def test_the_most_wanted_slices_are_kept_as_pictures(tiny_run):
    run = tiny_run("entropy")
    query, kept = run.query(0), run.arrays(0)
    assert kept["queried_ids"].tolist() == list(query.ids)
    assert kept["queried_positions"].tolist() == [named.position for named in query.slices]
    assert kept["queried_cases"].tolist() == [named.case for named in query.slices]
    assert run.arrays(2) == {}


def test_a_snapshot_is_made_smaller_by_leaving_out_pixels(tiny):
    stack = tiny.labeled_stack(tiny.cases[:1])
    whole = snapshots(stack.slices, [2, 0], stack.masks(np.array([2, 0])))
    small = snapshots(stack.slices, [2, 0], stack.masks(np.array([2, 0])), longest=16)
    assert small["images"].shape == (2, 16, 16)
    np.testing.assert_array_equal(small["images"], whole["images"][:, ::2, ::2])
    np.testing.assert_array_equal(small["masks"], whole["masks"][:, ::2, ::2])
    np.testing.assert_array_equal(small["pixel"], whole["pixel"] * 2)
    np.testing.assert_array_equal(small["valid"], [[16, 16], [16, 16]])
