"""Training, describing and counting against the bare computation."""

import time

import faiss
import numpy as np
import torch

from tests.benchmarks.table import Row
from tests.benchmarks.timing import in_turns, seconds
from vpr.batches import PlaceSampler
from vpr.config import TrialConfig
from vpr.data import TrainingData
from vpr.evaluate import CPU_BATCH, describe
from vpr.leaves import from_leaves
from vpr.loading import load
from vpr.precision import autocast
from vpr.recall import NS, answers, first_hits, recalls
from vpr.train import Trainer

CPU = torch.device("cpu")
LEAVES = {
    "model/weights": "none",
    "data/image_size": (96, 160),
    "data/places_per_batch": 16,
    "data/augment": "light",
}


def config() -> TrialConfig:
    return from_leaves(LEAVES)


def training_row(data: TrainingData, steps: int = 6) -> Row:
    """An epoch's steps against the same step on a batch that is always the same and is there already."""
    trainer = Trainer(config(), data, CPU)
    sampler = PlaceSampler(data.labels, config().data, 0)
    rows = next(iter(sampler))
    pixels = next(load(data.images, [rows], CPU))[1]
    ready = trainer.augment(pixels, trainer.augment_generator)
    policy = trainer.augment

    def constant() -> float:
        trainer.augment = lambda images, generator: ready.clone()  # the step normalises its images in place
        return seconds(lambda: [trainer.step(pixels, data.labels[rows]) for _ in range(steps)])

    def fed() -> float:
        trainer.augment = policy
        batches = [batch for _, batch in zip(range(steps), sampler, strict=False)]
        return seconds(
            lambda: [trainer.step(images, data.labels[own]) for own, images in load(data.images, batches, CPU)]
        )

    bare, ours = in_turns(constant, fed, 5)
    count = steps * len(rows)
    return Row(
        "training throughput / the same step on a constant batch",
        f"ResNet-18, 96x160, light: {count / bare:.1f} images/s constant, {count / ours:.1f} fed",
        bare / ours,
        0.95,
        "x",
    )


def evaluation_row(data: TrainingData) -> Row:
    """Describing val's database against bare forward passes over one constant batch."""
    model = Trainer(config(), data, CPU).model.eval()
    images = next(iter(data.vals.values())).database
    batch = torch.rand(CPU_BATCH, *images.shape[1:])
    passes = -(-len(images) // len(batch))

    @torch.inference_mode()
    def forward() -> None:
        for _ in range(passes):
            with autocast(CPU, "auto"):
                model(batch)

    def described() -> None:
        describe(model, images, "auto", CPU)

    # A turn lasts a second: five of them gave anything from 0.79 to 1.04.
    bare, ours = in_turns(lambda: seconds(forward), lambda: seconds(described), 25)
    constant, own = passes * len(batch) / bare, len(images) / ours
    return Row(
        "evaluation throughput / bare forward passes",
        f"ResNet-18, 96x160: {constant:.1f} images/s bare, {own:.1f} described",
        own / constant,
        0.95,
        "x",
    )


def recall_rows() -> list[Row]:
    """SF-XS test's sizes: 27,191 x 1,000 x 512, against the loop that public code runs over FAISS' result."""
    rng = np.random.default_rng(0)
    database, queries = (rng.standard_normal((n, 512), dtype=np.float32) for n in (27_191, 1_000))
    database, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (database, queries))
    positives = [np.sort(rng.choice(len(database), rng.integers(0, 60), replace=False)) for _ in queries]
    index = faiss.IndexFlatL2(512)
    ranked = faiss.knn(queries, database, max(NS))[1]

    def count_in_python(ranked: np.ndarray) -> dict[int, float]:
        hits = np.zeros(len(NS))
        for query, right in zip(ranked, positives, strict=True):
            for place, n in enumerate(NS):
                if np.any(np.isin(query[:n], right)):
                    hits[place:] += 1
                    break
        return dict(zip(NS, hits / len(ranked) * 100, strict=True))

    def public() -> dict[int, float]:
        index.reset()
        index.add(database)
        return count_in_python(index.search(queries, max(NS))[1])

    assert public() == recalls(answers(database, queries, positives))
    theirs, ours = in_turns(
        lambda: seconds(public), lambda: seconds(lambda: recalls(answers(database, queries, positives))), 3
    )
    loop, count = in_turns(
        lambda: seconds(lambda: count_in_python(ranked)), lambda: seconds(lambda: first_hits(ranked, positives)), 9
    )
    return [
        Row(
            "recall with the search, Python loop / ours",
            f"27,191 x 1,000 x 512: {theirs:.2f} s loop, {ours:.2f} s ours",
            theirs / ours,
            None,
            "x",
        ),
        Row(
            "counting alone, Python loop / ours",
            f"{loop * 1e3:.0f} ms loop, {count * 1e3:.1f} ms ours",
            loop / count,
            20,
            "x",
        ),
    ]


def compile_row(data: TrainingData) -> Row:
    """A second compiled model of the same shape, in the process that has compiled one."""
    leaves = {**LEAVES, "data/image_size": (32, 56), "training/compile": True}
    taken = []
    for _ in range(2):
        trainer = Trainer(from_leaves(leaves), data, CPU)
        images = torch.rand(8, 3, 32, 56)
        start = time.perf_counter()
        trainer.forward(images)
        taken.append(time.perf_counter() - start)
    return Row(
        "first pass of a compiled model, first / next trial",
        f"{taken[0]:.1f} s, then {taken[1]:.2f} s",
        taken[0] / taken[1],
        None,
        "x",
    )
