"""What many tests share: small files in MedMNIST's layout, the real images, Ray, and two tiers.

A test that starts Ray is marked `ray`, one that drives a browser `browser`, one that takes more
than a few seconds `slow`. `make test-quick` leaves all three out. The first two marks are set here,
by the fixtures that a test uses and by its folder.
"""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes of two threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from support import keep_small_teacher, write_alien_modules, write_npz

import rayjobs  # noqa: F401  (its settings must be there before a test imports Ray)
from medlabel import phantoms
from medlabel.phantoms import own
from medlabel.teacher.phantom_captions import kind_paraphrases, set_paraphrases

REAL = Path(os.environ.get("MEDLABEL_TEST_IMAGES", Path(__file__).parents[2] / "shared/medmnist"))

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = os.environ.get("MEDLABEL_BROWSER") or next(
    filter(None, map(shutil.which, _BROWSERS)), None
)
_RAY_FIXTURES = {"ray_cluster", "served"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Ray or a browser; in two processes, files with Ray tests come first."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if fixtures & _RAY_FIXTURES or folder == "end_to_end":
            item.add_marker("ray")
        if "browser" in fixtures:
            item.add_marker("browser")
    if "PYTEST_XDIST_WORKER" in os.environ:  # they take longest: none of them shall be the last
        with_ray = {item.path for item in items if _uses_ray(item)}
        items.sort(key=lambda item: item.path not in with_ray)


def _uses_ray(item: pytest.Item) -> bool:
    return item.get_closest_marker("ray") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that starts Ray without being marked fails, whichever tier it is run in."""
    with pytest.MonkeyPatch.context() as patched:
        if not _uses_ray(item):
            patched.setattr("ray.init", _refuse_ray)
        return (yield)


def _refuse_ray(*_: object, **__: object) -> None:
    raise RuntimeError("this test starts Ray: use the fixture `ray_cluster`, or mark it `ray`")


@pytest.fixture
def dark(tmp_path):
    return write_npz(tmp_path / "dark.npz", level=60)


@pytest.fixture
def bright(tmp_path):
    return write_npz(tmp_path / "bright.npz", level=170)


@pytest.fixture(scope="session")
def small_teacher(tmp_path_factory) -> Path:
    """A home that holds a phantom CLIP which was trained for seconds, for tests of the way."""
    home = tmp_path_factory.mktemp("home")
    keep_small_teacher(home)
    return home


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache where huggingface_hub looks for its files."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip(f"no real images at {REAL}: set MEDLABEL_TEST_IMAGES to their folder")
    return REAL


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory) -> Iterator[None]:
    """Ray, as on a machine that lacks much: see `tests/rayjobs/cluster/test_start.py`."""
    import ray

    from rayjobs.cluster import connect

    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("HOME", raising=False)
        patched.delenv("TMPDIR", raising=False)
        patched.chdir(write_alien_modules(tmp_path_factory.mktemp("scans")))
        connect()
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def browser():
    """A real browser; without one its tests are skipped."""
    if BROWSER is None:
        pytest.skip("no Chromium here: `apt-get install chromium`, or set MEDLABEL_BROWSER")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As workers have it: sums of more threads differ in their last bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def looks_restored(monkeypatch):
    """Looks that a test adds are gone after it."""
    monkeypatch.setattr(own, "_TEXTS", {})
    before = dict(phantoms._LOOKS)
    yield
    phantoms._LOOKS.clear()
    phantoms._LOOKS.update(before)
    for cached in (kind_paraphrases, set_paraphrases):
        cached.cache_clear()
