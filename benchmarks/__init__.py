"""Suites of runs, on one or several machines. `plan_suite` and `run_suite` do from Python what `albench bench` does."""

from albench.benchmarks.runner import SuiteOutcome, SuitePlan, plan_suite, run_suite

__all__ = ["SuiteOutcome", "SuitePlan", "plan_suite", "run_suite"]
