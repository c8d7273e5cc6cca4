"""A teacher that is wrong one time in five: what do students make of its labels?

`python -m benchmarks.handicap [--quick]` writes a scores file (the truth with 20 % of the labels
flipped at random, for every image of both sources) and runs both recipes on it.
"""

from pathlib import Path

import numpy as np

from benchmarks.common import arguments, class_of, finish, measure_run
from medlabel.sources import open_source
from medlabel.teacher import score_table

CLASSES = ("chest", "breast")
WRONG = 0.2


def flipped_scores(root: Path, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Ids of all images and scores float32 [N, 2]: sure of itself, and wrong one time in five."""
    ids: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(CLASSES):
        source = open_source(class_of(name, root).split("=", 1)[1])
        for split, content in source.splits.items():
            ids += [f"{source.name}/{split}/{index}" for index in range(len(content.images))]
            labels += [label] * len(content.images)
    wrong = np.random.default_rng(seed).random(len(ids)) < WRONG
    return ids, np.eye(2, dtype=np.float32)[np.array(labels) ^ wrong]


def main() -> None:
    """Write the scores, run both recipes, print the table."""
    options = arguments("A teacher with 20 % of its labels flipped", "runs/handicap")
    path = Path(options.out) / "flipped.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    score_table(*flipped_scores(options.data_root), CLASSES).to_parquet(path, index=False)
    rows = [
        measure_run(list(CLASSES), recipe, f"{options.out}/{recipe}", options, scores=path)
        for recipe in ("robust", "paper")
    ]
    finish(rows)


if __name__ == "__main__":
    main()
