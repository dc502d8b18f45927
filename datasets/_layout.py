"""The pairs of image and mask in a folder: by dataset.json, by the names of nnU-Net, by equal names, or by what the
names of all files have in common.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from albench.data import Problem
from albench.datasets._datalist import datalist, lists_cases
from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import exists, has_suffix, holds_labels, no_format, stem, walk
from albench.datasets._labels import Values, declared_values
from albench.datasets._modality import channel_names
from albench.datasets._names import told_apart
from albench.datasets._pairing import Pairing, is_image_folder, is_mask, is_mask_folder, names_images, paired, part_of
from albench.datasets._patterns import image_patterns, mask_patterns
from albench.errors import DataError, few
from albench.files import is_file, is_folder

_NNUNET = ("imagesTr", "labelsTr")
_IN_A_LIST = "pair files in a list, which `albench data list-files` begins"
_NUMBER = re.compile(r"_\d{4}$")  # of a channel
_FEW = 8  # patterns in a sentence
_OTHER_FORMATS = (".img", ".hdr", ".mgz", ".mgh", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Layout:
    """The files of a dataset.

    Attributes:
        volumes: files by case, sorted by name; an image may have no mask.
        patients: by case, where a listing names them.
        labels: values by name, as dataset.json declares them; empty without it.
        modalities: number of channels of an image, as declared.
        channel_names: as dataset.json declares them; empty without it.
        test_images: number of images of an official test set without labels.
        options: options of the dataset that a listing sets.
        listings: the files, besides images and masks, that decide what is read.
        masks_folder: name of the folder where masks are looked for; empty if there is not one for all.
        organs: the classes, where each has masks of its own.
        rule: by which masks belong to images, in words as `by equal names`.
        told: sentences about how the files were found.
        problems: of the folder or the listing.
        segments: values by name, as the masks themselves name them; empty without names.
        unpaired: masks without image; None if their names tell which they are.
        doubt: about several masks of a case; a rule for raters answers it.
    """

    volumes: Mapping[str, Files]
    patients: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Values] = field(default_factory=dict)
    modalities: int = 1
    channel_names: tuple[str, ...] = ()
    test_images: int = 0
    options: Mapping[str, object] = field(default_factory=dict)
    listings: tuple[Path, ...] = ()
    masks_folder: str = ""
    organs: tuple[str, ...] = ()
    rule: str = ""
    told: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    segments: Mapping[str, Values] = field(default_factory=dict)
    unpaired: tuple[Path, ...] | None = None
    doubt: Problem | None = None

    def with_masks(self) -> Layout:
        """The layout in which an image without mask is a problem instead of a case."""
        where = f" in {self.masks_folder}/" if self.masks_folder else ""
        problems = [
            Problem(
                str(files.images[0]),
                f"every image must have a mask, '{files.images[0]}' has none{where}: add it, or set "
                f"data.unlabeled=skip to leave such images out or pool to use them without labels, or {_IN_A_LIST}",
            )
            for files in self.volumes.values()
            if not files.masks
        ]
        return replace(self.without_blank(), problems=(*self.problems, *problems))

    def without_blank(self) -> Layout:
        """The layout without images that have no mask."""
        return replace(self, volumes={case: files for case, files in self.volumes.items() if files.masks})

    def all_channels(self) -> tuple[int, ...] | None:
        """The channels to read: all that are declared, or None for images without channels."""
        return tuple(range(self.modalities)) if self.modalities > 1 else None

    def checked(self) -> Layout:
        """The layout itself. Raises DataError for the first serious problem."""
        for problem in self.problems:
            if problem.serious:
                raise DataError(problem.sentence)
        return self


def read_folder(root: Path) -> Layout:
    """Pair the images and masks of a folder. Raises DataError if it does not exist."""
    if not is_folder(root):
        raise DataError(f"data.root must be an existing folder, '{root}' is not: set it with --data-root")
    root = _with_list(root)
    problems: list[Problem] = []
    listing = root / "dataset.json"
    content = _content(listing, problems) if listing.exists() else {}
    found = _listed(listing, content, problems) if lists_cases(content) else _by_folders(root, problems)
    return _described(found, content, (listing,) if listing.exists() else (), problems)


def read_datalist(listing: Path) -> Layout:
    """The images and masks that a JSON file lists."""
    problems: list[Problem] = []
    content = _content(listing, problems)
    if not lists_cases(content) and not problems:
        problems.append(_bad_listing(listing))
    found = _listed(listing, content, problems) if lists_cases(content) else Layout({})
    return _described(found, content, (listing,), problems)


def images_and_masks(root: Path, problems: list[Problem]) -> tuple[dict[str, Path], dict[str, Path]]:
    """All files below a folder that can be read, by their path in it without suffix: images, and those that their names
    or folders call masks.
    """
    files = _by_stem(root, problems)
    shared = _shared_folders(files)
    masks = {name: path for name, path in files.items() if holds_labels(path) or is_mask(name)}
    if len(masks) == len(files):  # all are in a folder that is named as one of masks is
        masks = {name: path for name, path in files.items() if holds_labels(path) or is_mask(name[shared:])}
    images = {name: path for name, path in files.items() if name not in masks and not _is_derived(path, root)}
    return images, masks


def masks_of(image: str, masks: Mapping[str, Path], found: Pairing) -> tuple[MaskFile, ...]:
    """The masks of an image; none if a pairing has none for it.

    Args:
        masks: paths by the names in the pairing.
    """
    return tuple(MaskFile(masks[mask], organ, found.called.get(mask, "")) for mask, organ in found.masks.get(image, ()))


def missing(files: Files, listing: str) -> list[Problem]:
    """A problem for every listed file that does not exist; `listing` is the name of the list."""
    return [
        Problem(str(path), f"'{path}' must exist, {listing} lists it: add the file or remove the line")
        for path in files.paths
        if not exists(path)
    ]


def has_image_folder(root: Path) -> bool:
    """Whether a folder has a folder in it that is named as one of images."""
    return any(is_image_folder(path.name) and path.is_dir() for path in root.glob("*"))


def has_both_folders(root: Path) -> bool:
    """Whether a folder has one of images and one of masks in it."""
    return bool(_image_and_mask_folders(root.glob("*")))


def by_case(names: Sequence[str], listed: Sequence[Files], folder: Path, problems: list[Problem]) -> dict[str, Files]:
    """The files of volumes by case; the names are told apart by the folders of their images, as seen from `folder`."""
    images = [files.images[0] for files in listed]
    places = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in images]
    volumes: dict[str, Files] = {}
    for case, files in zip(told_apart(names, places), listed, strict=True):
        if case in volumes:
            path = files.images[0]
            sentence = f"two volumes must have different names, '{path}' and another one would be case '{case}': "
            problems.append(Problem(str(path), f"{sentence}rename it, or list it once"))
        volumes[case] = files
    return volumes


def _with_list(root: Path) -> Path:
    """The folder itself, or the only one in it if that has a dataset.json, as unpacked archives do."""
    inside = [path for path in root.glob("*") if not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and is_file(inside[0] / "dataset.json") else root


def _described(found: Layout, content: object, listings: tuple[Path, ...], problems: list[Problem]) -> Layout:
    """A layout with what a JSON file says about labels and channels."""
    described = content if isinstance(content, dict) else {}
    in_files = max((len(files.images) for files in found.volumes.values()), default=1)
    return replace(
        found,
        volumes=dict(sorted(found.volumes.items())),
        labels=declared_values(described.get("labels")),
        modalities=_modalities(described) if in_files == 1 else 1,
        channel_names=channel_names(described),
        listings=listings,
        problems=tuple(problems),
    )


def _listed(listing: Path, content: object, problems: list[Problem]) -> Layout:
    """What a JSON file lists, and a problem for each image of imagesTr/ that it does not list."""
    root, found = listing.parent, datalist(listing, content)
    if found is None or not found.cases:
        problems.append(_bad_listing(listing))
        return Layout({})
    for case in found.cases:
        problems += missing(case.files, listing.name)
    cases = [case for case in found.cases if all(exists(path) for path in case.files.paths)]
    names = [case.name for case in cases]
    volumes = by_case(names, [case.files for case in cases], root / _NNUNET[0], problems)
    patients = dict(zip(volumes, (case.patient for case in cases), strict=False))
    images = {} if listing.name != "dataset.json" else _by_stem(root / _NNUNET[0], problems)
    known = {path.resolve() for files in volumes.values() for path in files.images}
    problems += [
        Problem(str(path), f"'{path}' should be listed in dataset.json, it is not and is left out: add it", False)
        for path in images.values()
        if path.resolve() not in known
    ]
    return Layout(
        volumes,
        patients={case: patient for case, patient in patients.items() if patient},
        test_images=found.test_images,
        masks_folder=_NNUNET[1] if (root / _NNUNET[1]).is_dir() else "",
        rule=f"as {listing.name} lists them",
        told=tuple(
            f"{count} cases of section '{section}' of {listing.name} are left out: albench splits the others itself, "
            "add them to the section 'training' to use them"
            for section, count in found.others.items()
        ),
    )


def _by_folders(root: Path, problems: list[Problem]) -> Layout:
    """Pair a folder of images with one of masks, or all files below a folder by words in their names."""
    chosen = _two_folders(root, problems)
    if chosen is None:
        return Layout({}) if problems else _by_words(root, problems)
    images, masks = (_by_stem(folder, problems) for folder in chosen)
    of_masks = chosen[1].relative_to(root).as_posix()
    if not images:
        problems.insert(0, _nothing(root))
    named, without_image = _by_name(images, masks)
    if not images or not masks or any(files.masks for files in named.values()):
        problems += without_image
        cases = by_case([PurePosixPath(name).name for name in named], list(named.values()), chosen[0], problems)
        rule = "by equal names" if named.keys() <= images.keys() else "by equal names but for the number of a channel"
        return Layout(cases, masks_folder=of_masks, rule=rule, told=tuple(_left_out(root, chosen)))
    for numbered in (True, False) if all(name.endswith("_0000") for name in images) else (False, True):
        grouped = _grouped(images, numbered=numbered)
        found = paired(list(grouped), list(masks))
        if found:
            layout = _of_pairing(root, chosen[0], grouped, masks, found, problems)
            return replace(layout, masks_folder=of_masks, told=(*layout.told, *_left_out(root, chosen)))
    problems.append(_unpaired(root, images, masks))
    return Layout({})


def _by_words(root: Path, problems: list[Problem]) -> Layout:
    """Pair the files of all folders, of which words in their names or folders say which are masks."""
    images, masks = images_and_masks(root, problems)
    files = images | masks
    found = paired(list(images), list(masks)) if images and masks else None
    if found:
        return _of_pairing(root, root, _grouped(images, numbered=False), masks, found, problems)
    if images and masks:
        problems.append(_unpaired(root, images, masks))
    elif files:
        like, lacking = ("images", "masks") if images else ("masks", "images")
        problems.append(
            Problem(
                str(root),
                f"'{root}' must hold images and masks that their names tell apart, {len(files)} files such as "
                f"'{_first(root, files.values())}' look like {like} and none like {lacking}: say "
                f"which are {lacking} with `albench data list-files {root} --{lacking} PATTERN > list.csv`, and use "
                f"--data-root list.csv{_of_other_formats(root)}",
            )
        )
    else:
        problems.insert(0, _nothing(root))
    return Layout({})


def _of_other_formats(root: Path) -> str:
    """The end of a sentence that lacks files, if there are files that cannot be read."""
    others = [path for path in walk(root) if path.suffix.lower() in _OTHER_FORMATS]
    if not others:
        return ""
    return (
        f"; {len(others)} files such as '{_first(root, others)}' are of other formats, which are not read: convert "
        "them, for example to .nii.gz"
    )


def _two_folders(root: Path, problems: list[Problem]) -> tuple[Path, Path] | None:
    """The folder of images and that of masks; None if there are not two, with a problem if more fit than two.

    They stand in `root`, or beside each other in one folder below it.
    """
    if (root / _NNUNET[0]).is_dir() and (root / _NNUNET[1]).is_dir():
        return root / _NNUNET[0], root / _NNUNET[1]
    of_root = _image_and_mask_folders(root.glob("*"))
    fitting = of_root or _image_and_mask_folders(path for path in root.rglob("*") if not _is_hidden(path, root))
    if len(fitting) == 1:
        return fitting[0]
    if of_root:
        names = sorted({f"{path.name}/" for pair in of_root for path in pair})
        problems.append(
            Problem(
                str(root),
                f"'{root}' must have one folder of images and one of masks, {', '.join(names)} look like them: rename "
                f"the two to imagesTr/ and labelsTr/, or {_by_list(root)}",
            )
        )
        return None
    alone = [root / name for name in (_NNUNET[0], "images") if (root / name).is_dir()]
    if not alone or fitting or _has_masks(root, alone[0]):
        return None
    others = {_NNUNET[0]: _NNUNET[1], "images": "masks"}
    return alone[0], root / others[alone[0].name]


def _has_masks(root: Path, images: Path) -> bool:
    """Whether files outside of the folder of images are masks, by their names."""
    outside = [path for path in walk(root) if has_suffix(path) and not path.is_relative_to(images)]
    return any(is_mask(path.relative_to(root).with_name(stem(path)).as_posix()) for path in outside)


def _image_and_mask_folders(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Every folder of images with every folder of masks beside it."""
    folders = sorted(
        path for path in paths if (is_image_folder(path.name) or is_mask_folder(path.name)) and path.is_dir()
    )
    images = [path for path in folders if is_image_folder(path.name)]
    masks = [path for path in folders if is_mask_folder(path.name)]
    return [(image, mask) for image in images for mask in masks if image.parent == mask.parent]


def _left_out(root: Path, chosen: tuple[Path, Path]) -> Iterator[str]:
    """A sentence for every further pair of folders beside the two that are read, such as `imagesVa` and `labelsVa`."""
    beside = [path for path in sorted(chosen[0].parent.glob("*")) if path.is_dir() and path not in chosen]
    images, masks = ({part_of(path.name): path for path in beside if of(path.name)} for of in (names_images, is_mask))
    for part in sorted(images.keys() & masks.keys() - {""}):
        number = sum(has_suffix(path) for path in walk(masks[part]))
        yield (
            f"{number} masks in {masks[part].name}/ and their images in {images[part].name}/ are left out, albench "
            f"splits the others itself: to read them too, use `albench data list-files {root} --images "
            f"'{_alike(chosen[0], images[part])}*/*' --masks '{chosen[1].name}/*' --masks '{masks[part].name}/*' > "
            "list.csv` and --data-root list.csv"
        )


def _alike(path: Path, other: Path) -> str:
    """The characters with which the names of two folders begin."""
    return "".join(
        letter for letter, _ in takewhile(lambda pair: pair[0] == pair[1], zip(path.name, other.name, strict=False))
    )


def _of_pairing(
    root: Path,
    folder: Path,
    images: Mapping[str, tuple[Path, ...]],
    masks: Mapping[str, Path],
    found: Pairing,
    problems: list[Problem],
) -> Layout:
    """The layout of a pairing, which is told with its first pair."""
    listed = {name: Files(paths, masks_of(name, masks, found)) for name, paths in images.items()}
    names = [PurePosixPath(name).name for name in listed]
    volumes = by_case(names, list(listed.values()), folder, problems)
    first = next(files for files in volumes.values() if files.masks)
    pair = f"'{_first(root, first.images)}' with '{_first(root, [first.masks[0].path])}'"
    return Layout(
        volumes,
        rule=f"by {found.rule}",
        told=(
            f"images and masks are paired by {found.rule}, such as {pair}: check this pair, and all of them with "
            f"`albench data list-files {root}`",
        ),
    )


def _by_stem(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """Images in a folder at any depth, by their path in it without suffix."""
    found: dict[str, Path] = {}
    for path in walk(folder):
        place = path.relative_to(folder)
        if has_suffix(path) or is_folder(path):
            name = place.with_name(stem(path)).as_posix()
            if name in found:
                sentence = f"a volume must be stored once, '{path}' is stored as '{found[name].name}' too: remove one"
                problems.append(Problem(str(path), sentence))
            found[name] = path
        elif path.parent == folder and path.suffix.lower() in _OTHER_FORMATS:
            problems.append(Problem(str(path), no_format(path)))
    return found


def _shared_folders(names: Collection[str]) -> int:
    """How many characters the folders have that all names begin with."""
    common = os.path.commonpath([name.rpartition("/")[0] for name in names]) if names else ""
    return len(common) + 1 if common else 0


def _is_derived(path: Path, root: Path) -> bool:
    """Whether a file is in a folder that BIDS has for what is made of images."""
    return "derivatives" in path.relative_to(root).parts


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _by_name(images: Mapping[str, Path], masks: Mapping[str, Path]) -> tuple[dict[str, Files], list[Problem]]:
    """Pair equal paths; as in nnU-Net, `case_0000` and `case_0001` are the channels of `case`.

    An image without mask is named as those with masks are. The problems are of masks without image.
    """
    without_number = {name: _NUMBER.sub("", name) for name in images}
    numbered = any(name not in masks and short in masks for name, short in without_number.items())
    volumes: dict[str, Files] = {}
    for name, path in images.items():
        case = without_number[name] if numbered and name not in masks else name
        before = volumes[case].images if case in volumes else ()
        volumes[case] = Files((*before, path), (MaskFile(masks[case]),) if case in masks else ())
    return volumes, [
        Problem(
            str(path), f"every mask must have an image, '{path}' has none: add it or remove the mask, or {_IN_A_LIST}"
        )
        for case, path in masks.items()
        if case not in volumes
    ]


def _grouped(images: Mapping[str, Path], *, numbered: bool) -> dict[str, tuple[Path, ...]]:
    """Images by name, or by name without the number of the channel as in nnU-Net."""
    grouped: dict[str, tuple[Path, ...]] = {}
    for name, path in images.items():
        case = _NUMBER.sub("", name) if numbered else name
        grouped[case] = (*grouped.get(case, ()), path)
    return grouped


def _content(listing: Path, problems: list[Problem]) -> object:
    """What a JSON file holds; nothing if it is not one of a dataset, which is a problem."""
    try:
        content = json.loads(listing.read_text(encoding="utf-8-sig"))
        if lists_cases(content) or (isinstance(content, dict) and "file_ending" in content):
            return content
    except (OSError, ValueError, RecursionError):
        pass
    problems.append(_bad_listing(listing))
    return {}


def _bad_listing(listing: Path) -> Problem:
    return Problem(
        str(listing),
        f'\'{listing}\' must list cases under "training", each with "image" and "label": correct or remove it',
    )


def _nothing(root: Path) -> Problem:
    sentence = f"'{root}' must hold images in imagesTr/ and masks in labelsTr/, found none: check the path"
    return Problem(str(root), f"{sentence} (imagesTr/ with labelsTr/ or images/ with masks/)")


def _unpaired(root: Path, images: Mapping[str, Path], masks: Mapping[str, Path]) -> Problem:
    """The sentence about files whose names do not tell which belong together."""
    return Problem(
        str(root),
        f"the names of '{root}' must tell without doubt which mask belongs to which image, those of {len(images)} "
        f"images such as '{_first(root, images.values())}' and {len(masks)} masks such as "
        f"'{_first(root, masks.values())}' do not: {_choice(root, images, masks)}",
    )


def _choice(root: Path, images: Mapping[str, Path], masks: Mapping[str, Path]) -> str:
    """How to choose among several images or several masks of a case, or the remedy that always works."""
    images, masks = (
        {path.relative_to(root).with_name(stem(path)).as_posix(): path for path in files.values()}
        for files in (images, masks)
    )
    of_images = image_patterns(images, list(masks))
    if of_images:
        return (
            f"choose one image of each mask with {_listed_by(root, 'images', of_images)}, where several --images are "
            "channels, and use --data-root list.csv"
        )
    of_masks = mask_patterns(list(images), masks)
    if of_masks:
        return f"choose one mask of each image with {_listed_by(root, 'masks', of_masks)} and use --data-root list.csv"
    return f"give a mask the name of its image, or {_by_list(root)}"


def _listed_by(root: Path, option: str, patterns: Sequence[str]) -> str:
    first, *others = (f"'{pattern}'" for pattern in patterns)
    more = f" (or {few(others, _FEW)})" if others else ""
    return f"`albench data list-files {root} --{option} {first} > list.csv`{more}"


def _by_list(root: Path) -> str:
    """The remedy that always works."""
    return (
        f"write a list with `albench data list-files {root} > list.csv` (--images and --masks choose files), complete "
        "its lines image,mask, and use --data-root list.csv"
    )


def _first(root: Path, paths: Iterable[Path]) -> str:
    path = min(paths)
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _modalities(content: Mapping[str, object]) -> int:
    """Number of channels that the dataset.json of the Decathlon declares; in nnU-Net, each channel is a file."""
    names = content.get("modality")
    return max(1, len(names)) if isinstance(names, dict) else 1
