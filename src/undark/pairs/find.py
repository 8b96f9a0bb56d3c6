"""Which photos of a folder are pairs: by name, by sub-folders, or by what EXIF says.

Names go first: as in SID ("Learning to See in the Dark", Chen et al., CVPR 2018), then words for
dark and bright in the names of folders and files. Where names tell nothing, photos of one camera,
lens and focal length, taken one after the other with different exposures, belong together; then a
sub-folder with one photo brighter than all others counts as a scene.
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
from undark.files.folder import find_files, is_result
from undark.files.picture import PICTURE_SUFFIXES
from undark.files.raw import RAW_SUFFIXES
from undark.pairs.photo import exposure_of, sid_name
from undark.sensor.mosaic import Shot

DARK_WORDS = frozenset({"dark", "short", "input", "low"})
BRIGHT_WORDS = frozenset({"bright", "long", "target", "high", "gt"})
"""Names of folders, and parts of names of files, lower case; "low", "high" are LOL's, "gt" many's.
"""
LEAST_RATIO = 2.0
"""By exposure alone, a photo is another's bright one from one stop on: less is bracketing."""
LONGEST_PAUSE = timedelta(minutes=1)
"""From the end of one exposure to the start of the next: time enough to change a setting, not to
set up at the next scene."""

_WILDCARDS = {"*": "(.*)", "?": "(.)"}


@dataclass(frozen=True)
class Pair:
    """A dark photo and the bright one of the same scene."""

    dark: Path
    bright: Path


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    pairs: list[Pair]
    """Sorted by the bright photo, then the dark one."""
    alone: list[Path]
    """Photos without a partner, sorted."""


def find_pairs(folder: Path) -> Found:
    """The pairs in a folder and its folders; RAW files, or pictures where there are no RAW files.

    Results of undark's own are left out. Opens files for their EXIF only, and only where names do
    not tell. Raises `ReadError` for a folder that is missing or has no photos.
    """
    photos = _photos(folder)
    named = [*_by_sid_name(folder, photos), *_by_words(folder, photos)]
    pairs = named + list(_by_exif(folder, _left(folder, photos, named)))
    paired = {photo for pair in pairs for photo in (pair.dark, pair.bright)}
    alone = [photo for photo in photos if photo not in paired]
    return Found(sorted(pairs, key=lambda pair: (pair.bright, pair.dark)), alone)


def find_named(folder: Path, dark: str, bright: str) -> Found:
    """The pairs of photos whose places are given: folders below `folder`, or globs below it.

    A dark and a bright photo belong together where the rest of their paths is the same, without
    the suffix: `night/a.ARW` and `day/a.ARW` for "night" and "day", `a_n.ARW` and `a_d.ARW` for
    "*_n.*" and "*_d.*"; a wildcard also stands for folders. Photos that names do not pair are
    paired by the time they were taken. Raises `ReadError` like `find_pairs`, and where a name
    matches no photo.
    """
    photos = _photos(folder)
    darks, brights = (_matching(folder, photos, pattern) for pattern in (dark, bright))
    both = darks.keys() & brights.keys()
    if both:
        name = next(iter(both)).name
        raise ReadError(f"{folder}: {name} is dark and bright; give other --dark and --bright")
    partner = {key: path for path, key in brights.items()}
    pairs = [Pair(path, partner[key]) for path, key in darks.items() if key in partner]
    paired = {photo for pair in pairs for photo in (pair.dark, pair.bright)}
    pairs += _by_time([p for p in darks if p not in paired], list(brights))
    paired = {photo for pair in pairs for photo in (pair.dark, pair.bright)}
    alone = [photo for photo in photos if photo in {*darks, *brights} - paired]
    return Found(sorted(pairs, key=lambda pair: (pair.bright, pair.dark)), alone)


def _matching(folder: Path, photos: list[Path], pattern: str) -> dict[Path, tuple[str, ...]]:
    """Photo → what the wildcards of a pattern stand for, lower case, without the suffix."""
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
    """Without the suffix of a photo, lower case: a pair may differ in it."""
    path = Path(text)
    known = path.suffix.lower() in RAW_SUFFIXES | frozenset(PICTURE_SUFFIXES)
    return str(path.with_suffix("") if known else path).lower()


def _by_time(darks: list[Path], brights: list[Path]) -> Iterator[Pair]:
    """Each dark photo with the bright one nearest in time, where the pause is short."""
    tops = _exposed(brights)
    for dark in _exposed(darks):
        alike = [top for top in tops if top.outfit == dark.outfit and top.shot.taken]
        bright = _nearest(dark, alike)
        if bright and dark.shot.taken and bright.pause(dark) <= LONGEST_PAUSE:
            yield Pair(dark.path, bright.path)


def _exposed(paths: list[Path]) -> list[_Photo]:
    """Those whose EXIF tells their exposure."""
    shots = ((path, shot_of(path)) for path in paths)
    photos = (_Photo(path, shot, exposure_of(shot) or 0.0) for path, shot in shots)
    return [photo for photo in photos if photo.exposure]


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "there is no such folder"
        raise ReadError(f"{folder}: {what}; check the name")
    for suffixes in (RAW_SUFFIXES, frozenset(PICTURE_SUFFIXES)):
        photos = [p for p in find_files(folder, suffixes) if not is_result(p)]
        if photos:
            return photos
    raise ReadError(f"{folder}: a folder without photos; give one with dark and bright photos")


def _by_sid_name(folder: Path, photos: list[Path]) -> Iterator[Pair]:
    """Photos of one scene: the one in `long/`, or the longest, is the bright one of all others."""
    scenes: dict[tuple[object, ...], list[Path]] = defaultdict(list)
    for photo in photos:
        named = sid_name(photo)
        if named:
            scenes[_home(folder, photo), named[0], photo.suffix.lower()].append(photo)
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
        place = photo.relative_to(folder).with_suffix("")
        if not sid_name(photo):
            same[_key(place)][_role(place)].append(photo)
    for roles in same.values():
        if len(roles["bright"]) == 1:
            yield from (Pair(dark, roles["bright"][0]) for dark in roles["dark"])


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s_.\-]+", name.lower()) if word]


def _role(place: Path) -> str:
    """ "dark", "bright" or "": by the first whole name that says so, else the first word."""
    whole_names = [part.lower() for part in place.parts]
    for word in whole_names + [word for part in place.parts for word in _words(part)]:
        for role, words in (("dark", DARK_WORDS), ("bright", BRIGHT_WORDS)):
            if word in words:
                return role
    return ""


def _key(place: Path) -> tuple[str, ...]:
    """A path without the words for dark and bright, to know two photos of one scene by."""
    roles = DARK_WORDS | BRIGHT_WORDS
    parts = ("-".join(w for w in _words(part) if w not in roles) for part in place.parts)
    return tuple(part for part in parts if part)


@dataclass(frozen=True, eq=False)
class _Photo:
    """A photo and what its EXIF says."""

    path: Path
    shot: Shot
    exposure: float

    @property
    def start(self) -> datetime:
        return self.shot.taken or datetime.min

    @property
    def outfit(self) -> tuple[object, ...]:
        """What photos of a pair share."""
        shot = self.shot
        return self.path.suffix.lower(), shot.camera, shot.lens, shot.focal_length

    def outshines(self, other: _Photo) -> bool:
        """Whether this one is exposed as the bright one of a pair."""
        return self.exposure >= LEAST_RATIO * other.exposure

    def pause(self, other: _Photo) -> timedelta:
        """From the end of the earlier one to the start of the later one."""
        first, second = sorted((self, other), key=lambda photo: photo.start)
        end = first.start + timedelta(seconds=first.shot.exposure_time or 0)
        return max(second.start - end, timedelta(0))


def _left(folder: Path, photos: list[Path], named: list[Pair]) -> list[list[_Photo]]:
    """By folder and outfit, the photos whose exposure is known and that names say nothing of.

    Where names make some pairs, they are the rule: what they leave there has no partner.
    """
    ruled = {_home(folder, pair.bright) for pair in named}
    groups: dict[tuple[object, ...], list[_Photo]] = defaultdict(list)
    for path in photos:
        home = _home(folder, path)
        if home not in ruled and not sid_name(path):
            shot = shot_of(path)
            photo = _Photo(path, shot, exposure_of(shot) or 0.0)
            if photo.exposure:
                groups[home, *photo.outfit].append(photo)
    return [sorted(group, key=lambda photo: photo.start) for group in groups.values()]


def _home(folder: Path, photo: Path) -> tuple[str, ...]:
    """The folder of a photo; `dark/` and `bright/` beside each other are one."""
    return _key(photo.parent.relative_to(folder))


def _by_exif(folder: Path, groups: list[list[_Photo]]) -> Iterator[Pair]:
    """What was taken in one go; else, in a folder of one scene, what one photo outshines."""
    for group in groups:
        timed = [photo for photo in group if photo.shot.taken]
        pairs = [pair for burst in _bursts(timed) for pair in _of_burst(burst)]
        one_scene = len(group) == 2 or group[0].path.parent != folder
        if pairs or one_scene:
            yield from pairs or _of_scene(group)


def _bursts(photos: list[_Photo]) -> Iterator[list[_Photo]]:
    """Runs of photos with no long pause between them."""
    burst: list[_Photo] = []
    for photo in photos:
        if burst and burst[-1].pause(photo) > LONGEST_PAUSE:
            yield burst
            burst = []
        burst.append(photo)
    yield burst


def _of_burst(burst: list[_Photo]) -> Iterator[Pair]:
    """Each photo with the nearest one that outshines it and its own neighbours in time."""
    around = [0.0, *(photo.exposure for photo in burst), 0.0]
    tops = [p for i, p in enumerate(burst) if p.exposure >= max(around[i], around[i + 2])]
    found = {dark: _nearest(dark, tops) for dark in burst}
    # the bright photo of a scene is not a dark one of the next, brighter, scene
    brights = {bright for dark, bright in found.items() if dark not in tops}
    for dark, bright in found.items():
        if bright and dark not in brights:
            yield Pair(dark.path, bright.path)


def _nearest(dark: _Photo, tops: list[_Photo]) -> _Photo | None:
    """The one nearest in time of those that outshine it."""
    return min((top for top in tops if top.outshines(dark)), key=dark.pause, default=None)


def _of_scene(photos: list[_Photo]) -> Iterator[Pair]:
    """All photos with the one that outshines them all, if there is one."""
    bright = max(photos, key=lambda photo: photo.exposure)
    darks = [photo for photo in photos if photo is not bright]
    if all(bright.outshines(dark) for dark in darks):
        yield from (Pair(dark.path, bright.path) for dark in darks)
