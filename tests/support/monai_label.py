"""The interface of MONAI Label that `examples/monai-label` implements, as version 0.8.5 publishes it.

Read at commit da0247ee5465 of Project-MONAI/MONAILabel, in `monailabel/interfaces`. The tests of the example compare it
with the installed package.
"""

from __future__ import annotations

from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum
from types import ModuleType
from typing import Any

DATASTORE: Mapping[str, Sequence[str]] = {
    "name": (),
    "set_name": ("name",),
    "description": (),
    "set_description": ("description",),
    "datalist": (),
    "get_labels_by_image_id": ("image_id",),
    "get_label_by_image_id": ("image_id", "tag"),
    "get_image": ("image_id", "params"),
    "get_image_uri": ("image_id",),
    "get_label": ("label_id", "label_tag", "params"),
    "get_label_uri": ("label_id", "label_tag"),
    "get_image_info": ("image_id",),
    "get_label_info": ("label_id", "label_tag"),
    "get_labeled_images": ("label_tag", "labels"),
    "get_unlabeled_images": ("label_tag", "labels"),
    "list_images": (),
    "get_dataset_archive": ("limit_cases",),
    "refresh": (),
    "add_image": ("image_id", "image_filename", "image_info"),
    "remove_image": ("image_id",),
    "save_label": ("image_id", "label_filename", "label_tag", "label_info"),
    "remove_label": ("label_id", "label_tag"),
    "update_image_info": ("image_id", "info"),
    "update_label_info": ("label_id", "label_tag", "info"),
    "status": (),
    "json": (),
}
"""{abstract method of a datastore: its parameters}."""


def _abstract(self: object, *arguments: object) -> None: ...


_Datastore = ABCMeta("Datastore", (), {name: abstractmethod(_abstract) for name in DATASTORE})


class _Task(ABC):
    def __init__(self, description: str) -> None:
        self.description = description

    def info(self) -> dict[str, Any]:
        return {"description": self.description}

    @abstractmethod
    def __call__(self, request: Any, datastore: Any) -> Any: ...


class ToldError(Exception):
    """In the place of the error that the server hands on to clients."""

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status_code, self.detail = status_code, detail


class _InferType(str, Enum):
    SEGMENTATION = "segmentation"


class _InferTask(ABC):
    def __init__(self, type: str, labels: Sequence[str], dimension: int, description: str) -> None:
        self.type, self.labels, self.dimension, self.description = type, labels, dimension, description

    @abstractmethod
    def is_valid(self) -> bool: ...

    @abstractmethod
    def __call__(self, request: Any) -> tuple[str | None, dict[str, Any]]: ...


class _App:
    def __init__(self, **given: Any) -> None:
        self.name, self.labels = given["name"], given["labels"]
        self.store = self.init_datastore()
        self.models, self.trainers, self.strategies = self.init_infers(), self.init_trainers(), self.init_strategies()

    def init_datastore(self) -> Any: ...

    def init_infers(self) -> Any: ...

    def init_trainers(self) -> Any: ...

    def init_strategies(self) -> Any: ...


_NAMES: Mapping[str, Mapping[str, object]] = {
    "fastapi": {"HTTPException": ToldError},
    "monailabel": {},
    "monailabel.interfaces": {},
    "monailabel.interfaces.app": {"MONAILabelApp": _App},
    "monailabel.interfaces.datastore": {"Datastore": _Datastore},
    "monailabel.interfaces.tasks": {},
    "monailabel.interfaces.tasks.strategy": {"Strategy": _Task},
    "monailabel.interfaces.tasks.train": {"TrainTask": _Task},
    "monailabel.interfaces.tasks.infer_v2": {"InferTask": _InferTask, "InferType": _InferType},
}


def stand_in() -> dict[str, ModuleType]:
    """Modules with the interface and nothing behind it, by name."""
    modules = {name: ModuleType(name) for name in _NAMES}
    for name, values in _NAMES.items():
        modules[name].__dict__.update(values)
    return modules
