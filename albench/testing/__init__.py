"""The contract kit: check a strategy or a dataset of your own against the rules of the benchmark.

failed = [check for check in check_strategy(MyStrategy()) if not check.passed]
assert not failed
"""

from albench.testing.contract import Check, check_dataset, check_strategy

__all__ = ["Check", "check_dataset", "check_strategy"]
