"""The parts of STAR; the strategy itself is `albench.strategies.star`."""
