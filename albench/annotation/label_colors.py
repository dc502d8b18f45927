"""The classes with their colors, as ITK-SNAP and 3D Slicer read them.

Both formats follow the code that reads them: `ColorLabelTable::LoadFromFile` of ITK-SNAP, and
`vtkMRMLColorTableStorageNode::ReadCtblFile` of 3D Slicer, which takes an underscore in a name for a space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from albench.masks import UNKNOWN

Color = tuple[int, int, int]

# Okabe and Ito, Color Universal Design, 2008, those that are bright on gray first, without black.
_COLORS: tuple[Color, ...] = (
    *((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (213, 94, 0), (0, 114, 178)),
    (204, 121, 167),
)
_GRAY: Color = (128, 128, 128)
_FAINT = 0.15  # opacity of what is unknown, which covers most slices
_SNAP_HEADER = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    IDX:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
"""


@dataclass(frozen=True)
class LabelColor:
    """A label as annotators see it.

    Attributes:
        label: its number in label files.
        name: of the class.
        color: red, green and blue, 0 to 255.
        opacity: 0 to 1.
    """

    label: int
    name: str
    color: Color
    opacity: float


def label_colors(classes: Sequence[str]) -> list[LabelColor]:
    """The background, the classes 1 to K and the label of what is unknown. Colors repeat if there are many classes."""
    drawn = [LabelColor(label, name, color_of(label), 1.0) for label, name in enumerate(classes, 1)]
    return [LabelColor(0, "background", (0, 0, 0), 0.0), *drawn, LabelColor(UNKNOWN, "not asked for", _GRAY, _FAINT)]


def color_of(label: int) -> Color:
    """The color of a class."""
    return _COLORS[(label - 1) % len(_COLORS)]


def itk_snap_labels(classes: Sequence[str]) -> str:
    """A label description file of ITK-SNAP. A quotation mark in a name would end it, and becomes an apostrophe."""
    return _SNAP_HEADER + "".join(_snap_lines(classes))


def slicer_colors(classes: Sequence[str]) -> str:
    """A color table (.ctbl) of 3D Slicer. Names have no spaces there; 3D Slicer shows underscores as spaces."""
    labels = label_colors(classes)
    lines = [f"# Color table file albench.ctbl\n# {len(labels)} values\n"]
    for label in labels:
        name = "_".join(label.name.split()) or "_"
        red, green, blue = label.color
        lines.append(f"{label.label} {name} {red} {green} {blue} {round(255 * label.opacity)}\n")
    return "".join(lines)


def _snap_lines(classes: Sequence[str]) -> Iterator[str]:
    for label in label_colors(classes):
        red, green, blue = label.color
        visible, meshed = int(label.opacity > 0), int(label.opacity == 1)
        name = " ".join(label.name.replace('"', "'").split())
        yield (
            f'{label.label:5}   {red:3}  {green:3}  {blue:3}  {label.opacity:7.2g}  {visible}  {meshed}    "{name}"\n'
        )
