"""What `--conf NAME VALUE` of `monailabel start_server` may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from albench.errors import ConfigError


@dataclass(frozen=True)
class Options:
    """How an app works on a project.

    Attributes:
        annotator: folder of the worklist in which saved labels are kept, by which albench tells annotators apart.
        extra_slices: whether slices that nobody asked for are kept of what is saved. They may be predictions.
        empty_is_done: slices that come back as they were handed out are done.
        device: auto, cpu, cuda or cuda:1.
    """

    annotator: str = "monai-label"
    extra_slices: bool = False
    empty_is_done: bool = False
    device: str = "auto"

    @classmethod
    def read(cls, conf: Mapping[str, str]) -> Options:
        """From what the server was started with; other names are MONAI Label's own. Raises ConfigError."""
        annotator = conf.get("annotator", cls.annotator)
        if not re.fullmatch(r"\w[\w.-]*", annotator):
            raise ConfigError(
                f"annotator must be a name of letters, digits, '_', '-' and '.', got '{annotator}': rename it"
            )
        return cls(
            annotator,
            as_bool("extra_slices", conf.get("extra_slices", cls.extra_slices)),
            as_bool("empty_is_done", conf.get("empty_is_done", cls.empty_is_done)),
            conf.get("device", cls.device),
        )


def as_bool(name: str, value: object) -> bool:
    """A choice of a user, as clients send it. Raises ConfigError."""
    known = {"true": True, "false": False}
    if str(value).lower() not in known:
        raise ConfigError(f"{name} must be true or false, got '{value}': choose one of them")
    return known[str(value).lower()]
