"""Image files below a folder: each real folder once, whatever links lead to, and nothing that never ends."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tga", ".tif", ".tiff", ".webp"}
)


def is_visible(name: str) -> bool:
    """Whether a file or folder is meant to be looked at, and not a system's own."""
    return not name.startswith((".", "__")) and name.lower() not in ("thumbs.db", "desktop.ini")


def suffix(name: str) -> str:
    """What a name ends with, in small letters."""
    return os.path.splitext(name)[1].lower()


class ImageWalk:
    """The image files below ``root``, known by their suffix; what is hidden is passed over.

    A link to a folder is followed once, and only out of ``root``: what lies in ``root`` is read where it stands, and what
    lies around it would come again and again.

    Attributes:
        passed: the links that were not followed, as far as was walked.
        others: how many files are no images by their suffix, by suffix.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.passed, self.others = root, list[str](), Counter[str]()
        self._entered: set[str] = set()

    def below(self, folder: Path) -> Iterator[str]:
        """Paths below a folder of ``root``, folder by folder, in the order of their names."""
        if folder != self.root and not self._enters(str(folder)):
            return
        for place, inner, names in os.walk(folder, followlinks=True):
            inner[:] = [name for name in sorted(inner) if is_visible(name) and self._enters(os.path.join(place, name))]
            for name in sorted(filter(is_visible, names)):
                if suffix(name) in IMAGE_SUFFIXES:
                    yield os.path.join(place, name)
                else:
                    self.others[suffix(name)] += 1

    @property
    def notes(self) -> tuple[str, ...]:
        """A line about links that were not followed and one about files of other kinds, where there are any."""
        found = []
        if self.passed:
            count, first = len(self.passed), ", ".join(map(repr, sorted(self.passed)[:3]))
            what = "a link to a folder that is" if count == 1 else f"{count} links to folders that are"
            found.append(f"Not followed: {what} read anyway: {first}{' …' if count > 3 else ''}.")
        if self.others:
            count, kinds = self.others.total(), (f"{kind or 'none'} {n:,}" for kind, n in self.others.most_common(5))
            what = "a file that is no image" if count == 1 else f"{count:,} files that are no images"
            found.append(f"Not read: {what} by the suffix: {', '.join(kinds)}{' …' if len(self.others) > 5 else ''}.")
        return tuple(found)

    def _enters(self, folder: str) -> bool:
        real, root = Path(os.path.realpath(folder)), Path(os.path.realpath(self.root))
        inside = real.is_relative_to(root) or root.is_relative_to(real)
        if str(real) in self._entered or (inside and os.path.islink(folder)):
            self.passed.append(folder)
            return False
        self._entered.add(str(real))
        return True


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: there is none, it cannot be read, or it is a pipe, a socket or a device, for which one may wait for ever.
    """
    mode = os.stat(path).st_mode
    kinds = {"a pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK, "a device": stat.S_ISCHR, "a disk": stat.S_ISBLK}
    for kind, holds in kinds.items():
        if holds(mode):
            raise OSError(f"{kind}, not a file")
    return path.read_bytes()
