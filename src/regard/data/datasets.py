"""Known data sets: where they are published, and how to tell that what came is what was meant.

>>> read_table("known:sentiment-sentences")
>>> read_parallel("known:multi30k-de-en/train.de", "known:multi30k-de-en/train.en")

A set is fetched once into a cache folder and used from there, without network. What is checked is
the SHA-256 of each unpacked file: archives are packed anew now and then, their content is not.
"""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from textwrap import shorten

from regard.data.lines import FilePath
from regard.errors import DataError, InputError, nearest
from regard.files import atomic_write

__all__ = ["KNOWN", "Files", "KnownSet", "fetch", "listed"]

Files = FilePath | Sequence[FilePath]

_PREFIX = "known:"


@dataclass(frozen=True)
class KnownSet:
    """A published data set.

    Args:
        about: what it is, whose it is, and under which licence.
        url: of the archive; `{file}` stands for a file where each has its own.
        files: name -> SHA-256 of what is in it.
        inside: folder of the files inside a ZIP archive.
    """

    about: str
    url: str
    files: Mapping[str, str]
    inside: str = ""


KNOWN: Mapping[str, KnownSet] = {
    "sentiment-sentences": KnownSet(
        about="3 x 1,000 sentences from reviews (Amazon, IMDb, Yelp), `text TAB label`; Kotzias et "
        "al. 2015, CC BY 4.0",
        url="https://archive.ics.uci.edu/static/public/331/sentiment+labelled+sentences.zip",
        files={
            "amazon_cells_labelled.txt": "47003fc0a0d4840b00e96e715b6189ba"
            "d09e7443a3da41c4cbe12ffc79f86ae3",
            "imdb_labelled.txt": "aef2e49e3da25714d61175e3a6e68eeef74a20a2f914318dc3be9947ea86512d",
            "yelp_labelled.txt": "c76468b7b5c6e56a0804d728345c5f84aa2142ddb214420f61cc9cfd4c00d2ea",
        },
        inside="sentiment labelled sentences/",
    ),
    "multi30k-de-en": KnownSet(
        about="image captions, German and English, parallel; Elliott et al. 2016, for research",
        url="https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/{file}.gz",
        files={
            "train.de": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
            "train.en": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
            "val.de": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
            "val.en": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
            "test_2016_flickr.de": "4be6b5b3236b79c25475c6bb829800a7"
            "ce559e9ba7a1f6c2394fe4d40be46d16",
            "test_2016_flickr.en": "399a4382932c1aadd3ceb9bef1008d38"
            "8a64c76d4ae4e9d4728c6f4301cac182",
        },
    ),
}


def listed(files: Files) -> list[str]:
    """Return one name or several as a list of files, known sets fetched."""
    names = [files] if isinstance(files, str | PathLike) else files
    found: list[str] = []
    for name in map(str, names):
        found += map(str, fetch(name.removeprefix(_PREFIX))) if name.startswith(_PREFIX) else [name]
    if not found:
        raise InputError("no file was named, expected one or more")
    return found


def fetch(name: str, *, cache: FilePath | None = None) -> list[Path]:
    """Return the files of a known set, from the cache or else from where it is published.

    Args:
        name: of a set, or of one of its files: `"multi30k-de-en/train.de"`.
        cache: the folder; by default `$REGARD_CACHE`, or the system's folder for caches.

    Raises:
        DataError: an unknown name; it cannot be fetched; what came is something else.
    """
    import pooch

    key, _, file = name.partition("/")
    if key not in KNOWN:
        raise DataError("no such known data set", path=name, remedy=nearest(key, KNOWN))
    known = KNOWN[key]
    if file and file not in known.files:
        raise DataError("no such file in this set", path=name, remedy=nearest(file, known.files))
    root = Path(cache or os.environ.get("REGARD_CACHE") or pooch.os_cache("regard"))
    folder = root / key
    paths = [folder / one for one in ([file] if file else known.files)]
    for path in paths:
        if not path.exists() or pooch.file_hash(str(path)) != known.files[path.name]:
            _unpack(_download(known, path), known, path)
    return paths


def _download(known: KnownSet, path: Path) -> Path:
    """Fetch the archive that holds a file."""
    import pooch

    url = known.url.format(file=path.name)
    try:
        pooch.get_logger().setLevel("WARNING")  # it would advise to pin the archive's hash
        folder = path.parent / "downloads"
        return Path(pooch.retrieve(url, None, fname=url.rsplit("/", 1)[1], path=folder))
    except OSError as error:  # of the network or of the disk; requests has its errors among them
        raise DataError(
            f"cannot be fetched from {url} ({shorten(str(error), 150)})",
            path=path,
            remedy=f"fetch it by other means, put {path.name} there, or give your own path",
        ) from error


def _unpack(archive: Path, known: KnownSet, path: Path) -> None:
    """Take a file out of its archive and keep it if it is the one that was meant."""
    import pooch

    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                content = zipped.read(known.inside + path.name)
        else:
            content = gzip.decompress(archive.read_bytes())
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error) as error:
        archive.unlink()
        raise DataError(
            f"what was fetched is no archive with {path.name} in it ({error})",
            path=archive,
            remedy="it was removed; try again",
        ) from error
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(content)
        came = pooch.file_hash(str(unfinished))
        if came != known.files[path.name]:
            archive.unlink()
            raise DataError(
                f"SHA-256 {came}, expected {known.files[path.name]}: another version, or damaged",
                path=archive,
                remedy="it was removed; try again, or give your own path",
            )
