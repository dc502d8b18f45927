"""The forks of `support.forks` are as good as fresh processes."""

import os
import subprocess
import sys

import pytest
from support.forks import Fork

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "code",
    [
        "import os, sys; print(os.getcwd(), os.environ['FOUND'], 'PATH' in os.environ, sys.argv)",
        "print(input())",
        "import sys; print('told', file=sys.stderr); sys.exit(3)",
        "raise SystemExit('a sentence')",
        "1 / 0",
        "import atexit; atexit.register(print, 'last'); print('first')",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import gc; from albench.data import Prepared; print(any(type(one) is Prepared for one in gc.get_objects()))",
        "import threading; threading.Timer(0.2, print, ['in a thread']).start()",
    ],
)
def test_a_fork_ends_as_a_fresh_process_does(tmp_path, code):
    command, given = [sys.executable, "-c", code, "one", "two words"], {"cwd": tmp_path, "env": {"FOUND": "yes"}}
    fresh = subprocess.run(command, **given, input="read\n", capture_output=True, text=True, check=False)
    fork = Fork(command, **given)
    out, errors = fork.communicate("read\n", timeout=60)
    assert (fork.returncode, out) == (fresh.returncode, fresh.stdout)
    assert errors.splitlines()[-1:] == fresh.stderr.splitlines()[-1:]


def test_forks_draw_other_numbers_and_a_killed_one_has_no_answer():
    code = "import random, numpy, torch; print(random.random(), numpy.random.random(), torch.rand(1).item())"
    drawn = [Fork([sys.executable, "-c", code]).communicate()[0].split() for _ in range(2)]
    assert all(one != other for one, other in zip(*drawn, strict=True))
    waiting = Fork([sys.executable, "-c", "input()"], env=dict(os.environ))
    waiting.kill()
    assert (waiting.communicate(), waiting.returncode) == (("", ""), -9)
