"""Asking a strategy in a fresh process, which reads a question and writes the answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import torch

from albench.audit.hiding import Hiding
from albench.audit.question import Question, read, write
from albench.audit.verdict import Answer
from albench.audit.world import World
from albench.callback import NullCallback
from albench.errors import AlbenchError
from albench.pool import Pool
from albench.query import OracleDraw, check_query
from albench.run_session import Execution, RunSession, State, Turn

_KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "PYTHONHASHSEED", "PYTHONHOME"),
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "MKL_NUM_THREADS", "KMP_BLOCKTIME", "GOMP_SPINCOUNT"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUBLAS_WORKSPACE_CONFIG", "PYTORCH_CUDA_ALLOC_CONF"),
)
"""Variables that an audited query may see; a strategy may have left others."""

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from albench.audit.fresh_process import main; main()"


class FreshProcess:
    """A process that imports albench and waits for one question, so that it may start while there is none yet.

    It ends without an answer if the process that started it does.

    Attributes:
        world: in which it lives.
    """

    def __init__(self, world: World, *, truth: bool) -> None:
        """Start it.

        Args:
            world: with the masks that it will find there.
            truth: whether these will be the true ones, so that nothing else is hidden either.
        """
        self.world = world
        root = world.cache.parent
        self._asked, self._answered = root / "question", root / "answer"
        variables = dict(os.environ) if truth else {name: os.environ[name] for name in _KEPT if name in os.environ}
        arguments = (json.dumps(sys.path), str(self._asked), str(self._answered), str(world.prepared), str(truth))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            env=variables | {"ALBENCH_CACHE": str(world.cache)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: Question) -> Answer | OracleDraw:
        """What a strategy answers in it, from the state at the start of its query."""
        self._answered.unlink(missing_ok=True)
        write(self._asked, question)
        try:
            _, errors = self._process.communicate("\n")
        except BaseException:
            self.end()
            raise
        if not self._answered.exists():
            last = errors.strip().splitlines()[-1:] or [f"it ended with exit code {self._process.returncode}"]
            return Answer(error=last[0])
        answer: Answer | OracleDraw = read(self._answered)
        return answer

    def end(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Answer a question as soon as there is a line to read; `FreshProcess` gives the arguments."""
    import_module("monai.networks.nets")  # its import reads caches, and takes long if they are hidden
    if not sys.stdin.readline():
        return
    asked, answered, prepared = map(Path, sys.argv[2:5])
    question: Question = read(asked)
    torch.set_num_threads(question.threads)
    hiding = Hiding([prepared.parent, *(Path(str(path)) for path in question.config.files.values())])
    if sys.argv[5] == "False":
        asked.unlink()
        hiding.begin()
    try:
        answer = _answer(question, prepared, hiding)
    except AlbenchError as error:
        answer = Answer(error=str(error), hidden=tuple(hiding.noticed))
    except Exception as error:  # whatever a strategy raises is its answer
        answer = Answer(error=f"{type(error).__name__}: {error}", hidden=tuple(hiding.noticed))
    write(answered, answer)


def _answer(question: Question, prepared: Path, hiding: Hiding) -> Answer | OracleDraw:
    execution = Execution(torch.device(question.device), graphs=question.graphs)
    session = RunSession(question.resolved(prepared), execution, NullCallback())
    pool = Pool(session.slices).with_masks(question.labeled)
    state = State(pool, question.pseudo, question.previous, question.steps)
    turn = session.turn(question.index, state, question.recorded)
    _fit(session, turn, question)
    with session.phase(turn, "query"):
        query = session.ask(turn)
    if isinstance(query, OracleDraw):
        return query
    check_query(query, turn.pool, turn.budget)
    return Answer.of(query, tuple(hiding.noticed))


def _fit(session: RunSession, turn: Turn, question: Question) -> None:
    """Bring the round to the start of its query."""
    if question.fitted is None:
        with session.phase(turn, "fit"):
            session.fit_alone(turn)
        return
    session.network.load_state_dict(question.fitted.weights)
    if question.fitted.rng is not None:
        turn.given.rng.bit_generator.state = question.fitted.rng
