"""The decision how many runs share a GPU, in closed cases."""

import pytest

from albench.benchmarks.gpu_sharing import COUNTS, GpuSharing, Speed

GB = 10**9


def measured(*steps, memory=3 * GB, free=80 * GB):
    """What the first numbers of processes were measured to do."""
    return GpuSharing(tuple(Speed(n, s) for n, s in zip(COUNTS, steps, strict=False)), memory, free)


@pytest.mark.parametrize(
    ("steps", "most", "chosen", "following"),
    [
        ((41,), 4, 1, 2),
        ((41, 78), 4, 2, 4),
        ((41, 78, 120), 4, 4, None),
        ((40, 43), 4, 1, None),  # 7.5 % more are not worth a process
        ((40, 45), 4, 2, 4),
        ((40, 80, 83), 4, 2, None),
        ((40, 80, 50), 4, 2, None),
        ((40, 0), 4, 1, None),  # two cannot train at the same time
        ((40,), 1, 1, None),
        ((40, 80), 3, 2, None),  # more cores or runs are missing
        ((40, 80, 160), 3, 2, None),  # measured when there were more runs
        ((40, 80, 160), 1, 1, None),
        ((40, 43, 160), 4, 1, None),  # no step is skipped
        ((41, 78, 120), 16, 4, 8),
        ((40, 80, 160, 300, 320), 16, 8, None),
        ((40, 80, 160, 300, 600), 64, 16, None),
    ],
)
def test_more_runs_share_a_gpu_while_each_increase_is_worth_it(steps, most, chosen, following):
    found = measured(*steps)
    assert found.runs_at_once(most) == chosen
    assert found.next_count(most) == following


@pytest.mark.parametrize(("memory", "following"), [(36, 2), (37, None), (200, None)])
def test_all_processes_together_fit_into_nine_tenths_of_the_free_memory(memory, following):
    found = measured(40, memory=memory * GB)
    assert found.next_count(4) == following
    assert measured(40, 80, memory=memory * GB).runs_at_once(4) == (following or 1)
    assert measured(40, 80, memory=memory * GB).next_count(4) is None


def test_how_much_faster_runs_are_together():
    found = measured(40, 70, 120)
    assert [found.speedup(runs) for runs in (1, 2, 4)] == [1, 1.75, 3]


@pytest.mark.parametrize(
    ("found", "most", "line"),
    [
        (
            measured(41.2, 78, 120, memory=3_100_000_000),
            4,
            "4 runs at once on each GPU: 1 process trains 41 steps/s, 2 train 78, 4 train 120; "
            "each needs 3.1 GB of the 80.0 GB that are free",
        ),
        (
            measured(1.26, 0, memory=30 * GB),
            2,
            "1 run at a time on each GPU: 1 process trains 1.3 steps/s, 2 cannot train at the same time; "
            "each needs 30.0 GB of the 80.0 GB that are free",
        ),
    ],
)
def test_the_decision_is_one_line(found, most, line):
    assert found.in_words(found.runs_at_once(most)) == line
