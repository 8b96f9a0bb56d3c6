"""Find the pairs of a folder by names, sub-folders or EXIF.

Names take precedence: first as in SID ("Learning to See in the Dark", Chen et al., CVPR 2018), then
words for dark and bright in the names of folders and files. Photos that names do not pair are
paired by EXIF: consecutive photos of one camera, lens and focal length with different exposures. In
a sub-folder without such a sequence, all photos are paired with the one that is brighter than all
others, if there is one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from undark.errors import ReadError
from undark.files.exif_read import shot_of
from undark.files.folder import find_files, is_result, no_folder
from undark.files.raw import RAW_SUFFIXES
from undark.files.suffixes import PICTURE_SUFFIXES
from undark.pairs.photo import exposure_of, sid_name
from undark.sensor.mosaic import Shot

DARK_WORDS = frozenset({"dark", "short", "input", "low"})
BRIGHT_WORDS = frozenset({"bright", "long", "target", "high", "gt"})
"""Names of folders and parts of file names, lower case. "low" and "high" are from the LOL data set;
"gt" (ground truth) is common."""
MIN_RATIO = 2.0
"""Smallest exposure ratio of a pair found by EXIF, one stop: less is bracketing."""
MAX_PAUSE = timedelta(minutes=1)
"""From the end of one exposure to the start of the next: enough to change a setting, too short to
set up for another scene."""

_WILDCARDS = {"*": "(.*)", "?": "(.)"}


@dataclass(frozen=True)
class Pair:
    """A dark photo and the bright one of the same scene."""

    dark: Path
    bright: Path


@dataclass(frozen=True)
class Found:
    """The pairs of a folder, and the photos that are in none."""

    pairs: list[Pair]
    """Sorted by the bright photo, then the dark one."""
    unpaired: list[Path]
    """Photos without a partner, sorted."""


def find_pairs(folder: Path) -> Found:
    """The pairs in a folder and its sub-folders: RAW files, or pictures if there are no RAW files.

    undark's own results are left out. Files are only opened for their EXIF, and only if their names
    do not pair them. Raises `ReadError` for a folder that is missing or has no photos.
    """
    photos = _photos(folder)
    named = [*_by_sid_name(folder, photos), *_by_words(folder, photos)]
    pairs = named + list(_by_exif(folder, _unpaired(folder, photos, named)))
    paired = {photo for pair in pairs for photo in (pair.dark, pair.bright)}
    unpaired = [photo for photo in photos if photo not in paired]
    return Found(sorted(pairs, key=lambda pair: (pair.bright, pair.dark)), unpaired)


def find_named(folder: Path, dark: str, bright: str) -> Found:
    """The pairs of the photos that `dark` and `bright` match: folders or globs below `folder`.

    A dark and a bright photo are a pair if the rest of their paths is equal, without the suffix:
    `night/a.ARW` and `day/a.ARW` for "night" and "day", `a_n.ARW` and `a_d.ARW` for "*_n.*" and
    "*_d.*"; a wildcard also matches "/". Photos that are not paired by name are paired by time.
    Raises `ReadError` like `find_pairs`, and if `dark` or `bright` matches no photo.
    """
    photos = _photos(folder)
    dark_photos, brights = (_matching(folder, photos, pattern) for pattern in (dark, bright))
    both = dark_photos.keys() & brights.keys()
    if both:
        name = next(iter(both)).name
        raise ReadError(f"{folder}: {name} is dark and bright; give other --dark and --bright")
    partner = {key: path for path, key in brights.items()}
    pairs = [Pair(path, partner[key]) for path, key in dark_photos.items() if key in partner]
    paired = {photo for pair in pairs for photo in (pair.dark, pair.bright)}
    pairs += _by_time([p for p in dark_photos if p not in paired], list(brights))
    paired = {photo for pair in pairs for photo in (pair.dark, pair.bright)}
    unpaired = [photo for photo in photos if photo in {*dark_photos, *brights} - paired]
    return Found(sorted(pairs, key=lambda pair: (pair.bright, pair.dark)), unpaired)


def _matching(folder: Path, photos: list[Path], pattern: str) -> dict[Path, tuple[str, ...]]:
    """Photo → the texts that the pattern's wildcards match, lower case, without the suffix."""
    glob = pattern.strip("/").removeprefix("./")
    glob = glob if any(c in glob for c in "*?") else f"{glob}/*"
    shape = "".join(_WILDCARDS.get(c, re.escape(c)) for c in glob)
    found = {}
    for photo in photos:
        match = re.fullmatch(shape, photo.relative_to(folder).as_posix(), re.DOTALL)
        if match:
            found[photo] = tuple(_stem(group) for group in match.groups())
    if not found:
        raise ReadError(f"{folder}: no photos in {pattern}; check --dark and --bright")
    return found


def _stem(text: str) -> str:
    """Lower case, without a photo's suffix: the photos of a pair may differ in it."""
    path = Path(text)
    known = path.suffix.lower() in RAW_SUFFIXES | frozenset(PICTURE_SUFFIXES)
    return str(path.with_suffix("") if known else path).lower()


def _by_time(dark_photos: list[Path], brights: list[Path]) -> Iterator[Pair]:
    """Each dark photo with the bright one nearest in time, if the pause is short."""
    timed = [photo for photo in _exposed(brights) if photo.shot.taken]
    for dark in _exposed(dark_photos):
        bright = _nearest(dark, [photo for photo in timed if photo.setup == dark.setup])
        if bright and dark.shot.taken and bright.pause(dark) <= MAX_PAUSE:
            yield Pair(dark.path, bright.path)


def _exposed(paths: list[Path]) -> list[_Photo]:
    """The photos whose EXIF gives their exposure."""
    shots = ((path, shot_of(path)) for path in paths)
    photos = (_Photo(path, shot, exposure_of(shot) or 0.0) for path, shot in shots)
    return [photo for photo in photos if photo.exposure]


def _photos(folder: Path) -> list[Path]:
    if why := no_folder(folder):
        raise ReadError(why)
    for suffixes in (RAW_SUFFIXES, frozenset(PICTURE_SUFFIXES)):
        photos = [p for p in find_files(folder, suffixes) if not is_result(p)]
        if photos:
            return photos
    raise ReadError(f"{folder}: a folder without photos; give one with dark and bright photos")


def _by_sid_name(folder: Path, photos: list[Path]) -> Iterator[Pair]:
    """Pairs of each scene: its photo in `long/`, or the longest exposure, with each other photo."""
    scenes: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for photo in photos:
        named = sid_name(photo)
        if named:
            scenes[_scene_folder(folder, photo), named[0], photo.suffix.lower()].append(photo)
    for members in scenes.values():
        roles = {photo: _role(photo.parent.relative_to(folder)) for photo in members}
        brights = [p for p in members if roles[p] == "bright"]
        candidates = brights or [p for p in members if not roles[p]]
        bright = max(candidates, key=_sid_time, default=None)
        for photo in members:
            shorter = bright is not None and _sid_time(photo) < _sid_time(bright)
            if bright and (roles[photo] == "dark" or (photo not in brights and shorter)):
                yield Pair(photo, bright)


def _sid_time(photo: Path) -> float:
    named = sid_name(photo)
    return named[1] if named else 0.0


def _by_words(folder: Path, photos: list[Path]) -> Iterator[Pair]:
    """Photos whose paths differ only in a word for dark and one for bright."""
    same: dict[tuple[str, ...], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for photo in photos:
        relative = photo.relative_to(folder).with_suffix("")
        if not sid_name(photo):
            same[_key(relative)][_role(relative)].append(photo)
    for roles in same.values():
        if len(roles["bright"]) == 1:
            yield from (Pair(dark, roles["bright"][0]) for dark in roles["dark"])


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s_.\-]+", name.lower()) if word]


def _role(relative: Path) -> str:
    """ "dark", "bright" or "": by the first folder or file named so, else the first word."""
    whole_names = [part.lower() for part in relative.parts]
    for word in whole_names + [word for part in relative.parts for word in _words(part)]:
        for role, words in (("dark", DARK_WORDS), ("bright", BRIGHT_WORDS)):
            if word in words:
                return role
    return ""


def _key(relative: Path) -> tuple[str, ...]:
    """A path without the words for dark and bright: equal for the photos of one scene."""
    roles = DARK_WORDS | BRIGHT_WORDS
    parts = ("-".join(w for w in _words(part) if w not in roles) for part in relative.parts)
    return tuple(part for part in parts if part)


@dataclass(frozen=True, eq=False)
class _Photo:
    """A photo with its EXIF."""

    path: Path
    shot: Shot
    exposure: float

    @property
    def start(self) -> datetime:
        return self.shot.taken or datetime.min

    @property
    def setup(self) -> tuple[object, ...]:
        """What the photos of a pair have in common."""
        shot = self.shot
        return self.path.suffix.lower(), shot.camera, shot.lens, shot.focal_length

    def is_brighter_than(self, other: _Photo) -> bool:
        """Whether the exposures differ as those of a pair, this one being the bright photo."""
        return self.exposure >= MIN_RATIO * other.exposure

    def pause(self, other: _Photo) -> timedelta:
        """From the end of the earlier one to the start of the later one."""
        first, second = sorted((self, other), key=lambda photo: photo.start)
        end = first.start + timedelta(seconds=first.shot.exposure_time or 0)
        return max(second.start - end, timedelta(0))


def _unpaired(folder: Path, photos: list[Path], named: list[Pair]) -> list[list[_Photo]]:
    """The photos not paired by name whose exposure is known, grouped by folder and setup.

    Folders in which names have paired some photos are left out: the others there have no partner.
    """
    covered = {_scene_folder(folder, pair.bright) for pair in named}
    groups: dict[tuple[object, ...], list[_Photo]] = defaultdict(list)
    for path in photos:
        scene_folder = _scene_folder(folder, path)
        if scene_folder not in covered and not sid_name(path):
            shot = shot_of(path)
            photo = _Photo(path, shot, exposure_of(shot) or 0.0)
            if photo.exposure:
                groups[scene_folder, *photo.setup].append(photo)
    return [sorted(group, key=lambda photo: photo.start) for group in groups.values()]


def _scene_folder(folder: Path, photo: Path) -> tuple[str, ...]:
    """The folder of a photo; sibling folders `dark/` and `bright/` count as the same one."""
    return _key(photo.parent.relative_to(folder))


def _by_exif(folder: Path, groups: list[list[_Photo]]) -> Iterator[Pair]:
    """Pairs within bursts; if a folder of one scene has none, all photos with the brightest."""
    for group in groups:
        timed = [photo for photo in group if photo.shot.taken]
        pairs = [pair for burst in _bursts(timed) for pair in _pairs_in_burst(burst)]
        one_scene = len(group) == 2 or group[0].path.parent != folder
        if pairs or one_scene:
            yield from pairs or _pairs_in_scene(group)


def _bursts(photos: list[_Photo]) -> Iterator[list[_Photo]]:
    """Sequences of photos without a pause longer than `MAX_PAUSE`."""
    burst: list[_Photo] = []
    for photo in photos:
        if burst and burst[-1].pause(photo) > MAX_PAUSE:
            yield burst
            burst = []
        burst.append(photo)
    yield burst


def _pairs_in_burst(burst: list[_Photo]) -> Iterator[Pair]:
    """Each photo with the nearest bright one.

    Candidates are photos at least as exposed as those taken before and after them.
    """
    around = [0.0, *(photo.exposure for photo in burst), 0.0]
    candidates = [p for i, p in enumerate(burst) if p.exposure >= max(around[i], around[i + 2])]
    found = {dark: _nearest(dark, candidates) for dark in burst}
    # a scene's bright photo may be darker than the next scene's: it is not a dark photo of that one
    brights = {bright for dark, bright in found.items() if dark not in candidates}
    for dark, bright in found.items():
        if bright and dark not in brights:
            yield Pair(dark.path, bright.path)


def _nearest(dark: _Photo, candidates: list[_Photo]) -> _Photo | None:
    """The candidate nearest in time of those that are bright enough; None if none is."""
    brighter = (photo for photo in candidates if photo.is_brighter_than(dark))
    return min(brighter, key=dark.pause, default=None)


def _pairs_in_scene(photos: list[_Photo]) -> Iterator[Pair]:
    """All other photos with the one that is brighter than each of them, if there is one."""
    bright = max(photos, key=lambda photo: photo.exposure)
    dark_photos = [photo for photo in photos if photo is not bright]
    if all(bright.is_brighter_than(dark) for dark in dark_photos):
        yield from (Pair(dark.path, bright.path) for dark in dark_photos)
