"""Suites: many runs, on one machine or many. `run_suite` runs one from Python."""

from albench.benchmarks.runner import SuiteOutcome, run_suite

__all__ = ["SuiteOutcome", "run_suite"]
