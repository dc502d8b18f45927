"""How fast albench is, as ratios within one run: one runnable module per question, `make speed` for all."""
