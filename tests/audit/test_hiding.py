"""What an audited query cannot read, tried in processes of their own, because hiding has no end."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import os, sqlite3, socket, subprocess, sys, tempfile
from pathlib import Path
from albench.audit.hiding import Hiding
place, shown = Path(sys.argv[1]), Path(sys.argv[2])
hiding = Hiding([shown])
hiding.begin()
"""


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("(place / 'secret').read_text()", "FileNotFoundError"),
        ("(place / 'link').read_text()", "FileNotFoundError"),
        ("os.open(place / 'secret', os.O_RDONLY)", "FileNotFoundError"),
        ("(place / 'secret').open('r+')", "FileNotFoundError"),
        ("os.rename(place / 'secret', shown / 'secret')", "FileNotFoundError"),
        ("os.link(place / 'secret', shown / 'secret')", "FileNotFoundError"),
        ("os.listdir(place)", "FileNotFoundError"),
        ("sqlite3.connect(place / 'secret')", "FileNotFoundError"),
        ("open(f'/proc/{os.getppid()}/environ').read()", "FileNotFoundError"),
        ("open(f'/proc/self/root{place}/secret').read()", "FileNotFoundError"),
        ("subprocess.run(['cat', place / 'secret'])", "PermissionError"),
        ("os.system('true')", "PermissionError"),
        ("os.fork()", "PermissionError"),
        ("socket.create_connection(('127.0.0.1', 9))", "PermissionError"),
        ("(shown / 'data').read_text()", ""),
        ("open('/dev/null').read()", ""),
        ("open(os.__file__).read()", ""),
        ("import decimal, xml.dom.minidom, wave", ""),
        ("(place / 'new').write_text('1'); (place / 'new').read_text()", ""),
        ("(place / 'log').open('a').write('1')", ""),
    ],
)
def test_only_code_and_what_is_shown_can_be_read(tmp_path, action, error):
    place, shown = tmp_path / "place", tmp_path / "shown"
    for folder in (place, shown):
        folder.mkdir()
    (place / "secret").write_text("truth")
    (shown / "data").write_text("data")
    (place / "link").symlink_to(place / "secret")
    command = [sys.executable, "-c", BEGIN + action, str(place), str(shown)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == bool(error), done.stderr
    assert error in done.stderr
    assert Path(place / "secret").read_text() == "truth"
