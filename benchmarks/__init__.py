"""Suites of runs and their scheduling."""
