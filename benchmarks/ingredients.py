"""What each ingredient of the phantom teacher gives: it is trained anew without it, zero-shot.

`python -m benchmarks.ingredients [--quick] [--steps 1500] [--only NAME ...] [--table]`: on all real
images of four sets, the area under the curve of pneumonia and of malignancy, the mean of fourteen
chest findings, the accuracy of eight blood cells, of adults' against children's chest films and of
all four sets (780 images of each). Core seconds are of the training, one thread. Adaptation and
views are of the row `as it is`; what students add, `benchmarks.fine` and `benchmarks.real` tell.
The sets were looked at while the phantoms were drawn, so that rows compare, and prove nothing more.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import FILES, arguments, finish
from benchmarks.findings import SETS, ask, auc, read
from medlabel.phantoms import LOOKS, draw_look
from medlabel.storage.strict_json import to_json
from medlabel.teacher.adjust import em_prior, match_prior, transduct
from medlabel.teacher.captions import captions_for
from medlabel.teacher.clip import VIEWS, Clip, load_clip
from medlabel.teacher.phantom_clip import PretrainingConfig, fingerprint, save_clip
from medlabel.teacher.phantom_training import LabelledPhantoms, Pretraining, clip_from_state
from medlabel.teacher.zero_shot import class_embeddings, score

WITHOUT: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "half of each range": {"spread": 0.5},
    "no range at all": {"spread": 0.0},
    "500 phantoms a look": {"phantoms_per_look": 500},
    "2,000 phantoms a look": {"phantoms_per_look": 2000},
    "captions in one wording": {"paraphrases": False},
    "input of 28 pixels": {"image_size": 28},
    "input of 40 pixels": {"image_size": 40},
    "a third of the steps": {"steps": 1 / 3},
    "twice the steps": {"steps": 2},
    "four times the weights": {"tower": "resnet10t"},
    "another seed": {"seed": 1},
}
"""What is changed; `steps` are times the steps of the others."""

WAYS = ("", "+ transduct", "+ em-prior", "+ prior")
A_SET = 780  # images of each set in the two tasks that tell sets apart


def config_of(name: str, steps: int) -> PretrainingConfig:
    """The config of a row."""
    changed = dict(WITHOUT[name])
    changed["steps"] = round(steps * changed.get("steps", 1))
    return replace(PretrainingConfig(looks=()), **changed)


def train(config: PretrainingConfig, folder: Path) -> float:
    """Train a CLIP on one thread into a folder; processor seconds, drawing left out."""
    torch.set_num_threads(1)
    drawn: dict[str, LabelledPhantoms] = {
        flag: draw_look(look, config.phantoms_per_look, config.seed, spread=config.spread)
        for flag, look in LOOKS.items()
    }
    training, start = Pretraining(config, drawn), time.process_time()
    while not training.done:
        training.step()
    seconds = time.process_time() - start
    save_clip(clip_from_state(config, training.state_dict()), folder, config)
    return seconds


def figures(clip: Clip, root: Path) -> dict[str, dict[str, float]]:
    """What a CLIP reads on the real sets: by way of adaptation, by column."""
    whole: dict[str, NDArray[np.float32]] = {}
    found: dict[str, dict[str, float]] = {way: {} for way in WAYS}
    for name, flag in SETS.items():
        images, labels = read(root / FILES[name], ("train", "val", "test"))
        whole[name] = clip.embed_images(images)
        scores = ask(clip, flag, images)
        adapted = {"": scores, "+ transduct": transduct(scores, whole[name])}
        if name == "blood":  # a prior moves no area under the curve
            adapted["+ em-prior"] = em_prior(scores)
        for way, these in adapted.items():
            found[way][name] = round(_figure(name, these, labels), 3)
    for title, names in (("adult/child", ("chest", "pneumonia")), ("four", tuple(SETS))):
        for way, value in _between(clip, whole, names).items():
            found[way][title] = round(value, 3)
    return found


def _figure(name: str, scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    if name == "chest":
        sick = labels.astype(bool)
        return float(np.nanmean([auc(scores[:, k], sick[:, k]) for k in range(sick.shape[1])]))
    if name == "blood":
        return float((scores.argmax(1) == labels[:, 0]).mean())
    label = 1 if name == "pneumonia" else 0
    return auc(scores[:, label], labels[:, 0] == label)


def _between(
    clip: Clip, embedded: Mapping[str, NDArray[np.float32]], names: tuple[str, ...]
) -> dict[str, float]:
    """Accuracy of telling sets apart, as many images of each."""
    dice = np.random.default_rng(0)
    parts = [embedded[name][dice.permutation(len(embedded[name]))[:A_SET]] for name in names]
    images, truth = np.concatenate(parts), np.repeat(np.arange(len(names)), [*map(len, parts)])
    captions = [captions_for(SETS[name]) for name in names]
    scores = score(images, class_embeddings(captions, clip.embed_texts), clip.logit_scale)
    adapted = {
        "": scores,
        "+ transduct": transduct(scores, images),
        "+ em-prior": em_prior(scores),
        "+ prior": match_prior(scores),  # as many of each set: so they were drawn
    }
    return {way: float((these.argmax(1) == truth).mean()) for way, these in adapted.items()}


def measure(name: str, steps: int, out: str, root: Path) -> list[dict[str, Any]]:
    """Train one row, unless its CLIP is kept, and read the real sets with it."""
    torch.set_num_threads(1)
    config = config_of(name, steps)
    folder = Path(out) / fingerprint(config)
    seconds = train(config, folder)
    clip = load_clip(str(folder), "cpu")
    rows = [(name, figures(clip, root))]
    if name == "as it is":
        rows.append((f"as it is, {VIEWS}", figures(load_clip(f"{folder}{VIEWS}", "cpu"), root)))
    return [
        {
            "key": f"{name}/{steps}",
            "without": f"{title} {way}".strip(),
            "core s": round(seconds) if title == name and not way else "",
            **{column: these.get(column, "") for column in (*SETS, "adult/child", "four")},
        }
        for title, ways in rows
        for way, these in ways.items()
        if not way or name == "as it is"
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=1500, help="of each training")
    parser.add_argument("--only", nargs="*", default=list(WITHOUT), choices=list(WITHOUT))
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--table", action="store_true", help="train nothing; show what is kept")


def main() -> None:
    """Train what is missing, print the table of what is finished."""
    options = arguments("Ingredients of the phantom teacher", "runs/ingredients", _options)
    if options.quick:
        options.steps, options.only = 60, ["as it is", "no range at all"]
    path = Path(options.out) / "lines.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.loads(line) for line in path.open(encoding="utf-8")] if path.exists() else []
    done = {row["key"] for row in kept}
    missing = [name for name in options.only if f"{name}/{options.steps}" not in done]
    if missing and not options.table:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(options.workers, len(missing)), context) as pool:
            pending = {
                pool.submit(measure, name, options.steps, options.out, options.data_root): name
                for name in missing
            }
            for future in as_completed(pending):
                rows = future.result()
                kept += rows
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(to_json(row) + "\n" for row in rows)
                print(f"finished: {pending[future]}", flush=True)
    asked = [f"{name}/{options.steps}" for name in WITHOUT]
    kept = sorted(
        (row for row in kept if row["key"] in asked), key=lambda row: asked.index(row["key"])
    )
    finish([{name: value for name, value in row.items() if name != "key"} for row in kept])


if __name__ == "__main__":
    main()
