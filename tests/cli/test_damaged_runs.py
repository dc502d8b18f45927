"""A damaged run on the command line: one sentence that names the file and what to do, exit code 2, no traceback."""

import shutil

import pytest
from support.damages import remove, rewrite, set_value
from support.samples import TINY, invoke, tiny_arguments

import albench
from albench.runs import find_runs


def _short_of_share(run):
    rewrite(run.layout.records, 0, lambda record: remove(record, ("share",)), sealed=True)
    return (
        r"rounds.jsonl', line 1, must be as albench wrote it, share is missing: restore it from a copy, or remove the"
    )


def _ids_are_text(run):
    rewrite(run.layout.round(0).query, None, lambda query: set_value(query, ("ids",), ["a", "b", "c"]), sealed=True)
    return "query.json' was changed or replaced after it was written, it does not match its record: restore it from a"


def _weights_of_another_shape(run):
    import torch

    torch.save({"a": torch.zeros(3)}, run.layout.round(1).weights)
    return "weights.pt' was changed or replaced after it was written, it does not match its record: restore it from a"


def _damaged_split(run):
    run.layout.split.write_text(run.layout.split.read_text()[:100])
    return "split.json' must hold JSON, it is damaged ("


def _no_settings(run):
    rewrite(run.layout.config, None, lambda config: remove(config, ("run",)), sealed=True)
    return "config.json' must be as albench wrote it, run is missing: restore it from a copy, or remove the run"


DAMAGES = {
    damage.__name__.strip("_"): damage
    for damage in (_short_of_share, _ids_are_text, _weights_of_another_shape, _damaged_split, _no_settings)
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two runs of one strategy that stopped after two of three rounds."""
    from albench.callback import NullCallback

    class Stops(NullCallback):
        def on_round(self, record):
            if record.round == 1:
                raise KeyboardInterrupt

    out = tmp_path_factory.mktemp("two") / "runs"
    for seed in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            albench.run("random", "phantom", seed=seed, settings=TINY, out=out, device="cpu", callback=Stops())
    return out


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_one_sentence_wherever_it_is_read(two_runs, tmp_path, name):
    out = tmp_path / "runs"
    shutil.copytree(two_runs, out)
    damaged, _ = find_runs(out)
    sentence = DAMAGES[name](damaged)
    code, said = invoke("run", "--strategy", "random", "--dataset", "phantom", "--out", out, *tiny_arguments())
    assert code == 2
    assert sentence.replace("\\", "") in said
    assert "Traceback" not in said
    code, said = invoke("verify", out)
    assert code == 1
    assert sentence in said
    assert "1 of 2 runs are as albench wrote them" in said
    code, said = invoke("status", out)
    assert code == 0
    assert said.count("seed-") >= 2
    if name in ("short_of_share", "no_settings"):  # what status reads
        assert "damaged" in said
        assert sentence in said
    code, said = invoke(
        "run", "--strategy", "random", "--dataset", "phantom", "--seed", 1, "--out", out, *tiny_arguments()
    )
    assert code == 0
    assert "finished rounds: 2" in said
