"""A project as a datastore of MONAI Label."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from monailabel.interfaces.datastore import Datastore

from albench.errors import ConfigError, DataError
from albench_monai_label.client_errors import told_to_client
from albench_monai_label.open_project import AskedVolume, OpenProject

ORIGINAL, FINAL = "original", "final"  # as in `DefaultLabelTag`


class ProjectDatastore(Datastore):
    """Volumes are named as in the project. A label has the name of its volume, and one of two tags.

    `original` is what to draw in: the label file of the worklist, unknown everywhere but on the slices that are asked
    for, or what was saved of it. `final` is what was saved. Nothing else can be saved, and volumes stay as they are;
    clients are told so in a sentence.

    Args:
        project: that is open.
    """

    def __init__(self, project: OpenProject) -> None:
        self._project = project
        self._image_info: dict[str, dict[str, Any]] = {}
        self._label_info: dict[Path, dict[str, Any]] = {}

    def name(self) -> str:
        """That of the volumes."""
        return self._project.project.record.name

    @told_to_client()
    def set_name(self, name: str) -> None:
        """Refused."""
        self._refuse("a project keeps its name")

    def description(self) -> str:
        """Which worklist is to be drawn."""
        return f"round {self._project.worklist.round}: {self._project.worklist.folder}"

    @told_to_client()
    def set_description(self, description: str) -> None:
        """Refused."""
        self._refuse("a project describes itself")

    def datalist(self) -> list[dict[str, Any]]:
        """The volumes of which something was saved, with their label files."""
        return [
            {"image": self.get_image_uri(case), "label": str(volume.saved)}
            for case, volume in self._project.asked().items()
            if volume.saved
        ]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """{tag: name of the label} of a volume."""
        return dict.fromkeys(_labels(self._project.asked().get(image_id)), image_id)

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """The name of the label; empty if there is none."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    @told_to_client()
    def get_image(self, image_id: str, params: Any = None) -> Any:
        """The content of the file of a volume."""
        self._project.check_case(image_id)
        return io.BytesIO(self._project.images[image_id].read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """The file of a volume; empty if there is no such volume."""
        return str(self._project.images.get(image_id, ""))

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> Any:
        """The content of a label file; None if there is none."""
        path = self._label(label_id, label_tag)
        return io.BytesIO(path.read_bytes()) if path else None

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """A label file; empty if there is none."""
        return str(self._label(label_id, label_tag) or "")

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Name and path of the file, and `slices`: what the worklist asks for, the slice most wanted first."""
        return self._info_of_image(image_id, self._project.asked().get(image_id))

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Name of the file, and `params.label_names`, by which 3D Slicer names segments."""
        path = self._label(label_id, label_tag)
        return {} if path is None else self._info_of_label(path)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Volumes of the worklist that are drawn."""
        return [case for case, volume in self._project.asked().items() if volume.drawn]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Volumes of the worklist with slices that are not drawn."""
        return [case for case, volume in self._project.asked().items() if not volume.drawn]

    def list_images(self) -> list[str]:
        """All volumes of the project."""
        return list(self._project.images)

    @told_to_client()
    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A ZIP archive of `datalist`, in a temporary file."""
        pairs = self.datalist()
        if not pairs:
            raise DataError("an archive holds volumes with saved labels, none is saved yet: draw one")
        handle, name = tempfile.mkstemp(suffix=".zip")
        os.close(handle)
        with zipfile.ZipFile(name, "w") as archive:
            for pair in pairs[: limit_cases or None]:
                for kind, path in pair.items():
                    archive.write(path, f"{kind}/{Path(path).name}")
        return name

    def refresh(self) -> None:
        """Nothing: what is on disk is read again when it has changed."""

    @told_to_client()
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Refused."""
        self._refuse("the volumes of a project are those with which it was made")

    @told_to_client()
    def remove_image(self, image_id: str) -> None:
        """Refused."""
        self._refuse("the volumes of a project are those with which it was made")

    @told_to_client()
    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]) -> str:
        """Save a drawing (`OpenProject.save`).

        Args:
            label_info: `label_info` in it holds name and number (`idx`) of each segment, as 3D Slicer sends them.
        """
        if label_tag != FINAL:
            raise ConfigError(
                f"a label must be saved with tag '{FINAL}', got '{label_tag}': choose it; for predictions as "
                "suggestions, train with prefill"
            )
        info = dict(label_info or {})
        names = {int(one["idx"]): str(one["name"]) for one in info.get("label_info") or ()}
        info["look"] = list(self._project.save(image_id, Path(label_filename), names))
        self._label_info[self._known(image_id, FINAL)] = info
        return image_id

    @told_to_client()
    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Take back what was saved; `original` stays, which belongs to the worklist."""
        if label_tag != FINAL:
            self._refuse(f"a label with tag '{label_tag}' belongs to the worklist")
        self._project.remove_saved(label_id)

    @told_to_client()
    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Keep what a client says of a volume, until the server ends."""
        self._project.check_case(image_id)
        self._image_info.setdefault(image_id, {}).update(info)

    @told_to_client()
    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Keep what a client says of a saved label, until the server ends."""
        self._label_info.setdefault(self._known(label_id, label_tag), {}).update(info)

    def status(self) -> dict[str, Any]:
        """How many volumes the worklist has, and how many of them are drawn."""
        volumes = self._project.asked().values()
        tags = Counter(tag for volume in volumes for tag in _labels(volume))
        drawn = sum(volume.drawn for volume in volumes)
        return {"total": len(volumes), "completed": drawn, "label_tags": dict(tags)}

    def json(self) -> dict[str, Any]:
        """All volumes with their labels, as MONAI Label's own datastore lists them."""
        asked = self._project.asked()
        objects = {
            case: {
                "image": {"ext": _ext(path), "info": self._info_of_image(case, asked.get(case))},
                "labels": {
                    tag: {"ext": _ext(label), "info": self._info_of_label(label)}
                    for tag, label in _labels(asked.get(case)).items()
                },
            }
            for case, path in self._project.images.items()
        }
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def _info_of_image(self, case: str, volume: AskedVolume | None) -> dict[str, Any]:
        if case not in self._project.images:
            return {}
        path = self._project.images[case]
        slices = [one.info() for one in volume.slices] if volume else []
        return {**self._image_info.get(case, {}), "name": path.name, "path": str(path), "slices": slices}

    def _info_of_label(self, path: Path) -> dict[str, Any]:
        names = {"label_names": self._project.label_names(path)}
        return {**self._label_info.get(path, {}), "name": path.name, "params": names}

    def _label(self, case: str, tag: str) -> Path | None:
        return _labels(self._project.asked().get(case)).get(tag)

    def _known(self, case: str, tag: str) -> Path:
        """The label file of a volume. Raises DataError if it has none."""
        path = self._label(case, tag)
        if path is None:
            raise DataError(f"a label must be there, '{case}' has none with tag '{tag}': fetch the next sample")
        return path

    @staticmethod
    def _refuse(rule: str) -> NoReturn:
        raise ConfigError(f"{rule}, so MONAI Label cannot change that: use albench annotate")


def _labels(volume: AskedVolume | None) -> dict[str, Path]:
    """{tag: label file} of a volume."""
    if volume is None:
        return {}
    return {ORIGINAL: volume.to_draw_in} | ({FINAL: volume.saved} if volume.saved else {})


def _ext(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
