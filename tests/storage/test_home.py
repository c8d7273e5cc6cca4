"""Folders of a user who may have no home directory."""

import pwd
from pathlib import Path

import pytest
from PIL import Image

import rayjobs
from medlabel.data.listing import list_parts
from medlabel.data.sources import default_data_root
from medlabel.errors import MedlabelError
from medlabel.storage.home import cache_folder, default_home, home_if_any, home_store
from medlabel.teacher.phantom_clip import PretrainingConfig
from medlabel.teacher.phantom_store import ensure_phantom_clip
from medlabel.teacher.zoo.facts import with_tilde
from serving.launch.addresses import state_folder

VARIABLES = ("HOME", "MEDLABEL_HOME", "MEDLABEL_DATA_ROOT", "XDG_CACHE_HOME", "XDG_DATA_HOME")


@pytest.fixture
def nobody(monkeypatch):
    """A user without HOME who is in no list of users, as in many containers."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_a_folder_that_is_named_needs_no_home_directory(monkeypatch, nobody, tmp_path):
    monkeypatch.setenv("MEDLABEL_HOME", "/cache")
    monkeypatch.setenv("MEDLABEL_DATA_ROOT", "/sets")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == Path("/cache")
    assert default_data_root() == Path("/sets")
    assert state_folder(None) == Path("/data/medlabel")
    assert with_tilde(tmp_path) == str(tmp_path)


@pytest.mark.parametrize(
    ("find", "variable"),
    [
        (default_home, "MEDLABEL_HOME"),
        (default_data_root, "MEDLABEL_DATA_ROOT"),
        (lambda: state_folder(None), "XDG_DATA_HOME, or name one with --state"),
    ],
)
def test_without_a_home_directory_the_variable_is_named(monkeypatch, nobody, find, variable):
    for home in (None, "/nonexistent"):  # the latter is Debian's for users without one
        if home:
            monkeypatch.setenv("HOME", home)
        with pytest.raises(MedlabelError, match=f"^there is no home directory for ~/.*{variable}$"):
            find()


def test_files_are_listed_without_a_home_directory(nobody, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert home_if_any() is None
    assert sum(part.count for part in list_parts(str(tmp_path))) == 1


def test_rays_libraries_can_be_imported_without_a_home_directory(nobody):
    """They look for it when they are imported."""
    with pytest.raises(RuntimeError, match="home"):
        Path.home()
    rayjobs._ensure_home()
    assert Path("~/ray_results").expanduser() == Path("/nonexistent/ray_results")


def test_the_cache_is_found_in_this_order(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    assert default_home() == Path("/home/me/.cache/medlabel")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says its specification
    assert default_home() == Path("/home/me/.cache/medlabel")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    assert default_home() == Path("/scratch/medlabel")
    monkeypatch.setenv("MEDLABEL_HOME", "")
    assert default_home() == Path("/scratch/medlabel")
    monkeypatch.setenv("MEDLABEL_HOME", "~/cache")
    assert default_home() == Path("/home/me/cache")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDLABEL_HOME", "cache")  # workers run in other folders
    assert default_home() == tmp_path / "cache"


def test_a_tilde_without_a_home_directory_is_an_error(nobody):
    with pytest.raises(MedlabelError, match="write the whole path instead of ~"):
        cache_folder("~/cache")


def test_a_cache_that_cannot_be_written_says_how_to_name_another(tmp_path):
    (tmp_path / "file").write_text("")
    advice = "name another folder with --home or in MEDLABEL_HOME$"
    with pytest.raises(MedlabelError, match=f"Not a directory; {advice}"):
        home_store(tmp_path / "file", "embeddings").write("a/b", b"")
    with pytest.raises(MedlabelError, match=f"cannot keep the phantom CLIP in .*; {advice}"):
        ensure_phantom_clip(tmp_path / "file", PretrainingConfig())
