"""The speed of albench, as ratios within one run: one runnable module per question, `make speed` for all."""
