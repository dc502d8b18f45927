"""Parts of the strategy STAR, `albench.strategies.star`."""
