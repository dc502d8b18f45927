"""The verdict on answers in equal states."""

from dataclasses import replace

import numpy as np
import pytest

from albench.audit.verdict import Answer, judge
from albench.query import Query

HONEST = Answer((3, 1), {2: np.ones((2, 2), np.uint8)}, (0.5, 0.25), {"pairs": 4.0})
OTHER = replace(HONEST, ids=(1, 3))


class Asked:
    """Gives answers one after the other, and keeps in which world they were asked for."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.truths = list(answers), []

    def __call__(self, truth: bool) -> Answer:
        self.truths.append(truth)
        return self.answers.pop(0)


def test_an_equal_answer_passes_with_one_ask():
    ask = Asked(HONEST)
    assert judge(4, HONEST, ask, exact=True).verdict == "passed"
    assert ask.truths == [False]


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"ids": (1, 3)}, "the queried slices change"),
        ({"pseudo": {2: np.zeros((2, 2), np.uint8)}}, "the pseudo-labels change"),
        ({"pseudo": {}}, "the pseudo-labels change"),
        ({"scores": (0.5, 0.26), "notes": {}}, "the scores and the notes change"),
        (
            {"error": "KeyError: 'x'"},
            "its answers change without the masks that were not bought (without them it",
        ),
        ({"ids": (1, 3), "hidden": ("/x",)}, "were not bought (it asked for what was hidden, '/x')"),
    ],
)
def test_an_answer_that_changes_with_the_masks_has_looked(changed, what):
    ask = Asked(replace(HONEST, **changed), HONEST, HONEST)
    verdict = judge(4, HONEST, ask, exact=True)
    assert verdict.verdict == "looked"
    assert verdict.sentence.startswith("the query of round 4 must depend on nothing but its context, ")
    assert what in verdict.sentence
    assert ask.truths == [False, True, True]


def test_an_answer_that_never_repeats_itself_is_unrepeatable():
    third = replace(HONEST, ids=(2, 3))
    assert judge(0, HONEST, Asked(OTHER, third, HONEST), exact=True).sentence == (
        "the query of round 0 must be the same in the same state to be audited, the queried slices differ between two "
        "processes in the same state: nothing can be said"
    )


def test_an_answer_that_only_the_run_gives_has_looked_on_the_same_cpu():
    asked = OTHER, OTHER, OTHER
    assert "were others in the run than in fresh processes" in judge(0, HONEST, Asked(*asked), exact=True).sentence
    assert judge(0, HONEST, Asked(*asked), exact=True).verdict == "looked"
    assert judge(0, HONEST, Asked(*asked), exact=False).verdict == "unrepeatable"


def test_a_strategy_that_fails_in_every_fresh_process_is_unrepeatable():
    failed = Answer(error="no such module")
    verdict = judge(0, HONEST, Asked(failed, failed), exact=True)
    assert verdict.verdict == "unrepeatable"
    assert "it cannot be asked in a fresh process (no such module)" in verdict.sentence


def test_pseudo_labels_of_queried_slices_are_not_compared_as_they_are_not_kept():
    mask = np.ones((2, 2), np.uint8)
    assert set(Answer.of(Query(np.array([1]), pseudo={1: mask, 2: mask})).pseudo or {}) == {2}
