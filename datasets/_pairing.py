"""Which masks belong to which image, by the names of the files and their folders.

Each rule holds for all files or is not used: every mask finds exactly one image. Numbers are never shifted: masks from
1 do not belong to images from 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

IMAGE_WORDS = frozenset(
    (
        *("image", "images", "img", "imgs", "volume", "volumes", "vol", "vols", "scan", "scans", "imaging", "ct"),
        *("mr", "mri", "orig"),
    )
)
MASK_WORDS = frozenset(
    (
        *("label", "labels", "lbl", "mask", "masks", "msk", "seg", "segs", "dseg", "segm", "segmentation"),
        *("segmentations", "annotation", "annotations", "groundtruth", "gt", "truth", "consensus", "delineation"),
        *("delineations", "contour", "contours", "roi"),
    )
)
_OF_PARTS = frozenset(("tr", "train", "training", "derivatives"))  # stand beside such words in folders
_OF_RATERS = frozenset(
    ("rater", "reader", "observer", "annotator", "expert", "radiologist", "annotation", "obs", "anno", "r")
)
_ABOUT_MASK = ("space", "res", "den", "label", "desc", "seg", "from", "atlas")  # entities of BIDS that an image has not
_WORD = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")

Key = tuple[str, ...]
Masks = tuple[tuple[str, str | None], ...]  # name of a mask, and its organ


@dataclass(frozen=True)
class Pairing:
    """Masks by image, both by their paths without suffix.

    Attributes:
        rule: by which they are found, in words.
        masks: of every image that has some.
        called: what the names of masks say beside those of their images, where they differ in a number only and are
            those of raters, unless the user calls them organs; by mask.
    """

    rule: str
    masks: Mapping[str, Masks]
    called: Mapping[str, str] = field(default_factory=dict)


def paired(images: Sequence[str], masks: Sequence[str]) -> Pairing | None:
    """Pair names; None if no rule pairs all masks without doubt.

    Args:
        images: paths of images without suffix, parts separated by `/`.
        masks: likewise.
    """
    rules = (
        ("their names without words such as image and mask", _by_rest),
        ("the entities of BIDS in their names", _by_entities),
        ("their folders, of which each has one image", _by_folder),
        ("the part of their names that differs", _by_varying_part),
        ("the words with which their names begin", _by_beginning),
    )
    for rule, find in rules:
        found = find(images, masks)
        if found:
            named = _with_organs(found)
            if named is not None:
                return Pairing(rule, named, _called(found, named))
    return None


def together(images: Sequence[str], masks: Sequence[str]) -> dict[str, list[str]]:
    """All images that a mask may be of, by mask, where no other mask may be of them: those of one session in BIDS, of
    one folder, or whose names begin as that of the mask.
    """
    folders = {name: _rest(name.rpartition("/")[0], whole=True) for name in (*images, *masks)}
    whole = {name: _rest(name, whole=True) for name in (*images, *masks)}
    for keys, same in (
        ({name: _session(name) for name in whole}, True),
        (folders, True),
        (whole, False),
    ):
        of_masks = _unique({mask: keys[mask] for mask in masks})
        if of_masks is None or () in of_masks:
            continue
        groups = {
            mask: [name for name in images if (keys[name] if same else keys[name][: len(key)]) == key]
            for key, mask in of_masks.items()
        }
        if all(groups.values()):
            return groups
    return {}


def is_mask(name: str) -> bool:
    """Whether a word of the path says that a file is a mask."""
    return any(word in MASK_WORDS for word in words(name))


def names_images(name: str) -> bool:
    """Whether a word of the name of a folder says that it holds images."""
    return any(word in IMAGE_WORDS for word in words(name))


def part_of(folder: str) -> str:
    """The part of a dataset that a folder such as `imagesVa` holds, `va`; empty if its name does not say it."""
    return "-".join(_bare(words(folder)))


def is_image_folder(name: str) -> bool:
    """Whether a folder is named as one of images is: `images`, `imagesTr`, `Train_Volumes`."""
    return _plain(name) in IMAGE_WORDS | {"data", "raw", "input", "inputs"}


def is_mask_folder(name: str) -> bool:
    """Whether a folder is named as one of masks is: `labels`, `labelsTr`, `ground_truth`."""
    return _plain(name) in MASK_WORDS | {"target", "targets"}


def _plain(name: str) -> str:
    """The letters of the name of a folder in lower case, without `train`."""
    letters = re.sub(r"[\W\d_]", "", name.lower())
    return re.sub(r"^train(ing)?|(tr|train|training)$", "", letters)


def words(name: str) -> Key:
    """The words and numbers of a name in lower case: `volume-10`, `Case_1Mask` and `c01` have two, three and two."""
    return tuple(word.lower() for word in _WORD.findall(name))


def _by_rest(images: Sequence[str], masks: Sequence[str]) -> dict[str, list[tuple[str, Key]]] | None:
    """Equal paths without words of images and masks, or equal file names if folders differ otherwise; a mask may have
    more words behind those of its image.
    """
    for whole in (True, False):
        keys = _unique({name: _rest(name, whole=whole) for name in images})
        if keys is None:
            continue
        found = _each(masks, partial(_longest, images=keys, whole=whole))
        if found and not _leaves_channels(found, keys):
            return found
    return None


def _leaves_channels(found: Mapping[str, object], images: Mapping[Key, str]) -> bool:
    """Whether an image without mask has a name that begins as one with a mask, which may be another channel of it."""
    with_mask = {key for key, name in images.items() if name in found}
    return any(name not in found and any(key[:n] in with_mask for n in range(len(key))) for key, name in images.items())


def _by_entities(images: Sequence[str], masks: Sequence[str]) -> dict[str, list[tuple[str, Key]]] | None:
    """The image whose entities are those of the mask; of several, the one whose modality the mask names."""
    if not all(_file(name).startswith("sub-") for name in (*images, *masks)):
        return None
    of_images = {name: _entities(name) for name in images}
    by_subject: dict[str, list[str]] = {}
    for name, (own, _) in of_images.items():
        by_subject.setdefault(own["sub"], []).append(name)

    def image_of(mask: str) -> tuple[str, Key] | None:
        entities, _ = _entities(mask)
        organ = words(entities.get("label", "") or entities.get("desc", ""))
        about = {key: value for key, value in entities.items() if key not in _ABOUT_MASK}
        fitting = [name for name in by_subject.get(about["sub"], []) if of_images[name][0].items() >= about.items()]
        exact = [name for name in fitting if of_images[name][0] == about] or fitting
        named = [name for name in exact if of_images[name][1] and of_images[name][1] in re.split("[_-]", _file(mask))]
        chosen = named or exact
        return (chosen[0], organ) if len(chosen) == 1 else None

    return _each(masks, image_of)


def _by_varying_part(images: Sequence[str], masks: Sequence[str]) -> dict[str, list[tuple[str, Key]]] | None:
    """What differs between the names of one side, numbers without leading zeros; one image for every mask."""
    of_images, of_masks = (_unique(_varying(names)) for names in (images, masks))
    if of_images is None or of_masks is None or of_images.keys() != of_masks.keys():
        return None
    return {of_images[key]: [(mask, ())] for key, mask in of_masks.items()}


def _by_folder(images: Sequence[str], masks: Sequence[str]) -> dict[str, list[tuple[str, Key]]] | None:
    """The only image of the same folder or, for a mask in a folder such as `organs`, of the nearest one above."""
    folders = _unique({name: _rest(name.rpartition("/")[0], whole=True) for name in images})
    if folders is None or () in folders:
        return None

    def image_of(mask: str) -> tuple[str, Key] | None:
        folder = _rest(mask.rpartition("/")[0], whole=True)
        image = next((folders[folder[:n]] for n in range(len(folder), 0, -1) if folder[:n] in folders), None)
        if image is None:
            return None
        return image, tuple(word for word in _bare(words(_file(mask))) if word not in words(image))

    return _each(masks, image_of)


def _by_beginning(images: Sequence[str], masks: Sequence[str]) -> dict[str, list[tuple[str, Key]]] | None:
    """The image that has more of its first words in common with the mask than any other, where all such images have
    the same words behind them, which do not begin with a number: `c1_flair_pp` for `c1_mask1` and `c1_mask2`.
    """
    for whole in (True, False):
        keys = {name: _rest(name, whole=whole) for name in images}
        beginnings: dict[Key, list[str]] = {}
        for name, key in keys.items():
            for length in range(1, len(key) + 1):
                beginnings.setdefault(key[:length], []).append(name)
        found = _each(masks, partial(_most_in_common, images=beginnings, whole=whole))
        if found is None:
            continue
        behind = {
            keys[image][_alike([keys[image], _rest(mask, whole=whole)]) :]
            for image, of in found.items()
            for mask, _ in of
        }
        if len(behind) == 1 and not "".join(*behind)[:1].isdigit():
            return found
    return None


def _most_in_common(mask: str, images: Mapping[Key, Sequence[str]], *, whole: bool) -> tuple[str, Key] | None:
    """The only image that has most first words in common with a mask, and the words that only the mask has.

    Args:
        images: by all words with which they begin.
    """
    key = _rest(mask, whole=whole)
    most = next((length for length in range(len(key), 0, -1) if key[:length] in images), 0)
    chosen = images.get(key[:most], ())
    if len(chosen) != 1:
        return None
    return chosen[0], _without_repetition(key[:most], key[most:])


def _without_repetition(common: Key, more: Key) -> Key:
    """Further words without those at their beginning with which the common ones end: `liver` of `p1/p1_liver`."""
    for length in range(min(len(common), len(more)), 0, -1):
        if more[:length] == common[-length:] and not "".join(more[:length]).isdigit():
            return more[length:]
    return more


def _each(
    masks: Sequence[str], image_of: Callable[[str], tuple[str, Key] | None]
) -> dict[str, list[tuple[str, Key]]] | None:
    """Masks by image, each with the words that it has beside those of the image; None if one has no image."""
    found: dict[str, list[tuple[str, Key]]] = {}
    for mask in masks:
        image = image_of(mask)
        if image is None:
            return None
        found.setdefault(image[0], []).append((mask, image[1]))
    return found


def _with_organs(found: Mapping[str, Sequence[tuple[str, Key]]]) -> dict[str, Masks] | None:
    """Several masks of an image are of organs that their further words name, or of raters; None if that is unclear."""
    if all(len(masks) == 1 for masks in found.values()):
        return {image: ((masks[0][0], None),) for image, masks in found.items()}
    if any(len({more for _, more in masks}) < len(masks) for masks in found.values()):
        return None
    every = [more for masks in found.values() for _, more in masks]
    alike = _alike(every)
    if all(_is_rater(more) or _is_rater(more[alike:]) for more in every):
        return {image: tuple((mask, None) for mask, _ in masks) for image, masks in found.items()}
    if not all(map(_organ, every)):
        return None
    return {
        image: tuple((mask, _as_written(mask, _organ(more))) for mask, more in masks) for image, masks in found.items()
    }


def _called(found: Mapping[str, Sequence[tuple[str, Key]]], named: Mapping[str, Masks]) -> dict[str, str]:
    """The words and the number of masks that are of raters because of this number: `vertebrae_L1`, not `rater1`."""
    several = [of for of in named.values() if len(of) > 1]
    more_of = {mask: more for of in found.values() for mask, more in of if more}
    if any(organ is not None for of in several for _, organ in of) or any(map(_is_rater, more_of.values())):
        return {}
    return {mask: _as_written(mask, more) for mask, more in more_of.items()} if several else {}


def _is_rater(more: Key) -> bool:
    """Whether words such as `rater1`, `observer_b` or `2` say who drew a mask, and nothing else."""
    head, *rest = more or ("",)
    return (head in _OF_RATERS and len(rest) == 1) or (head.isdigit() and not rest)


def _organ(more: Key) -> Key:
    """Words without those of a rater at the end: `liver` of `liver_rater1`."""
    return more[:-2] if _is_rater(more[-2:]) and more[-2:-1] and not more[-2].isdigit() else more


def _as_written(mask: str, organ: Key) -> str:
    """Words as a part of a path has them, with their capital letters and what stands between them."""
    for part in reversed(mask.split("/")):
        found = list(_WORD.finditer(part))
        for start in range(len(found) - len(organ), -1, -1):
            chosen = found[start : start + len(organ)]
            if tuple(word[0].lower() for word in chosen) == organ:
                return part[chosen[0].start() : chosen[-1].end()]
    return "_".join(organ)


def _rest(name: str, *, whole: bool) -> Key:
    """The words of a path, or of the name of a file, without those of images and masks and their folders."""
    parts = name.split("/") if whole else [_file(name)]
    *folders, file = parts
    kept = [word for folder in folders for word in _bare(words(folder)) if word not in _OF_PARTS]
    return (*kept, *_bare(words(file)))


def _bare(found: Key) -> Key:
    return tuple(word for word in found if word not in IMAGE_WORDS | MASK_WORDS)


def _longest(mask: str, images: Mapping[Key, str], *, whole: bool) -> tuple[str, Key] | None:
    """The image of most words with which the words of a mask begin, and the further words of the mask."""
    key = _rest(mask, whole=whole)
    beside = () if whole else _rest(mask, whole=True)[: -len(key) or None]  # the words of its folders
    for length in range(len(key), -1, -1):
        image = images.get(key[:length])
        if image is not None and (length or not key):
            return image, (*beside, *key[length:])
    return None


def _varying(names: Sequence[str]) -> dict[str, Key]:
    """The words of each name that are not the same at the beginning or the end of all."""
    split = {name: tuple(word.lstrip("0") or "0" for word in words(name)) for name in names}
    keys = list(split.values())
    before = _alike(keys)
    after = _alike([key[before:][::-1] for key in keys])
    return {name: key[before : len(key) - after] for name, key in split.items()}


def _alike(keys: Sequence[Key]) -> int:
    """With how many equal words all keys begin."""
    count = 0
    for column in zip(*keys, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def _unique(keys: Mapping[str, Key]) -> dict[Key, str] | None:
    """Names by key; None if two have the same key."""
    if not keys or max(Counter(keys.values()).values()) > 1:
        return None
    return {key: name for name, key in keys.items()}


def _entities(name: str) -> tuple[dict[str, str], str]:
    """`sub-01_ses-1_T1w` as {sub: 01, ses: 1} and T1w."""
    parts = _file(name).split("_")
    pairs = [part.partition("-") for part in parts if "-" in part]
    return {key: value for key, _, value in pairs}, "" if "-" in parts[-1] else parts[-1]


def _session(name: str) -> Key:
    """Subject and session of a name of BIDS; nothing for other names."""
    entities, _ = _entities(name)
    return (entities["sub"], entities.get("ses", "")) if "sub" in entities else ()


def _file(name: str) -> str:
    return name.rpartition("/")[2]
