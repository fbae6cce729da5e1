"""The model card of an export: what its summary.json, config.json and metrics.json say, in words, with code that loads it."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.storage import patiently

STAGED = "export.partial-models"
"""Below a search's folder: the export before it has its card."""


def finish_search(summary_file: Path) -> None:
    """Give the models of a finished search their card; `export/` appears whole. Nothing to do where there is no export."""
    summary = json.loads(summary_file.read_text())
    best = summary["best"] or {}
    if best.get("export"):
        staged, folder = summary_file.with_name(STAGED), Path(best["export"])
        patiently(finish, staged, folder, summary, best["trial"], best["seed"])
        for left in summary_file.parent.glob("export.partial*"):  # of a worker that was killed
            shutil.rmtree(left, ignore_errors=True)


def finish(staged: Path, folder: Path, summary: Mapping[str, Any], trial: int, seed: int | None) -> None:
    """Complete an export of `vpr.export.write_export` with test recalls and README.md, and rename it to `folder`.

    seed: of the finalist that was trained again; None for a trial of the search.
    """
    description = json.loads((staged / "config.json").read_text())
    metrics = json.loads((staged / "metrics.json").read_text())
    metrics["test"] = known_tests(summary, trial, seed)
    (staged / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (staged / "README.md").write_text(card(summary, description, metrics, trial, seed))
    if folder.exists():  # of an earlier session; it goes when the new one is there
        os.replace(folder, folder.with_name(f"{folder.name}.partial-old-{os.getpid()}"))
    os.replace(staged, folder)


def known_tests(summary: Mapping[str, Any], trial: int, seed: int | None) -> dict[str, dict[str, float]]:
    """recall@N in per cent of exactly these weights, by test set; empty where they were not measured."""
    finalist = _finalist(summary, trial)
    runs = [run for run in finalist["seeds"] if run["seed"] == seed] if finalist else []
    if runs:
        return dict(runs[0]["test"])
    best = summary["best"] or {}
    return dict(summary["test"]) if (best.get("trial"), best.get("seed")) == (trial, seed) else {}


def card(
    summary: Mapping[str, Any],
    description: Mapping[str, Any],
    metrics: Mapping[str, Any],
    trial: int,
    seed: int | None,
) -> str:
    """README.md of an export, in Markdown.

    summary: of the search; description and metrics: the export's config.json and metrics.json.
    """
    parts = [
        f"# A place recognition model: {description['leaves']['model/backbone']}, {summary['name']}",
        _what_it_is(description),
        "## Where it comes from\n\n" + _table(_origin(summary, description, trial, seed)),
        "## How well it recognises places\n\n" + _recalls(summary, metrics, trial),
        "## Formats\n\n" + _formats(metrics["formats"]),
        "## How to load it\n\n" + _code(description, metrics["formats"]),
        "## Licence\n\n" + _licence(description),
    ]
    return "\n\n".join(parts) + "\n"


def _what_it_is(description: Mapping[str, Any]) -> str:
    given = description["input"]
    return (
        f"It turns photographs into descriptors: images (B, 3, {given['height']}, {given['width']}), RGB, float32 in 0..1, "
        f"become (B, {given['descriptor_size']}) float32 of unit length. The nearer two descriptors, the more likely the "
        "photographs show the same place. Images are resized bilinearly, with antialiasing; the model normalises them itself."
    )


def _origin(
    summary: Mapping[str, Any], description: Mapping[str, Any], trial: int, seed: int | None
) -> list[tuple[str, str]]:
    leaves, data = description["leaves"], summary["data"]
    loss = {name: value for name, value in leaves.items() if name.startswith("loss/") and value is not None}
    again = "" if seed is None else ", trained again to confirm it"
    dim = leaves["model/dim"]
    return [
        ("search", f"{summary['name']}, space {summary['space']}, {len(summary['trials'])} trials"),
        ("trial", f"{trial}{again}"),
        ("seed of this model (training/seed)", str(leaves["training/seed"])),
        ("seeds of the confirmation", ", ".join(map(str, _seeds(summary, trial))) or "none: trained once"),
        ("data", f"{data['root']}, fingerprint of train and val {data['fingerprint']}"),
        ("backbone", f"{leaves['model/backbone']}, weights at the start: {leaves['model/weights']}"),
        ("aggregation", f"{leaves['model/aggregation']}, {'no projection' if dim is None else f'projected to {dim}'}"),
        ("loss", ", ".join(f"{name}={value}" for name, value in loss.items())),
        ("optimizer, scheduler", f"{leaves['optimizer/name']}, {leaves['scheduler/name']}"),
        ("commit", str(summary.get("git_commit") or "not known")),
        ("trained and written by", f"PyTorch {summary['versions']['torch']}"),
        *(("note", " ".join(line.split())) for line in data["overlap"]),
    ]


def _recalls(summary: Mapping[str, Any], metrics: Mapping[str, Any], trial: int) -> str:
    """The figures of these weights, and what is known of the configuration over its seeds."""
    finalist = _finalist(summary, trial) or {}
    vals = summary["data"].get("vals", {})
    several = vals if len(vals) > 1 else {}  # a single one is the mean
    mean = f"val, the mean of {len(vals)} sets" if several else "val"
    rows = [(mean, {n: metrics[f"val/recall_at_{n}"] for n in (1, 5, 10, 20)}, finalist)]
    rows += [
        (
            f"val/{name}",
            {n: metrics[f"val/{name}/recall_at_{n}"] for n in (1, 5, 10, 20)},
            finalist.get("vals", {}).get(name, {}),
        )
        for name in several
    ]
    rows += [
        (name, {n: found[f"recall_at_{n}"] for n in (1, 5, 10, 20)}, finalist.get("test", {}).get(name, {}))
        for name, found in metrics["test"].items()
    ]
    lines = [
        "Recall@N in per cent of all queries; right is a picture within the radius of "
        "`data/positive_radius_m` in config.json.",
        "",
        "| set | R@1 | R@5 | R@10 | R@20 | R@1 over the seeds, with its 95 % interval |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, recalls, known in rows:
        figures = " | ".join(f"{value:.1f}" for value in recalls.values())
        mean = (
            f"{known['mean']:.1f} [{known['interval'][0]:.1f}, {known['interval'][1]:.1f}]"
            if "mean" in known
            else "not known"
        )
        lines.append(f"| {name} | {figures} | {mean} |")
    if not metrics["test"]:
        lines += ["", "No test set was measured with these weights."]
    lines += ["", _tie(summary, trial)]
    return "\n".join(lines)


def _tie(summary: Mapping[str, Any], trial: int) -> str:
    group = summary["tie_group"]
    if trial not in group:
        return "This trial is not among those that the search found best."
    if len(group) == 1:
        return "It is the best of the search's finalists."
    others = " and ".join(str(number) for number in group if number != trial)
    return f"On val it cannot be told apart from trial {others} (the finalists within the uncertainty of the best)."


def _formats(proved: Mapping[str, Any]) -> str:
    names = [name for name in proved if name.startswith("model.")]
    lines = [
        f"Each was compared with the trained model when it was written, on {proved['queries']} queries and "
        f"{proved['database']} database images of val, {proved['precision']}; the recalls above are of the precision it was trained in.",
        "",
        "| file | largest difference of a descriptor's number | R@1 | R@5 | R@10 | R@20 of these pictures |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        recalls = " | ".join(f"{proved[name][f'recall_at_{n}']:.1f}" for n in (1, 5, 10, 20))
        lines.append(f"| `{name}` | {proved[name]['largest_difference']:.1e} | {recalls} |")
    return "\n".join(lines)


def _code(description: Mapping[str, Any], proved: Mapping[str, Any]) -> str:
    height, width = description["input"]["height"], description["input"]["width"]
    parts = [
        f"""From this folder, with a photograph of your own as `photo.jpg`:

```python
import numpy as np
from PIL import Image, ImageOps

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB").resize(({width}, {height}), Image.Resampling.BILINEAR)
images = np.asarray(photo, np.float32).transpose(2, 0, 1)[None] / 255  # (1, 3, {height}, {width}) in 0..1
```"""
    ]
    if "model.onnx" in proved:
        parts.append(
            f"""`model.onnx`, with ONNX Runtime alone:

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
descriptors = session.run(None, {{"images": images}})[0]  # (1, {description["input"]["descriptor_size"]})
```"""
        )
    if "model.pt2" in proved:
        parts.append(
            """`model.pt2`, with PyTorch alone; as with every file of PyTorch's, only from people you trust:

```python
import torch

model = torch.export.load("model.pt2").module()
descriptors = model(torch.from_numpy(images))
```"""
        )
    parts.append(
        """`model.safetensors` and `config.json`, with VPR Search, to train on or to change the model:

```python
import torch
import vpr

model = vpr.load(".")
descriptors = model(torch.from_numpy(images))
```"""
    )
    return "\n\n".join(parts)


def _licence(description: Mapping[str, Any]) -> str:
    start = description["leaves"]["model/weights"]
    weights = (
        "The weights started from chance."
        if start == "none"
        else f"The weights started from others ({start}), whose licence you must look up."
    )
    return (
        f"The code of VPR Search is under the MIT licence. {weights} What their training pictures' licence allows you to do "
        "with a model is for you to find out; many street pictures are for research only."
    )


def _finalist(summary: Mapping[str, Any], trial: int) -> dict[str, Any] | None:
    return next((one for one in summary.get("finalists", ()) if one["trial"] == trial), None)


def _seeds(summary: Mapping[str, Any], trial: int) -> list[int]:
    finalist = _finalist(summary, trial)
    return [run["seed"] for run in finalist["seeds"] if run["seed"] is not None] if finalist else []


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows)])
