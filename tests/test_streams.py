import numpy as np
import pytest
import torch

from albench.streams import Streams


def draw(streams: Streams, purpose: str = "query", round_index: int = 0) -> tuple[list[float], int, list[float]]:
    with streams.torch(purpose, round_index):
        from_torch = torch.rand(3).tolist()
    return streams.numpy(purpose, round_index).random(3).tolist(), streams.integer(purpose, round_index), from_torch


def test_a_stream_does_not_depend_on_what_was_drawn_before():
    streams = Streams(0, "phantom")
    first = draw(streams)
    np.random.seed(5)
    torch.manual_seed(5)
    draw(streams, "weights")
    assert draw(streams) == first == draw(Streams(0, "phantom"))


@pytest.mark.parametrize(
    "other",
    [
        lambda: draw(Streams(1, "phantom")),
        lambda: draw(Streams(0, "spleen")),
        lambda: draw(Streams(0, "phantom"), "weights"),
        lambda: draw(Streams(0, "phantom"), "query", 1),
    ],
)
def test_streams_differ_between_seeds_datasets_purposes_and_rounds(other):
    assert not any(a == b for a, b in zip(draw(Streams(0, "phantom")), other(), strict=True))


def test_streams_of_many_names_do_not_collide():
    integers = [Streams(seed, "d").integer(purpose, r) for seed in range(5) for purpose in "abcde" for r in range(20)]
    assert len(set(integers)) == 500
    assert all(0 <= value < 2**63 for value in integers)


@pytest.mark.parametrize("fails", [False, True])
def test_the_state_of_torch_is_restored_also_after_an_error(fails):
    before = torch.get_rng_state()
    try:
        with Streams(0, "phantom").torch("fit"):
            torch.rand(10)
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_can_be_nested():
    streams = Streams(0, "phantom")
    with streams.torch("outer"):
        expected = torch.rand(4)
    with streams.torch("outer"):
        first = torch.rand(2)
        with streams.torch("inner"):
            torch.rand(7)
        assert torch.equal(torch.cat([first, torch.rand(2)]), expected)
