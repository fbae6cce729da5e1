"""A model in formats that need none of this project, and the proof that each gives what the trained model gives."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vpr.data import Retrieval
from vpr.errors import WeightsError
from vpr.evaluate import vectors
from vpr.recall import NS, answers, recalls

ONNX, PT2 = "model.onnx", "model.pt2"
Forward = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) float32 in 0..1 -> descriptors (B, D) of unit length."""
TOLERANCE = 1e-4
"""By how much a number of a descriptor may differ from the trained model's."""
TIE = 1e-5
"""Squared distances this near to each other are equal: float32 puts either of the two first."""
PICTURES = 1000
"""Of val's queries, and of its database; an even sample where there are more, since a CPU takes a second for some dozens."""
AT_ONCE = 2
"""Models that describe them side by side; the end of a search waits for this alone."""
CPU = torch.device("cpu")


def write_formats(folder: Path, model: nn.Module, image_size: tuple[int, int], formats: Sequence[str]) -> None:
    """Write a model for programs that do not have this project, for any batch size.

    Args:
        folder: Where the files go.
        model: In evaluation mode.
        image_size: Height and width in pixels.
        formats: Of `vpr.config.EXPORT_FORMATS`.

    Raises:
        WeightsError: The model cannot be traced.
    """
    if not formats:
        return
    if "onnx" in formats:
        import onnx  # noqa: F401 - only who exports needs it; outside of `try`, since no other backbone helps if it is missing
    name = " and ".join(formats)

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Of both exporters, about their own insides: weights in channels-last order, names that will be deprecated.
            warnings.simplefilter("ignore")
            batch = torch.export.Dim("batch", min=1)
            program = torch.export.export(model, (torch.rand(2, 3, *image_size),), dynamic_shapes=({0: batch},))
            for graph in (
                part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)
            ):
                for node in graph.nodes:
                    node.meta.pop("stack_trace", None)  # would give the folders of this machine away
            if "pt2" in formats:
                name = PT2
                with (folder / PT2).open("wb") as sink:  # torch's own writer has no OSError for a full disk
                    torch.export.save(program, sink)
            if "onnx" in formats:
                name = ONNX
                _write_onnx(folder / ONNX, program)
    except OSError:
        raise
    except Exception as fault:  # the exporters have no common error type
        reason = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
        raise WeightsError(
            f"the model cannot be written as {name} ({reason}); take another backbone, or leave it out of --formats"
        ) from None
    finally:
        logger.setLevel(level)


def _write_onnx(file: Path, program: torch.export.ExportedProgram) -> None:
    import onnx  # only who exports needs it

    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["descriptors"]}
    found = torch.onnx.export(program, dynamo=True, verbose=False, **names)
    assert found is not None  # it is None where it writes the file itself
    found.save(file)
    model = onnx.load(file)
    for part in (model.graph, *model.functions):
        for node in part.node:
            del node.metadata_props[:]  # the exporter's own notes, with the folders of this machine
    onnx.save(model, file)
    onnx.checker.check_model(file)


def read_onnx(file: Path) -> Forward:
    """The model of a .onnx file on the CPU, by ONNX Runtime, with as many threads as torch has."""
    import onnxruntime  # only who exports needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["descriptors"], {"images": images.numpy()})[0])


def read_pt2(file: Path) -> Forward:
    """The model of a .pt2 file on the CPU, by torch.export."""
    return torch.export.load(file).module()


def prove(formats: Mapping[str, Forward], trained: nn.Module, val: Retrieval) -> dict[str, Any]:
    """How each format stands to the trained model on val, all in float32 on the CPU.

    Raises WeightsError for the first whose descriptors differ by more than `TOLERANCE`, or whose recall is another.
    """
    rows, right = _sample(val)
    trained.eval()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        trained_gives = threads.submit(_describe, trained, val, *rows)
        given = {name: threads.submit(_describe, forward, val, *rows) for name, forward in formats.items()}
    expected = trained_gives.result()
    first = answers(*expected, right)
    found: dict[str, Any] = {"database": len(rows[0]), "queries": len(rows[1]), "precision": "fp32 on the CPU"}
    for name, descriptors in given.items():
        try:
            own = descriptors.result()
        except Exception as fault:  # each runtime has its own errors
            reason = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
            raise WeightsError(f"{name} cannot describe val's pictures ({reason}); no export is written") from None
        difference = max(float(abs(mine - theirs).max()) for mine, theirs in zip(own, expected, strict=True))
        if not difference <= TOLERANCE:  # NaN is none either
            raise WeightsError(
                f"{name} gives other descriptors than the trained model: they differ by {difference:.1e} on val, and "
                f"{TOLERANCE:g} is allowed; no export is written"
            )
        moved = answers(*own, right)
        if untied := _untied(first, moved, expected, right):
            was, now = recalls(first), recalls(moved)
            changes = ", ".join(f"recall@{n} {was[n]:.2f} to {now[n]:.2f}" for n in NS if was[n] != now[n])
            raise WeightsError(
                f"{name} finds other places than the trained model for {untied} queries of val ({changes or 'the same recall'}); "
                "no export is written"
            )
        found[name] = {
            "largest_difference": difference,
            **{f"recall_at_{n}": value for n, value in recalls(moved).items()},
        }
    return found


def _sample(val: Retrieval) -> tuple[tuple[np.ndarray, np.ndarray], list[np.ndarray]]:
    """Rows of database and queries, and the right ones among these for each of the queries."""
    database, queries = (
        np.unique(np.linspace(0, len(images) - 1, min(PICTURES, len(images))).round().astype(int))
        for images in (val.database, val.queries)
    )
    return (database, queries), [np.flatnonzero(np.isin(database, val.positives[query])) for query in queries]


def _describe(forward: Forward, val: Retrieval, database: np.ndarray, queries: np.ndarray) -> tuple[Any, Any]:
    """Descriptors (N, D) and (Q, D)."""
    return tuple(  # type: ignore[return-value]
        vectors(forward, images, rows, "fp32", CPU).numpy()
        for images, rows in ((val.database, database), (val.queries, queries))
    )


def _untied(
    first: np.ndarray, moved: np.ndarray, descriptors: tuple[np.ndarray, np.ndarray], positives: list[np.ndarray]
) -> int:
    """Queries that are right among the first N before and wrong after, or the reverse, without a tie that explains it."""
    count = 0
    database, queries = descriptors
    crossed = np.stack([(first < n) != (moved < n) for n in NS], axis=1)  # (Q, len(NS))
    for query in np.flatnonzero(crossed.any(axis=1)):
        distances = np.square(database - queries[query]).sum(axis=1)  # (N,)
        nearest = distances[positives[query]].min()
        rivals = np.sort(np.delete(distances, positives[query]))
        ranks = [n for n, has_crossed in zip(NS, crossed[query], strict=True) if has_crossed]
        count += any(abs(rivals[n - 1] - nearest) > TIE for n in ranks)
    return count
