"""What a run leaves on disk: its records, how they are written, read and verified."""

from albench.runs.discovery import find_runs
from albench.runs.reader import RunReader
from albench.runs.records import RoundRecord
from albench.runs.scores import load_runs
from albench.runs.stored_run import StoredRun
from albench.runs.verification import Damage, verify

__all__ = ["Damage", "RoundRecord", "RunReader", "StoredRun", "find_runs", "load_runs", "verify"]
