"""What a cell costs: a notebook's flow against a sweep's, the same cells, one core.

`python -m benchmarks.sweep [--quick]`. The notebook encodes pool and test anew for each cell, image
by image through PIL, and fits with a DataLoader loop (see `benchmarks.fit`). The sweep encodes each
distinct image once, and fits. Fits and encodes are timed in seconds of the processor, so that what
else runs counts little; encoding by a ViT-B/32 (random weights cost the same; the paper's ViT-L/14
costs 18 times as much) is timed on some images. Then a sweep is run on real pairs, and
what Ray adds to its fits is read off its own tables.

The arithmetic for 66 pairs x 30 seeds, a cell: (images of a cell x seconds per image + a notebook's
fit) / (distinct images / 1,980 x seconds per image + a sweep's fit). Distinct images are counted
twice: of the twelve phantoms, by drawing them, and as all 707,962 of MedMNIST, the most there are.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import arguments, class_of, finish
from benchmarks.fit import fit_naively
from medlabel.cli.shared import StageBars
from medlabel.data.tasks import gather_images, open_sources, parse_task, sample_cells
from medlabel.evaluation.metrics import true_labels, true_scores
from medlabel.experiments.sweep_spec import SweepSpec
from medlabel.experiments.sweep_tables import read_tables
from medlabel.storage.home import default_home
from medlabel.storage.store import Store
from medlabel.student.fit import fit, predict_proba
from medlabel.student.recipes import RECIPES
from medlabel.teacher.clip import Clip
from rayjobs.sweep.job import SweepConfig, sweep
from rayjobs.sweep.prepare import prepare

import open_clip  # isort: skip  (after medlabel, which makes torchvision importable)

CELLS = 66 * 30
MEDMNIST = 707_962  # images of all twelve sets
PER_CLASS = 546
RECIPE = RECIPES["paper"]


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Of the processor, for one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def fits(options: argparse.Namespace, cells: int) -> tuple[float, float, int]:
    """Seconds a fit of the notebook and of the sweep, and the images of a cell."""
    task = parse_task(",".join(class_of(name, options.data_root) for name in ("chest", "breast")))
    sources = open_sources(task)
    drawn, truth = sample_cells(task, sources, range(cells), PER_CLASS)
    theirs, ours = [], []
    for cell in drawn:
        pool, test = (gather_images(sources, ids) for ids in (cell.pool, cell.test))
        labels, scores = true_labels(truth, cell.pool), true_scores(truth, cell.pool, 2)

        def in_a_sweep(
            pool: NDArray[np.uint8] = pool,
            test: NDArray[np.uint8] = test,
            scores: NDArray[np.float32] = scores,
            seed: int = cell.seed,
        ) -> None:
            fitted = fit(pool, scores, task.class_names, RECIPE, seed)
            predict_proba(fitted.student, pool)
            predict_proba(fitted.student, test)

        ours.append(cpu_seconds(in_a_sweep))
        start = time.process_time()
        fit_naively(pool, labels, RECIPE, cell.seed)
        theirs.append(time.process_time() - start)
    return float(np.mean(theirs)), float(np.mean(ours)), len(drawn[0].pool) + len(drawn[0].test)


def encoding(options: argparse.Namespace, images: int) -> tuple[float, float]:
    """Seconds an image through PIL and one model, and through medlabel's tensors."""
    model, _, transform = open_clip.create_model_and_transforms("ViT-B-32")
    clip = Clip("ViT-B-32", model.eval(), open_clip.get_tokenizer("ViT-B-32"), "cpu")
    task = parse_task(f"{class_of('chest', options.data_root)},breast=phantom:breastmnist")
    (source, *_) = open_sources(task).values()
    some = source.splits["train"].images[:images]

    @torch.inference_mode()
    def in_a_notebook() -> None:
        for start in range(0, len(some), 32):
            batch = [transform(Image.fromarray(image)) for image in some[start : start + 32]]
            model.encode_image(torch.stack(batch))

    def in_a_sweep() -> None:
        clip.embed_images(some, 64)

    return cpu_seconds(in_a_notebook) / len(some), cpu_seconds(in_a_sweep) / len(some)


def of_a_sweep(options: argparse.Namespace) -> dict[str, Any]:
    """Run one on real pairs, and tell what its fitting stage was made of."""
    names = ("chest", "breast") if options.quick else ("chest", "breast", "pneumonia", "blood")
    spec = SweepSpec.model_validate(
        {
            "name": "real pairs",
            "sources": [class_of(name, options.data_root) for name in names],
            "recipes": "paper",
            "seeds": 4 if options.quick else options.seeds,
            "per_class": 200 if options.quick else PER_CLASS,
        }
    )
    with StageBars() as bars:
        outcome = sweep(SweepConfig(spec, options.out, default_home()), bars.advance)
    tables = read_tables(Store(options.out))
    wall, workers = tables.cost["seconds"]["fitting"], tables.cost["workers"]
    fitting = float(tables.fits["seconds"].sum())
    whole = outcome.fitted == len(tables.fits)  # else the wall time is not that of all fits
    return {
        "cells": len(tables.results),
        "encoded": outcome.encoded,
        "fit_seconds_sum": round(fitting, 1),
        "fitting_wall_seconds": round(wall, 1),
        "workers": workers,
        "ray_share": round(1 - fitting / (workers * wall), 3) if whole else None,
    }


def distinct_phantoms() -> int:
    """Images that 66 pairs x 30 seeds of phantoms draw, each once."""
    spec = SweepSpec.model_validate({"sources": "phantoms", "seeds": 30})
    prepared = prepare(SweepConfig(spec, "unused", Path("unused")), lambda *_: None)
    return len(prepared.ids)


def main() -> None:
    """Measure, and show the arithmetic."""
    options = arguments("A cell of a notebook against a cell of a sweep", "runs/sweep-benchmark")
    torch.set_num_threads(1)
    theirs, ours, images = fits(options, 1 if options.quick else 5)
    pil, tensors = encoding(options, 64 if options.quick else 256)
    run = of_a_sweep(options)
    notebook = images * pil + theirs
    rows = []
    for name, distinct in (("phantoms", distinct_phantoms()), ("all of MedMNIST", MEDMNIST)):
        cell = distinct / CELLS * tensors + ours
        rows.append(
            {
                "drawn from": name,
                "encodes a cell, notebook": images,
                "encodes a cell, sweep": round(distinct / CELLS, 1),
                "seconds per cell, notebook": round(notebook, 2),
                "seconds per cell, sweep": round(cell, 2),
                "ratio": round(notebook / cell, 1),
            }
        )
    finish(
        rows,
        notebook_fit=round(theirs, 2),
        sweep_fit=round(ours, 2),
        fit_ratio=round(theirs / ours, 2),
        notebook_encode=round(pil, 4),
        sweep_encode=round(tensors, 4),
        sweep=run,
    )


if __name__ == "__main__":
    main()
