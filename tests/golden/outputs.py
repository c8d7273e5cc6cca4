"""The outputs that each number of `medlabel.versions` stands for.

Every part is computed from inputs of its own (made here, not by another part), so that a change is
blamed on the number that it belongs to.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from medlabel.data.decoding import decode_image
from medlabel.data.framing import CentreSquare, Framing
from medlabel.data.sources import Source, Split
from medlabel.data.tasks import parse_task, sample_cells, sampled_ids
from medlabel.phantoms import LOOKS, Kind, Look, draw_look
from medlabel.student.augment import AUGMENTATIONS, augment, augmentation_for
from medlabel.student.calibration import Calibration, calibrate
from medlabel.student.decision import Assessment, ranking_scores, review_reasons
from medlabel.student.fit import fit, predict_proba
from medlabel.student.human_labels import UNLABELED, HumanLabels
from medlabel.student.losses import EarlyLearningRegulariser, recipe_loss
from medlabel.student.networks import Student
from medlabel.student.outsiders import fit_detector
from medlabel.student.outsiders.encoder import shipped_encoder
from medlabel.student.recipes import RECIPES, Recipe
from medlabel.student.targets import find_label_errors, sample_weights, training_targets
from medlabel.student.training import TrainingData, train
from medlabel.teacher import adjust, captions, phantom_captions, phantom_training, zero_shot
from medlabel.teacher.clip import Clip, _shifted_views
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip

from .recording import Golden, Outputs

__all__ = ["GOLDEN"]

IMAGES = Path(__file__).parent / "images"
PLAIN = RECIPES["paper"]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums over several threads differ in their last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _images(n: int, side: int = 28, channels: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    """Two kinds of image in turn: bright above, or bright on the left, with noise."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(200, 50, side)
    kinds = np.stack([np.tile(ramp[:, None], side), np.tile(ramp, (side, 1))])
    shape = (n, side, side) if channels == 1 else (n, side, side, channels)
    base = kinds[np.arange(n) % 2]
    base = base if channels == 1 else base[..., None]
    return (base + rng.normal(0, 25, shape)).clip(0, 255).astype(np.uint8)


def _scores(n: int, k: int = 2, seed: int = 0, sharpness: float = 1.5) -> NDArray[np.float32]:
    """Scores [n, k] that favour class `i % k` of image i, with noise."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (n, k)) + sharpness * np.eye(k)[np.arange(n) % k]
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _digest(value: object) -> NDArray:
    return np.array(sha256(json.dumps(value, sort_keys=True).encode()).hexdigest())


def _values(settings: object) -> NDArray:
    """A digest of the values of a dataclass; its fields may be renamed."""
    return _digest(list(vars(settings).values()))


# --- Drawings and captions -----------------------------------------------------------------------


def _means(images: NDArray, blocks: int) -> NDArray[np.float32]:
    """Mean brightness of blocks x blocks parts of images [n, S, S] or [n, S, S, 3]."""
    n, side = images.shape[:2]
    part = side // blocks
    cut = images[:, : part * blocks, : part * blocks].astype(np.float64)
    return cut.reshape(n, blocks, part, blocks, part, -1).mean(axis=(2, 4)).astype(np.float32)


def phantoms() -> Outputs:
    """Of each look: kinds, mean brightness of parts of each image and kind, contrast."""
    found = {}
    for flag, look in _own_looks().items():
        images, kinds = draw_look(look, 64, 0, even=True)
        found[f"{flag}: kinds"] = kinds.astype(np.uint8)
        found[f"{flag}: each image"] = _means(images, 2)
        found[f"{flag}: each kind"] = np.concatenate(
            [_means(images[kinds == kind].mean(axis=0)[None], 7) for kind in np.unique(kinds)]
        )
        found[f"{flag}: contrast"] = images.reshape(64, -1).std(axis=1, dtype=np.float64)
        large, _ = draw_look(look, 8, 1, size=56, spread=0.5)
        found[f"{flag}: larger, of smaller ranges"] = _means(large, 2)
    return found


def _own_looks() -> dict[str, Look]:
    """The looks of medlabel itself, without those that another test may have added."""
    return {flag: look for flag, look in LOOKS.items() if flag in captions.SET_CAPTIONS}


def training_captions() -> Outputs:
    """A digest of the captions of every look and of each of its kinds."""
    found = {}
    for flag, look in _own_looks().items():
        found[flag] = _digest(phantom_captions.set_paraphrases.__wrapped__(flag))
        kinds = range(len(look.kinds))
        found[f"{flag}: kinds"] = _digest(
            [phantom_captions.kind_paraphrases.__wrapped__(flag, kind) for kind in kinds]
        )
    return found


# --- The phantom CLIP ----------------------------------------------------------------------------


def teacher_training() -> Outputs:
    """First weights, captions as tokens, augmented images, learning rates, losses and weights."""
    config = PretrainingConfig(
        steps=4, batch_size=16, phantoms_per_look=8, looks=(), learning_rate=3e-3
    )
    looks = {
        "a": Look(
            "a", False, "", tuple(Kind(f"a{n}", lambda canvas: canvas, "", "") for n in "12")
        ),
        "b": Look("b", True, "", (Kind("b1", lambda canvas: canvas, "", ""),), mirrored=False),
    }
    drawn = {
        "a": (_images(8), np.arange(8) % 2),
        "b": (_images(8, channels=3, seed=1), np.zeros(8, np.int64)),
    }
    with (
        _one_thread(),
        patch.multiple(
            phantom_training,
            LOOKS=looks,
            set_paraphrases=lambda flag: ((f"a scan of {flag}", f"{flag}"), (f"the {flag} set",)),
            kind_paraphrases=lambda flag, kind: (
                (f"kind {kind} of {flag}",),
                (f"{flag} number {kind}",),
            ),
        ),
    ):
        training = phantom_training.Pretraining(config, drawn)
        found = {
            f"first weights: {key}": value for key, value in _sizes(build_clip(config)).items()
        }
        dice = np.random.default_rng(3)
        found["captions"] = training.book.sample(dice).numpy().astype(np.int32)
        found["words"] = training.book.words.astype(np.int32)
        batch = torch.from_numpy(_images(4, channels=3)).permute(0, 3, 1, 2)
        augmented = phantom_training._augment(batch, np.array([True, True, False, False]), 32, dice)
        found["augmented"] = _means(augmented.permute(0, 2, 3, 1).numpy(), 4)
        rates, losses = [], []
        while not training.done:
            rates.append(training._learning_rate())
            losses.append(training.step())
        found |= {"learning rates": np.array(rates), "losses": np.array(losses)}
        found |= {f"weights: {key}": value for key, value in _sizes(training.model).items()}
    return found


def _sizes(module: torch.nn.Module) -> dict[str, NDArray]:
    """Mean size of the weights of each child of a module."""
    found = {}
    for name, child in module.named_children():
        values = [float(weight.detach().double().abs().mean()) for weight in child.parameters()]
        if values:
            found[name] = np.array(values)
    return found


# --- Preprocessing -------------------------------------------------------------------------------


def preprocessing() -> Outputs:
    """Files decoded, images framed as CLIPs and students see them, tensors as CLIPs see them."""
    found: dict[str, NDArray] = {
        f"decoded {path.name}": decode_image(path.read_bytes()) for path in sorted(IMAGES.iterdir())
    }
    wide, tall = _images(1, 40, 3)[0][:26], _images(1, 44)[0][:, :30]
    for name, image in (("wide", wide), ("tall", tall), ("square", _images(1, 36)[0])):
        for mode in ("shortest", "longest", "squash"):
            for interpolation in ("bicubic", "bilinear"):
                framed = Framing(12, mode, interpolation)(image)
                found[f"{name}, {mode}, {interpolation}"] = framed
        for channels in (1, 3):
            found[f"{name}, centre, {channels} channels"] = CentreSquare(12, channels)(image)
    return found | _tensors()


def _tensors() -> dict[str, NDArray]:
    """What a CLIP's encoder gets of small squares, and its moved views."""
    config = {"size": 32, "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.3, 0.2]}
    found = {}
    with _one_thread():
        for interpolation in ("bicubic", "bilinear"):
            model = torch.nn.Module()
            model.visual = torch.nn.Module()
            model.visual.preprocess_cfg = config | {"interpolation": interpolation}
            clip = Clip("", model, lambda texts: torch.zeros(len(texts)), "cpu")
            pixels = clip.preprocess(clip._to_tensor(_images(2, channels=3), 3))
            found[f"tensor, {interpolation}"] = _means(pixels.permute(0, 2, 3, 1).numpy(), 8)
        views = torch.cat(list(_shifted_views(pixels[:1])))
        found["views"] = _means(views.permute(0, 2, 3, 1).numpy(), 4)
    return found


# --- Sampling ------------------------------------------------------------------------------------


def _source(name: str, findings: int) -> Source:
    """Images without content, with one of three labels or with some of the findings."""
    splits = {}
    for seed, (split, n) in enumerate((("train", 60), ("val", 12), ("test", 24))):
        labels = np.random.default_rng(seed).integers(0, 2 if findings else 3, (n, findings or 1))
        splits[split] = Split(np.zeros((n, 28, 28), np.uint8), labels)
    return Source(name, splits)


def sampling() -> Outputs:
    """Digests of the ids of the pools and held-out images of some cells, in their order."""
    sources = {"x.npz": _source("x", 0), "y.npz": _source("y", 4)}
    tasks = {
        "two sets": "a=x.npz,b=y.npz",
        "labels of a set": "a=x.npz#0,b=x.npz#1,2",
        "a finding": "a=y.npz#2,b=y.npz#!2,3",
    }
    found = {}
    for name, text in tasks.items():
        for most in (None, 6):
            cells, _ = sample_cells(parse_task(text), sources, range(3), most)
            ids = [(cell.pool, cell.test) for cell in cells]
            found[f"{name}, {most} per class"] = _digest([ids, sampled_ids(cells)])
    return found


# --- Scores --------------------------------------------------------------------------------------


def _unit(matrix: NDArray) -> NDArray[np.float32]:
    return (matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)).astype(np.float32)


def scores() -> Outputs:
    """Zero-shot scores, both ways to balance, each step and each vote."""
    rng = np.random.default_rng(0)
    words = {f"{c}{n}": _unit(rng.normal(size=8)) for c in "abc" for n in range(2)}
    classes = zero_shot.class_embeddings(
        [[f"{c}{n}" for n in range(2)] for c in "abc"],
        lambda texts: np.stack([words[text] for text in texts]),
    )
    images = _unit(classes[np.arange(30) % 3] + rng.normal(0, 0.4, (30, 8)))
    first = zero_shot.score(images, classes, 10.0)
    found = {
        "classes": classes,
        "scores": first,
        "scores at the default scale": zero_shot.score(images, classes),
        "balanced": zero_shot.balance(first),
        "balanced, of nearly hard scores": zero_shot.balance(_scores(31, 3, sharpness=25)),
        "transduct, of few images": adjust.transduct(first[:5], images[:5]),
        "mean of votes": adjust.mean_vote([first, first[:, ::-1]]),
        "dawid-skene": adjust.dawid_skene([_scores(30, 3, seed) for seed in range(3)]),
    }
    steps = ("temperature=2", "prior", "prior=0.5:0.3:0.2", "em-prior", "transduct")
    for step in steps:
        found[step] = adjust.apply_steps(adjust.parse_steps(step), first, images)
    return found


# --- Students ------------------------------------------------------------------------------------


def training() -> Outputs:
    """Targets, weights, losses, augmentation, untrained and trained networks, calibration."""
    with _one_thread(), torch.random.fork_rng(devices=[]):
        return {
            **_recipes(),
            **_targets(),
            **_losses(),
            **_augmented(),
            **_untrained(),
            **_trained(),
            **_fitted(),
            **_calibrated(),
        }


def _recipes() -> dict[str, NDArray]:
    """The fields of each recipe, and the sizes that a pool gives it."""
    pairs = [(name, n) for name in RECIPES for n in (100, 900, 4000)]
    sized = [RECIPES[name].scaled_to(n) for name, n in pairs]
    lengths = [(r.epochs, r.patience or 0, r.average_from_epoch) for r in sized]
    return {
        **{f"recipe {name}": _values(recipe) for name, recipe in RECIPES.items()},
        "epochs of a pool": np.array(lengths),
    }


def _targets() -> dict[str, NDArray]:
    given = _scores(24, 3)
    found = {}
    for kind in ("hard", "soft"):
        for balanced in (False, True):
            recipe = replace(PLAIN, targets=kind, balanced=balanced)
            found[f"targets, {kind}, balanced {balanced}"] = training_targets(given, recipe)
    by_margin = replace(PLAIN, weights="margin")
    weighted = {
        "equal": PLAIN,
        "by margin": by_margin,
        "by balanced margin": replace(by_margin, balanced=True),
        "of the likeliest": replace(PLAIN, top_k_per_class=3),
    }
    for name, recipe in weighted.items():
        found[f"weights, {name}"] = sample_weights(given, recipe)
    equal = np.full((4, 3), 1 / 3, np.float32)
    found["weights of equal scores"] = sample_weights(equal, by_margin)
    found["pruned"] = find_label_errors(np.arange(24) % 3, given)
    people = HumanLabels(np.where(np.arange(24) % 5 == 0, 1, UNLABELED), 2.5)
    found |= {
        "human targets": people.apply_to_targets(given),
        "human weights": people.apply_to_weights(given[:, 0]),
    }
    return found


def _losses() -> dict[str, NDArray]:
    """Each loss and its gradient at some logits."""
    rng = np.random.default_rng(0)
    wanted = torch.from_numpy(_scores(8, 3))
    wanted[4:] = torch.eye(3)[torch.arange(4) % 3]
    found = {}
    for kind in ("cross-entropy", "generalised", "symmetric", "early-learning"):
        logits = torch.tensor(rng.normal(0, 2, (8, 3)), dtype=torch.float32, requires_grad=True)
        each = recipe_loss(replace(PLAIN, loss=kind), logits, wanted)
        if kind == "early-learning":
            memory = EarlyLearningRegulariser(wanted)
            memory(logits.detach().flip(0), torch.arange(8))
            each = each + memory(logits, torch.arange(8))
        each.sum().backward()
        found[f"loss {kind}"] = each.detach().numpy()
        found[f"gradient of {kind}"] = np.asarray(logits.grad)
    return found


def _augmented() -> dict[str, NDArray]:
    found = {}
    for name, level in AUGMENTATIONS.items():
        batch = torch.from_numpy(_images(24, 28, 3)).permute(0, 3, 1, 2).float()
        strong = replace(level, collimated=4 * level.collimated)  # else none of 24 would be
        changed = augment(batch, strong, torch.Generator().manual_seed(0))
        found[f"augmented, {name}"] = _means(changed.permute(0, 2, 3, 1).numpy(), 2)
        found[f"level {name}"] = _values(level)
    kinds = {"grey": _images(4), "colour": _images(4, channels=3)}
    for name, stack in kinds.items():
        found[f"level for {name}"] = _values(augmentation_for("auto", stack))
    return found


_NETWORKS = (
    *("small", "paper", "cnn:4-8,kernel=3-4,padding=none,norm=none,pool=2,grid=2,linear=6"),
    *("cnn:8-8,norm=group,dropout=0.5,order=pool-relu", "resnet18", "timm:test_resnet"),
)


def _untrained() -> dict[str, NDArray]:
    """Logits of networks with their first weights; of the largest families the layers alone."""
    found = {}
    for name in _NETWORKS:
        torch.manual_seed(0)
        student = Student(name, 1, ["a", "b"], 28, members=2 if name == "small" else 1).eval()
        with torch.inference_mode():
            pixels = torch.from_numpy(_images(4))[:, None]
            found[f"untrained {name}"] = student(pixels).numpy()
    for name in ("vgg11", "alexnet", "resnet50"):
        with torch.device("meta"):
            shapes = Student(name, 3, ["a", "b"], 64).state_dict()
        layers = {key: list(value.shape) for key, value in shapes.items()}
        found[f"layers of {name}"] = _digest(layers)
    return found


def _small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    student = Student("cnn:4-6", 1, ["a", "b"], 12)
    return student.members[0]


def _kinds() -> dict[str, Recipe]:
    """Recipes that differ from the paper's in one thing each."""
    base = replace(PLAIN, epochs=3, batch_size=12, patience=None, learning_rate=1e-2)
    names = [
        "adadelta",
        "adagrad",
        "adam",
        "adamax",
        "adamw",
        "asgd",
        "nadam",
        "radam",
        "rmsprop",
        "rprop",
        "sgd",
    ]
    return {
        **{name: replace(base, optimiser=name) for name in names},
        **{name: replace(base, schedule=name) for name in ("onecycle", "cosine")},
        **{name: replace(base, average=name, learning_rate=0.3) for name in ("swa", "ema")},
        "swa from epoch 1": replace(base, average="swa", average_from_epoch=1),
        "early stop": replace(base, patience=1, epochs=8, learning_rate=0.3),
        "more steps": replace(base, min_steps=20),
        "robust": replace(RECIPES["robust"], epochs=3, average_from_epoch=1, batch_size=12),
    }


def _projection(weight: torch.Tensor) -> float:
    """One number that changes with each of some weights."""
    flat = weight.double().flatten()
    return float(flat @ (1.5 + torch.sin(torch.arange(len(flat), dtype=torch.float64))))


def _trained() -> dict[str, NDArray]:
    """What each optimiser, schedule and average makes of a few steps: losses, weights, epochs."""
    pixels = torch.from_numpy(_images(40, 12))[:, None].contiguous(
        memory_format=torch.channels_last
    )
    wanted = torch.from_numpy(_scores(40))
    count = torch.linspace(0.5, 1.5, 40)
    pool = TrainingData(pixels, wanted, count, torch.arange(32), torch.arange(32, 40), count[32:])
    found = {}
    for name, recipe in _kinds().items():
        network, rng = _small_network(), torch.Generator().manual_seed(0)
        level = AUGMENTATIONS["films"] if name == "robust" else None
        history, best = train(network, pool, recipe, level, rng)
        losses = [(epoch.train_loss, epoch.validation_loss) for epoch in history]
        found[f"losses, {name}"] = np.array(losses)
        found[f"kept epoch, {name}"] = np.array([best, len(history)])
        found[f"weights, {name}"] = np.array(
            [_projection(weight.detach()) for weight in network.parameters()]
        )
    return found


def _fitted() -> dict[str, NDArray]:
    """Whole fits, from pixels and scores to the student's probabilities."""
    images, given = _images(60, 12), _scores(60)
    people = HumanLabels(np.where(np.arange(60) % 4 == 0, np.arange(60) % 2, UNLABELED), 2.0)
    few = {"epochs": 2, "batch_size": 12, "min_steps": None}
    robust = replace(RECIPES["robust"], **few, average_from_epoch=0)
    fits = {
        "paper": (replace(PLAIN, **few), "cnn:4-6", None),
        "robust": (robust, "small", None),
        "robust with human labels": (replace(robust, balanced=False), "cnn:4-6", people),
        "pruned": (replace(robust, prune=True, self_training_rounds=1), "cnn:4-6", None),
    }
    found = {}
    for name, (recipe, student, answers) in fits.items():
        fitted = fit(
            images, given, ("a", "b"), recipe, 5, architecture=student, human_labels=answers
        )
        found[f"fit {name}"] = predict_proba(fitted.student, images[:12])
        found[f"loss of fit {name}"] = np.array(fitted.validation_loss)
    return found


def _fixed_student(members: int = 1) -> Student:
    """A student whose weights are a formula, not random."""
    student = Student("cnn:3-4", 1, ["a", "b", "c"], 12, members).eval()
    for number, weight in enumerate(student.state_dict().values()):
        if weight.dtype == torch.float32:
            values = torch.arange(weight.numel(), dtype=torch.float32).reshape(weight.shape)
            weight.copy_(torch.sin(values + number) * 0.5 + 0.6 * (weight.ndim == 1))
    return student


def _calibrated() -> dict[str, NDArray]:
    found = calibrate(_fixed_student(), _images(40, 12), _scores(40, 3))
    assert found is not None
    return {
        "temperature": np.array(found.temperature),
        "usual distance": np.array(found.limit),
        "centres": found.centres,
        "precision": found.whitening @ found.whitening.T,  # eigenvectors have no sign
        **_outsiders(),
    }


def _outsiders() -> dict[str, NDArray]:
    """What a detector makes of images of its pool, of others, and of the same in colour.

    Scores come from an optimiser and differ between processors: it is recorded which are above 1.
    """
    looks = ("breastmnist", "chestmnist", "octmnist", "tissuemnist")
    pool, labels = draw_look(LOOKS["breastmnist"], 120, seed=1)[0], np.arange(120) % 2
    shown = np.concatenate([draw_look(LOOKS[look], 10, seed=2)[0] for look in looks])
    detector = fit_detector(pool, labels)
    chroma = np.linspace(0, 0.06, len(shown), dtype=np.float32)
    return {
        "features of the encoder": shipped_encoder(1)(shown[::10]),
        "features of the encoder, in colour": shipped_encoder(3)(_images(3, 28, channels=3)),
        "limits of the pool": np.array([(detector.score(pool) > 1).sum()]),
        "outsiders": detector.score(shown) > 1,
        "outsiders by colour": detector.score(shown, chroma) > 1,
    }


# --- Decisions -----------------------------------------------------------------------------------


def decisions() -> Outputs:
    """A student's probabilities, how they are softened, OOD scores, review reasons, ranks."""
    rng, images = np.random.default_rng(0), _images(12, 12, seed=2)
    with _one_thread():
        one, two = (predict_proba(_fixed_student(members), images) for members in (1, 2))
    features = rng.normal(size=(12, 4)).astype(np.float32)
    centres = rng.normal(size=(3, 4)).astype(np.float32)
    whitening = rng.normal(size=(4, 4)).astype(np.float32)
    calibration = Calibration(1.7, centres, whitening, 2.9)
    given = _scores(12, 3, sharpness=3)
    softened = calibration.apply_temperature(given)
    ood = calibration.ood_score(features, images)
    assessments = {
        "calibrated": Assessment(given, ood, calibrated=True),
        "uncalibrated": Assessment(given, np.full(12, np.nan, np.float32), calibrated=False),
        "guessing": Assessment(given, ood, calibrated=True, guessing=True),
        "doubtful": Assessment(given, ood, calibrated=True, doubtful_below=0.95),
    }
    return {
        "probabilities of one network": one,
        "probabilities of two networks": two,
        "softened": softened,
        "out-of-distribution scores": ood,
        "ranks": ranking_scores(given.max(axis=1), ood),
        **{f"reasons, {name}": _reasons(found) for name, found in assessments.items()},
    }


def _reasons(assessment: Assessment) -> NDArray:
    return np.array([",".join(reasons) for reasons in review_reasons(assessment, 0.9)])


GOLDEN = {
    # On another processor single pixels may be rounded otherwise, or fall on the other side of an
    # edge: a few hundredths of a grey level in most means, more in very few.
    "PHANTOMS": Golden(phantoms, absolute=1e-4, outliers=0.01),
    "CAPTIONS": Golden(training_captions),
    "TEACHER_TRAINING": Golden(teacher_training),
    "PREPROCESSING": Golden(preprocessing),
    "SAMPLING": Golden(sampling),
    "SCORES": Golden(scores),
    "TRAINING": Golden(training),
    "DECISIONS": Golden(decisions),
}
