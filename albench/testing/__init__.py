"""The contract kit: check a strategy, a dataset or a network of your own against the rules of the benchmark.

failed = [check for check in check_strategy(MyStrategy()) if not check.passed]
assert not failed
"""

from albench.testing.contract import Check, check_dataset, check_strategy
from albench.testing.networks import check_network, missing_parts

__all__ = ["Check", "check_dataset", "check_network", "check_strategy", "missing_parts"]
