"""Known sets: the right files or an error, and no network once they are there."""

import gzip
import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pooch
import pytest

from regard.data import datasets, fetch, read_parallel, read_table
from regard.errors import DataError

TEXT = {"a.txt": b"good\t1\nbad\t0\n", "b.txt": b"fine\t1\npoor\t0\n"}
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in TEXT.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGARD_CACHE", str(tmp_path / "cache"))
    zipped = datasets.Dataset("", "https://example.org/set.zip", HASHES, inside="the set/")
    single = datasets.Dataset("", "https://example.org/{file}.gz", HASHES)
    monkeypatch.setattr(
        datasets, "DATASETS", {"zipped": zipped, "single": single, **datasets.DATASETS}
    )
    return tmp_path / "cache"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, bytes]], list[str]]:
    """Publish files; returns the list of addresses that will have been requested for."""

    def publish(texts: dict[str, bytes]) -> list[str]:
        requested: list[str] = []

        def retrieve(url: str, known_hash: None, fname: str, path: Path) -> str:
            requested.append(url)
            path.mkdir(parents=True, exist_ok=True)
            if fname.endswith(".zip"):
                with zipfile.ZipFile(path / fname, "w") as archive:
                    for name, content in texts.items():
                        archive.writestr("the set/" + name, content)
            else:
                (path / fname).write_bytes(gzip.compress(texts[fname.removesuffix(".gz")]))
            return str(path / fname)

        monkeypatch.setattr(pooch, "retrieve", retrieve)
        return requested

    return publish


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def retrieve(url: str, *args: object, **kwargs: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", retrieve)


@pytest.mark.parametrize("name", ["zipped", "single"])
def test_fetched_once_and_then_used(
    name: str, cache: Path, published: Callable[[dict[str, bytes]], list[str]]
) -> None:
    requested = published(TEXT)
    paths = fetch(name)
    assert [path.read_bytes() for path in paths] == list(TEXT.values())
    assert paths[0].is_relative_to(cache)
    count = len(requested)
    assert count > 0
    assert fetch(name) == paths
    assert len(requested) == count


def test_one_file_of_a_set(published: Callable[[dict[str, bytes]], list[str]]) -> None:
    requested = published(TEXT)
    (path,) = fetch("single/b.txt")
    assert path.read_bytes() == TEXT["b.txt"]
    assert requested == ["https://example.org/b.txt.gz"]


def test_readers_take_names_of_known_sets(
    published: Callable[[dict[str, bytes]], list[str]],
) -> None:
    published(TEXT)
    corpus = read_table("known:zipped")
    assert [example.source for example in corpus] == ["good", "bad", "fine", "poor"]
    pairs = read_parallel("known:single/a.txt", "known:single/b.txt")
    assert pairs[0].target == "fine\t1"


@pytest.mark.parametrize("name", ["zipped", "single"])
def test_another_content_is_refused_and_removed(
    name: str, cache: Path, published: Callable[[dict[str, bytes]], list[str]]
) -> None:
    published(dict.fromkeys(TEXT, b"something else\t1\n"))
    with pytest.raises(DataError, match=r"SHA-256 .*expected .*another version"):
        fetch(name)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_page_instead_of_an_archive(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def retrieve(url: str, known_hash: None, fname: str, path: Path) -> str:
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_text("<html>please log in</html>")
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    for name in ("zipped", "single"):
        with pytest.raises(DataError, match=r"no archive with a\.txt in it"):
            fetch(name)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_damaged_file_in_the_cache_is_fetched_again(
    published: Callable[[dict[str, bytes]], list[str]],
) -> None:
    published(TEXT)
    (path, _) = fetch("zipped")
    path.write_bytes(b"half")
    assert fetch("zipped")[0].read_bytes() == TEXT["a.txt"]


@pytest.mark.usefixtures("offline")
def test_without_network_it_says_where_to_put_the_file(cache: Path) -> None:
    with pytest.raises(DataError, match=r"no route to host.*put a\.txt there") as caught:
        fetch("zipped")
    assert caught.value.path == cache / "zipped" / "a.txt"


@pytest.mark.usefixtures("offline")
def test_unknown_names_name_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'multi30k-de-en'"):
        fetch("multi30k-de")
    with pytest.raises(DataError, match=r"did you mean 'train\.de'"):
        fetch("multi30k-de-en/trian.de")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["sentiment-sentences", "multi30k-de-en"])
def test_the_hashes_are_those_of_the_real_files(name: str, cache: Path, shared_data: Path) -> None:
    (cache / name).mkdir(parents=True)
    for file in datasets.DATASETS[name].files:
        shutil.copy(shared_data / name / file, cache / name / file)
    assert [path.name for path in fetch(name)] == list(datasets.DATASETS[name].files)
