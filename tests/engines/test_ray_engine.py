"""Shards on two nodes of a Ray cluster: order, errors, lost workers and nodes, and the commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from regard.cli.app import app
from regard.data import dates
from regard.engines import Done, RayEngine, engine_named, ray_engine
from regard.errors import DataError, MissingExtraError, RegardError
from tests.engines.shard_work import Sent, Where

ray: Any = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of its threads and sockets

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine, of one processor each, in a session as a user's program begins one."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_engine._QUIET.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
        on_sigterm = signal.getsignal(signal.SIGTERM)
        head = {"num_cpus": 1, "object_store_memory": 2**27, "include_dashboard": False}
        nodes = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        nodes.add_node(num_cpus=1, object_store_memory=2**27)
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
        ray.shutdown()
        nodes.shutdown()
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray leaves its own behind


@pytest.fixture(scope="module")
def engine(cluster: Any) -> Iterator[RayEngine]:
    with RayEngine() as engine:
        yield engine
    assert ray.is_initialized()  # the session is not the engine's


def test_results_come_in_order_from_both_nodes(engine: RayEngine, tmp_path: Path) -> None:
    shards = [Done("known"), *range(30), Done("too")]
    found: list[Any] = list(engine.run(lambda _: Sent(str(tmp_path)), shards))
    assert (found[0], found[-1]) == ("known", "too")
    assert [each.shard for each in found[1:-1]] == [*range(30)]
    assert {each.threads for each in found[1:-1]} == {"1"}
    assert len({each.process for each in found[1:-1]}) == 2


def test_a_worker_that_is_killed_loses_nothing(engine: RayEngine) -> None:
    results = engine.run(lambda _: Sent(), range(60))
    found = [next(results)]
    os.kill(found[0].process, signal.SIGKILL)
    found += results
    assert [each.shard for each in found] == [*range(60)]


def test_errors_of_workers(engine: RayEngine) -> None:
    with pytest.raises(DataError, match=r"^a\.tsv:7: 3 columns, expected 2$"):
        list(engine.run(lambda _: Sent(), [1, -1, 2]))
    with pytest.raises(ZeroDivisionError):
        list(engine.run(lambda _: Sent(), [-2]))
    with pytest.raises(RegardError, match=r"4 workers died over shard 2 \(.*; if memory ran out"):
        list(engine.run(lambda _: Sent(), [1, -3]))


def test_shards_are_taken_as_they_are_needed(engine: RayEngine) -> None:
    taken = []

    def shards() -> Iterator[int]:
        for shard in range(1000):
            taken.append(shard)
            yield shard

    results = engine.run(lambda _: Sent(), shards())
    assert next(results).shard == 0
    assert len(taken) < 20
    results.close()  # type: ignore[attr-defined]


def test_no_cluster_starts_where_everything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RayEngine, "_session", lambda _: pytest.fail("started"))
    known = [Done(Where(n, 0, None)) for n in (1, 2)]
    assert list(RayEngine().run(lambda _: Sent(), known)) == [each.result for each in known]


def test_an_address_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("nobody there\nand much more")

    monkeypatch.setattr(ray, "init", refuse)
    for name in ray_engine._QUIET:
        monkeypatch.setenv(name, "0")
    with pytest.raises(RegardError, match=r"RAY_ADDRESS=10\.0\.0\.1:1 \(nobody there\); start one"):
        ray_engine._start("10.0.0.1:1")


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"'regard\[ray\]'"):
        engine_named("ray")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_command_on_a_cluster_says_what_it_says_without(
    cluster: Any, model: Path, tmp_path: Path
) -> None:
    lines = [example.source for example in dates.generate(300, part="test")]
    (tmp_path / "a.txt").write_text("".join(f"{line}\n" for line in lines))
    command = ["translate", model, tmp_path / "a.txt", "--json", "--beam", "1"]
    plain = call(*command)
    spread = call(*command, "--engine", "ray")
    assert spread.exit_code == 0
    assert spread.stdout == plain.stdout


def test_a_lost_node_loses_nothing(cluster: Any) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=2**27)
    cluster.wait_for_nodes()
    with RayEngine() as engine:
        results = engine.run(lambda _: Sent(), range(200))
        found = [next(results) for _ in range(50)]
        cluster.remove_node(node, allow_graceful=False)
        found += results
    assert [each.shard for each in found] == [*range(200)]
