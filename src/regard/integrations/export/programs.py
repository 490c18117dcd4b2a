"""Graphs as programs of `torch.export`, for every batch and length, and as ONNX models."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regard.attention.exporting import exporting
from regard.errors import MissingExtraError
from regard.integrations.export.graphs import Graph

__all__ = ["Run", "load_onnx", "load_program", "save_onnx", "save_program"]

Run = Callable[[Mapping[str, np.ndarray[Any, Any]]], dict[str, np.ndarray[Any, Any]]]
"""A graph in another runtime: arrays by the names of its inputs to arrays by the names of its outputs."""


def save_program(graph: Graph, path: Path) -> None:
    """Write a program that `torch.export.load` reads; it holds operations of torch alone, and no code."""
    with _quiet():
        torch.export.save(_program(graph), path)


def save_onnx(graph: Graph, path: Path) -> None:
    """Write an ONNX model, weights included.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401 - what torch writes ONNX with
    except ModuleNotFoundError as error:
        raise MissingExtraError("export to ONNX", "export") from error
    with _quiet():
        model = torch.onnx.export(
            _program(graph),
            dynamo=True,
            verbose=False,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
        )
        assert model is not None
        for value in model.model.graph.inputs:
            assert value.name is not None
            _name_sizes(value, graph.axes[value.name])
        model.save(path)


def load_program(path: Path, graph: Graph) -> Run:
    """A program that `save_program` wrote, as it runs where it is loaded."""
    module: Any = torch.export.load(path).module()

    def run(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        with torch.no_grad():
            found = module(*(torch.from_numpy(arrays[name]) for name in graph.inputs))
        return {name: tensor.numpy() for name, tensor in found.items()}

    return run


def load_onnx(path: Path, graph: Graph) -> Run:
    """An ONNX model in onnxruntime, on the processor.

    Raises:
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError("export to ONNX", "export") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    taken = [value.name for value in session.get_inputs()]

    def run(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        found = session.run(list(graph.outputs), {name: arrays[name] for name in taken})
        return dict(zip(graph.outputs, found, strict=True))

    return run


def _program(graph: Graph) -> torch.export.ExportedProgram:
    """The program of a graph, for all sizes that have a name."""
    sizes = {
        name: torch.export.Dim(name, max=graph.longest.get(name))
        for axes in graph.axes.values()
        for name in axes
        if name is not None
    }
    shapes: tuple[Any, ...] = tuple(
        {axis: sizes[name] for axis, name in enumerate(graph.axes[given]) if name is not None}
        for given in graph.inputs
    )
    arguments = tuple(graph.inputs.values())
    if len(arguments) > 3:  # the step of a decoder takes its tensors as `*tensors`
        shapes = (shapes[0], shapes[1:])
    with exporting(), torch.no_grad():
        return torch.export.export(graph.module, arguments, dynamic_shapes=shapes, strict=False)


def _name_sizes(value: Any, axes: tuple[str | None, ...]) -> None:
    """Give the sizes of an input of an ONNX model the names that the README uses."""
    import onnx_ir

    value.shape = onnx_ir.Shape(
        [size if name is None else name for size, name in zip(value.shape, axes, strict=True)]
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without what torch's exporters say about their own parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
