"""albench: which slices should be labeled next? A benchmark of active learning for 3D medical images."""

__version__ = "0.1.0"
