"""Programs of torch and ONNX models: the logits of the network at sizes that no example had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regard.integrations.export.graphs import Graph, graphs_of
from regard.integrations.export.programs import load_onnx, load_program, save_onnx, save_program
from regard.models import build, configure

exports = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch.export before torch 2.13 takes sizes for constants",
)
SIZES = [(1, 1), (2, 9), (3, 30)]


def network_and_graph(kind: str, **values: Any) -> tuple[Any, Graph]:
    torch.manual_seed(3)
    network = build(configure(kind, "tiny", size=30, labels=3, **values)).eval()
    (graph,) = graphs_of(network, longest=40, attention=True)
    return network, graph


def batch(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(4, 30, (rows, length), generator=generator)
    lengths = torch.arange(length, length - rows, -1).clamp_min(1)
    return ids.where(torch.arange(length) < lengths[:, None], 0), lengths


@torch.no_grad()
def check(network: Any, run: Any) -> None:
    for size in SIZES:
        ids, lengths = batch(*size)
        expected = network(ids, lengths)
        found = run({"ids": ids.numpy(), "lengths": lengths.numpy()})
        np.testing.assert_allclose(found["logits"], expected.logits, atol=1e-5)
        for site, layers in expected.maps.items():
            np.testing.assert_allclose(
                found[f"attention_{site}_1"], layers[0].dense(), atol=1e-6, err_msg=site
            )


@exports
@pytest.mark.dependency
@pytest.mark.slow
def test_a_program_for_every_length(tmp_path: Path) -> None:
    """Of recurrent layers, too, which torch unrolls for one length."""
    network, graph = network_and_graph("bigru", width=8, embedding=8)
    save_program(graph, tmp_path / "model.pt2")
    check(network, load_program(tmp_path / "model.pt2", graph))


@exports
@pytest.mark.dependency
@pytest.mark.slow
def test_an_onnx_model_for_every_length(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime: Any = pytest.importorskip("onnxruntime")
    network, graph = network_and_graph(
        "transformer-classifier", embedding=8, feedforward=8, self_attention_heads=2, layers=1
    )
    path = tmp_path / "model.onnx"
    save_onnx(graph, path)
    check(network, load_onnx(path, graph))
    assert [value.shape for value in onnxruntime.InferenceSession(path).get_inputs()] == [
        ["batch", "length"],
        ["batch"],
    ]
