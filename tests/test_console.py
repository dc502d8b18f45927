"""Waiting on a terminal and in a pipe."""

import io
import time

import pytest
from rich.console import Console

from albench.console import bar, messages, say, waiting
from albench.errors import counted


@pytest.fixture
def piped(monkeypatch):
    """A console that is no terminal, on which what takes 0.02 s is long."""
    monkeypatch.setattr("albench.console.LONG_WAIT", 0.02)
    return Console(file=io.StringIO(), width=80)


def test_a_long_wait_is_told_once_and_a_short_one_never(piped):
    with waiting(piped, "reading"):
        pass
    time.sleep(0.1)
    assert piped.file.getvalue() == ""
    with waiting(piped, "reading [1]"):
        time.sleep(0.2)
    assert piped.file.getvalue() == "reading [1]\n"


def test_a_wait_of_several_steps_tells_those_that_are_long(piped):
    with waiting(piped, "reading") as tell:
        tell("asking")
        time.sleep(0.2)
        tell("asking again")
        tell("writing")
        time.sleep(0.2)
        tell("ending")
    time.sleep(0.1)
    assert piped.file.getvalue() == "asking\nwriting\n"


def test_a_terminal_shows_the_step_that_is_awaited_as_it_is():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with waiting(console, "reading [1]") as tell:
        time.sleep(0.3)
        tell("asking [bold]2")
        time.sleep(0.3)
    assert "reading [1]" in console.file.getvalue()
    assert "asking [bold]2" in console.file.getvalue()


def test_messages_go_to_a_terminal_or_beside_the_output(capsys):
    shown = Console(file=io.StringIO(), force_terminal=True)
    assert messages(shown) is shown
    say(messages(Console(file=io.StringIO())), "waiting")
    assert capsys.readouterr() == ("", "waiting\n")


def test_what_comes_before_the_first_step_is_told_before_it(piped):
    with bar(piped, "preparing", before="looking") as show:
        time.sleep(0.2)
        show(1, 2)
        time.sleep(0.2)
    assert piped.file.getvalue() == "looking\npreparing\n"
    with bar(piped, "preparing", before="looking") as show:
        show(1, 2)
        time.sleep(0.2)
    assert piped.file.getvalue() == "looking\npreparing\npreparing\n"


def test_a_terminal_shows_a_wait_until_the_first_step():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)

    def shown(words):
        end = time.monotonic() + 60
        while words not in console.file.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        return words in console.file.getvalue()

    with bar(console, "preparing", before="looking") as show:
        assert shown("looking")
        show(1, 2)
        assert shown("preparing")
        time.sleep(0.3)
    assert "looking" not in console.file.getvalue().partition("preparing")[2]


def test_words_of_numbers():
    assert [counted(n, "case") for n in (0, 1, 2, 1000)] == ["0 cases", "1 case", "2 cases", "1,000 cases"]
