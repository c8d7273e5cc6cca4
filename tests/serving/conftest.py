"""What the door's tests share: a student, and services around it that need no Ray."""

import warnings

import pytest
from doors import Door, write_bundle
from pydantic import PydanticDeprecatedSince20

from medlabel.student.bundle import load_bundle

with warnings.catch_warnings():  # Ray Serve's own module warns once, and warnings are errors
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    import ray.serve  # noqa: F401  (for what it warns of)


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def bundle(bundle_folder):
    return load_bundle(bundle_folder)


@pytest.fixture
def open_door(tmp_path, bundle_folder):
    """Makes doors; settings may be changed."""
    made = []

    def make(token=None, reader=None, **settings):
        door = Door(tmp_path / "state", token, reader, **({"bundles": [bundle_folder]} | settings))
        made.append(door)
        return door

    yield make
    for door in made:
        door.service.close()


@pytest.fixture
def door(open_door):
    return open_door()
