"""A machine without memory, or whose GPU stops: one sentence, nothing lost, and the same command goes on."""

import errno
import math
import mmap

import numpy as np
import pytest
import torch
from support.breaking import DETAILS, break_after_round_0, left_by, out_of_memory, stopped
from support.samples import TINY, invoke, tiny_arguments
from support.suites import damages
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import albench
from albench import run_session
from albench.callback import NullCallback
from albench.errors import MachineError, StoreError
from albench.loop import Execution, run
from albench.machine_errors import translate_machine_errors
from albench.resolve import resolve
from albench.runs import find_runs
from albench.strategy import Round
from albench.training import evaluation
from albench.training.batches import Batch
from albench.training.device import works
from albench.training.device_cache import DeviceCache

CONTINUES = "run the same command again, which continues after the last finished round"
FULL = (
    "a run must fit into the memory of the GPU, {} does not (it asked for 876.00 MiB, 251.06 MiB of 23.68 GiB are "
    "free, this process holds 22.98 GiB, process 2612 holds 458.00 MiB, process 2613 holds 1.20 GiB): end other "
    "processes on the GPU, or let fewer runs share it (--gpus-per-run), and " + CONTINUES + "; a smaller "
    "training.batch_size needs less memory, but is another run with other results"
)
STOPPED = (
    "a GPU must work until a run ends, {} stopped with '{}': " + CONTINUES + "; if it stops again, check the GPU with "
    "nvidia-smi, and the code of the strategy and the network with --device cpu in another --out"
)
ECC = "CUDA error: uncorrectable ECC error encountered"
NO_MEMORY = "a run must fit into the memory of the machine, {} does not ({}): end other processes, or do fewer runs at "
NO_MEMORY += "once (--jobs), and " + CONTINUES


def translated(error, where=""):
    """The sentence of an error."""
    with pytest.raises(MachineError) as raised, translate_machine_errors(where):
        raise error
    assert raised.value.__cause__ is error
    return str(raised.value)


def test_a_full_gpu_is_named_with_what_was_asked_for_is_free_and_is_held_by_whom():
    assert translated(out_of_memory(), "in fit of round 3") == FULL.format("in fit of round 3 it")
    assert translated(out_of_memory()) == FULL.format("it")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUDA driver error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "HIP out of memory",
    ],
)
def test_a_full_gpu_is_recognized_by_the_words_of_the_driver_and_of_libraries(text):
    sentence = translated(RuntimeError(text + DETAILS))
    assert sentence.startswith(f"a run must fit into the memory of the GPU, it does not ({text}): end other processes")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ECC, ECC),
        ("CUDA error: unspecified launch failure", "CUDA error: unspecified launch failure"),
        ("CUDA error: device-side assert triggered", "CUDA error: device-side assert triggered"),
        ("CUDA error: an illegal memory access was encountered", None),
        ("CUDA error: the launch timed out and was terminated", None),
        ("CUDA error: no CUDA-capable device is detected", None),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", None),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", None),
        ("CUDA error: unknown error", None),
        ("No CUDA GPUs are available", None),
        ("CUDA unknown error - this may be due to an incorrectly set up environment", "CUDA unknown error"),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(h)`", "CUBLAS_STATUS_EXECUTION_FAILED"),
        (
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(h)`",
            "CUBLAS_STATUS_NOT_INITIALIZED",
        ),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION_FAILED"),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED_CUDART", "CUDNN_STATUS_EXECUTION_FAILED_CUDART"),
        (f"While copying the parameter, an exception occurred : ('{ECC}\\nSearch',).", ECC),
    ],
)
def test_a_gpu_that_stopped_is_quoted_in_short(text, reason):
    assert translated(RuntimeError(text + DETAILS)) == STOPPED.format("it", reason or text)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: torch.empty(1 << 50), "can't allocate memory: you tried to allocate 4503599627370496 bytes"),
        (lambda: np.empty(1 << 50), "Unable to allocate 8.00 PiB for an array"),
        (lambda: bytearray(1 << 60), "MemoryError"),
        (lambda: mmap.mmap(-1, 1 << 60), "[Errno 12] Cannot allocate memory"),
    ],
)
def test_a_machine_without_memory_is_one_sentence(ask, told):
    with pytest.raises(MachineError) as raised, translate_machine_errors("in query of round 1"):
        ask()
    before, _, after = NO_MEMORY.format("in query of round 1 it", "|").partition("|")
    assert str(raised.value).startswith(before + told)
    assert str(raised.value).endswith(after)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the idea did not work"),
        RuntimeError("CUDA error: invalid argument"),
        RuntimeError("CUDA error: invalid configuration argument"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm(h)`"),
        RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
        OSError(errno.ENOENT, "No such file"),
        StoreError("the disk must have room"),
        IndexError("index 3 is out of bounds"),
    ],
)
def test_an_error_of_the_code_stays_what_it_is(error):
    with pytest.raises(type(error)) as raised, translate_machine_errors("in query of round 1"):
        raise error
    assert raised.value is error


COMMAND = ("run", "--strategy", "entropy", "--dataset", "phantom", *tiny_arguments())
MOMENTS = {  # where the machine fails after round 0, how, and the sentence
    "the network is copied to the device": (nn.Module, "to", out_of_memory(), FULL.format("it")),
    "the weights are copied to the device": (
        *(nn.Module, "load_state_dict", stopped()),
        STOPPED.format("at the start of round 1 it", ECC),
    ),
    "images are read": (DeviceCache, "batch", out_of_memory(), FULL.format("in fit of round 1 it")),
    "a loss is computed": (Batch, "supervised", stopped(), STOPPED.format("in fit of round 1 it", ECC)),
    "a gradient is computed": (torch.Tensor, "backward", out_of_memory(), FULL.format("in fit of round 1 it")),
    "the test cases are predicted": (
        *(evaluation, "count_thresholds", RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")),
        STOPPED.format("in evaluate of round 1 it", "CUDNN_STATUS_EXECUTION_FAILED"),
    ),
    "a thread scores a case": (
        *(evaluation, "score_case", MemoryError("Unable to allocate 3.00 GiB for an array")),
        NO_MEMORY.format("in evaluate of round 1 it", "Unable to allocate 3.00 GiB for an array"),
    ),
    "the query": (Round, "score", out_of_memory(), FULL.format("in query of round 1 it")),
    "weights are copied from the device": (run_session, "weights_of", stopped(), STOPPED.format("it", ECC)),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the command leaves on a machine that does not fail."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert invoke(*COMMAND, "--out", folder)[0] == 0
    return left_by(folder)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_ends_with_one_sentence_and_the_same_command_continues_it(tmp_path, monkeypatch, undisturbed, moment):
    owner, name, error, sentence = MOMENTS[moment]
    with monkeypatch.context() as breaking:
        break_after_round_0(breaking, owner, name, error)
        code, output = invoke(*COMMAND, "--out", tmp_path)
    assert code == 2
    assert output.endswith(f" albench: {sentence}")
    assert "Traceback" not in output
    (found,) = find_runs(tmp_path)
    assert [record.results() for record in found.records] == undisturbed[1][:1]
    code, output = invoke(*COMMAND, "--out", tmp_path)
    assert code == 0, output
    assert "finished rounds: 1" in output
    assert left_by(tmp_path) == undisturbed
    assert damages(tmp_path) == []


def test_from_python_it_is_an_error_of_albench(tmp_path, monkeypatch):
    break_after_round_0(monkeypatch, torch.Tensor, "backward", out_of_memory())
    with pytest.raises(MachineError) as raised:
        albench.run("entropy", "phantom", settings=TINY, out=tmp_path, device="cpu")
    assert str(raised.value) == FULL.format("in fit of round 1 it")
    assert [len(found.records) for found in find_runs(tmp_path)] == [1]


def test_weights_that_cannot_be_read_for_want_of_memory_are_no_reason_to_remove_the_run(tmp_path, monkeypatch):
    with monkeypatch.context() as breaking:
        break_after_round_0(breaking, torch.Tensor, "backward", out_of_memory())
        assert invoke(*COMMAND, "--out", tmp_path)[0] == 2

    def load(*arguments, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes.")

    monkeypatch.setattr(torch, "load", load)
    code, output = invoke(*COMMAND, "--out", tmp_path)
    assert code == 2
    assert "a run must fit into the memory of the machine" in output
    assert "remove" not in output


def test_a_bug_of_a_strategy_keeps_its_traceback(tmp_path, monkeypatch):
    bug = RuntimeError("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1")
    break_after_round_0(monkeypatch, Round, "score", bug)
    with pytest.raises(RuntimeError) as raised:
        invoke(*COMMAND, "--out", tmp_path)
    assert raised.value is bug


class Stopping(TorchDispatchMode, NullCallback):
    """A GPU that stops after some operations of a phase: from then, each of them fails."""

    def __init__(self, index, phase):
        super().__init__()
        self._moment, self._left = (index, phase), math.inf

    def on_phase(self, round_index, name):
        if (round_index, name) == self._moment:
            self._left = 30

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(isinstance(value, torch.Tensor) and value.is_cuda for value in tree_leaves((args, kwargs))):
            self._left -= 1
            if self._left < 0:
                raise stopped()
        return func(*args, **(kwargs or {}))


@pytest.mark.gpu
def test_a_gpu_works_until_it_stops_even_if_it_is_full(gpu, monkeypatch):
    assert works(gpu)
    stopping = Stopping(0, "fit")
    stopping.on_phase(0, "fit")
    with stopping:
        for _ in range(30):
            torch.ones(1, device=gpu).add_(1)
        assert not works(gpu)

    def full(*arguments, **options):
        raise out_of_memory()

    monkeypatch.setattr(torch, "zeros", full)
    assert works(gpu)


@pytest.mark.gpu
def test_a_run_whose_gpu_stops_again_and_again_gives_what_an_undisturbed_run_gives(gpu, tmp_path):
    resolved = resolve("entropy", "phantom", settings={**TINY, "protocol.rounds": 1})
    expected = [record.results() for record in run(resolved, tmp_path / "undisturbed", Execution(gpu)).records]
    for moment in ((0, "fit"), (0, "evaluate"), (0, "query"), (1, "fit"), (1, "evaluate")):
        stopping = Stopping(*moment)
        with pytest.raises(MachineError) as raised, stopping:
            run(resolved, tmp_path / "stopped", Execution(gpu), stopping)
        assert str(raised.value) == STOPPED.format("in {1} of round {0} it".format(*moment), ECC)
    found = [record.results() for record in run(resolved, tmp_path / "stopped", Execution(gpu)).records]
    assert len(found) == len(expected) == 2
    if torch.cuda.get_device_name(gpu) == "simulated":  # a real one rounds as it likes
        assert found == expected


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name", ["albench.training.device_cache.DeviceCache._copy_to_device", "torch.cuda.Event.synchronize"]
)
def test_what_only_a_gpu_does_may_fail_too(gpu, tmp_path, monkeypatch, name):
    """The images are copied once, at the first training; a thread waits for masks while the query runs."""

    def full(*arguments):
        raise out_of_memory()

    resolved = resolve("entropy", "phantom", settings={**TINY, "protocol.rounds": 1})
    with monkeypatch.context() as breaking:
        breaking.setattr(name, full)
        with pytest.raises(MachineError, match=r"^a run must fit into the memory of the GPU, "):
            run(resolved, tmp_path, Execution(gpu))
    assert len(run(resolved, tmp_path, Execution(gpu)).records) == 2
