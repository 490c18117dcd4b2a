"""No file imports itself by way of others: not at import, not lazily, not for type checkers only."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def cycle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("regard", cache_dir=None)  # with lazy and type-checking imports
    imports = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    assert len(imports) > 150
    assert any("regard.attention" in names for names in imports.values())
    assert cycle(imports) == []


@pytest.mark.parametrize(
    "edges",
    [{"a": {"a"}}, {"a": {"b"}, "b": {"a"}}, {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}],
)
def test_a_circle_is_found(edges: dict[str, set[str]]) -> None:
    found = cycle(edges)
    assert found[0] == found[-1]
    assert "d" not in found


def test_lazy_and_type_checking_imports_count(tmp_path, monkeypatch) -> None:
    package = tmp_path / "planted_circle"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("def f():\n    from planted_circle import b\n")
    (package / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from planted_circle import a\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph("planted_circle", cache_dir=None)
    imports = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    assert set(cycle(imports)) == {"planted_circle.a", "planted_circle.b"}
