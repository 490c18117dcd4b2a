"""Registry of known data sets: where each is published, and the hashes of its files.

Readers take their names as files::

    read_table("known:sentiment-sentences")
    read_parallel("known:multi30k-de-en/train.de", "known:multi30k-de-en/train.en")

A set is downloaded once into a cache folder and used from there, without network. The SHA-256 of each
unpacked file is checked, and not that of the archive, since publishers repack archives now and then.
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

from regard.data.streams import FilePath
from regard.errors import DataError, InputError, nearest
from regard.files import atomic_write

__all__ = ["DATASETS", "Dataset", "Files", "fetch", "resolve_files"]

Files = FilePath | Sequence[FilePath]

_PREFIX = "known:"


@dataclass(frozen=True)
class Dataset:
    """A published data set.

    Args:
        about: content, authors and licence.
        url: of the archive; `{file}` stands for a file where each has its own.
        files: name -> SHA-256 of the unpacked file.
        inside: folder of the files inside a ZIP archive.
    """

    about: str
    url: str
    files: Mapping[str, str]
    inside: str = ""


DATASETS: Mapping[str, Dataset] = {
    "sentiment-sentences": Dataset(
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
    "multi30k-de-en": Dataset(
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


def resolve_files(files: Files) -> list[str]:
    """The files that one or several names stand for; known sets are downloaded."""
    names = [files] if isinstance(files, str | PathLike) else files
    found: list[str] = []
    for name in map(str, names):
        found += map(str, fetch(name.removeprefix(_PREFIX))) if name.startswith(_PREFIX) else [name]
    if not found:
        raise InputError("no file was named, expected one or more")
    return found


def fetch(name: str, *, cache: FilePath | None = None) -> list[Path]:
    """The files of a known data set, from the cache or downloaded from its publisher.

    Args:
        name: of a set, or of one of its files: `"multi30k-de-en/train.de"`.
        cache: the folder; by default `$REGARD_CACHE`, or the system's folder for caches.

    Raises:
        DataError: unknown name, failed download, or a file with another hash.
    """
    import pooch

    key, _, file = name.partition("/")
    if key not in DATASETS:
        raise DataError("no such known data set", path=name, remedy=nearest(key, DATASETS))
    dataset = DATASETS[key]
    if file and file not in dataset.files:
        raise DataError("no such file in this set", path=name, remedy=nearest(file, dataset.files))
    root = Path(cache or os.environ.get("REGARD_CACHE") or pooch.os_cache("regard"))
    folder = root / key
    paths = [folder / one for one in ([file] if file else dataset.files)]
    for path in paths:
        if not path.exists() or pooch.file_hash(str(path)) != dataset.files[path.name]:
            _unpack(_download(dataset, path), dataset, path)
    return paths


def _download(dataset: Dataset, path: Path) -> Path:
    """Download the archive that holds a file."""
    import pooch

    url = dataset.url.format(file=path.name)
    try:
        pooch.get_logger().setLevel(
            "WARNING"
        )  # it advises to pin the archive's hash; we check the files
        folder = path.parent / "downloads"
        return Path(pooch.retrieve(url, None, fname=url.rsplit("/", 1)[1], path=folder))
    except OSError as error:  # network and disk errors; those of requests are OSErrors
        raise DataError(
            f"cannot be fetched from {url} ({shorten(str(error), 150)})",
            path=path,
            remedy=f"fetch it by other means, put {path.name} there, or give your own path",
        ) from error


def _unpack(archive: Path, dataset: Dataset, path: Path) -> None:
    """Extract a file from its archive, and keep it if its hash is right."""
    import pooch

    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                content = zipped.read(dataset.inside + path.name)
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
        if came != dataset.files[path.name]:
            archive.unlink()
            raise DataError(
                f"SHA-256 {came}, expected {dataset.files[path.name]}: another version, or damaged",
                path=archive,
                remedy="it was removed; try again, or give your own path",
            )
