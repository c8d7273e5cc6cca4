"""Write the phantom CLIPs that the package ships, or compare them with a new training.

    python tools/ship_phantoms.py            # train what is not kept, and write the files
    python tools/ship_phantoms.py --check    # train anew in an empty folder, and compare: 20 min

The check is for a release, on the processor that the files were made on: another one may round
differently in the last bits.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from medlabel import versions
from medlabel.evaluation.evidence.witnesses import write_world
from medlabel.evaluation.evidence.world import world_of
from medlabel.storage.digests import hex_digest
from medlabel.storage.home import default_home
from medlabel.teacher.clip import load_clip
from medlabel.teacher.phantom_clip import PretrainingConfig
from medlabel.teacher.phantom_store import ensure_phantom_clip, train_phantom_clip
from medlabel.teacher.phantom_training import clip_from_state, learned_tokens
from medlabel.teacher.shipped_phantoms import SHIPPED_SEEDS, shipped_state, write_shipped

SOURCE = Path(__file__).parents[1] / "src/medlabel"
FOLDER = SOURCE / "teacher/phantom_weights"
WORLDS = SOURCE / "evaluation/evidence/worlds"


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with a new training")
    if parser.parse_args().check:
        sys.exit(max(_differs(seed) for seed in SHIPPED_SEEDS))
    for seed in SHIPPED_SEEDS:
        config = PretrainingConfig(seed=seed, looks=())
        state = _state(config, default_home())
        print(write_shipped(FOLDER, config, state, _card(config)))
        print(_write_world(config))


def _state(config: PretrainingConfig, home: Path) -> dict[str, object]:
    """The words and weights of a model; trained now unless the home has it."""
    folder = Path(train_phantom_clip(home, config))
    weights = load_file(folder / "open_clip_model.safetensors")
    words = torch.from_numpy(learned_tokens(config))
    weights["token_embedding.weight"] = weights["token_embedding.weight"][words]
    return {"words": words, "model": weights}


def _write_world(config: PretrainingConfig) -> Path:
    """Write what the model knows, which verdicts compare images with."""
    clip = load_clip(ensure_phantom_clip(default_home(), config), "cpu")
    path = WORLDS / f"{clip.key}-{hex_digest('()', 8)}.npz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(write_world(world_of(clip)))
    return path


def _card(config: PretrainingConfig) -> dict[str, str]:
    return {
        "trained_on": "phantoms: drawn images of twelve kinds, no image of a patient",
        "command": f"medlabel pretrain phantom{f'-{config.seed}' if config.seed else ''}",
        "version": str(versions.PHANTOM_CLIP),
        "licence": "Apache-2.0",
    }


def _differs(seed: int) -> int:
    """1 if a new training gives other weights than those of the package, else 0."""
    config = PretrainingConfig(seed=seed, looks=())
    shipped = shipped_state(config)
    with tempfile.TemporaryDirectory() as home:
        fresh = clip_from_state(config, _state(config, Path(home)))
    same = shipped is not None and _digest(clip_from_state(config, shipped)) == _digest(fresh)
    print(f"seed {seed}: {'the same weights' if same else 'OTHER WEIGHTS'}")
    return int(not same)


def _digest(model: torch.nn.Module) -> str:
    pieces = [value.numpy().tobytes() for _, value in sorted(model.state_dict().items())]
    return hex_digest(b"".join(pieces))


if __name__ == "__main__":
    main()
