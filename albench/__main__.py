"""The command `albench`, which is light, so that it can be stopped in one sentence while the rest is imported."""

from __future__ import annotations

from albench.interruption import stoppable


def main() -> None:
    """Entry point of the command line."""
    with stoppable():
        from albench.cli.main import main as command_line

        command_line()


if __name__ == "__main__":
    main()
