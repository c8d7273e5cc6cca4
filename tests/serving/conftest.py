"""Fixtures of the service's tests: a student, and services around it that need no Ray."""

import warnings

import pytest
from pydantic import PydanticDeprecatedSince20
from service_client import ServiceClient, write_bundle

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
def make_client(tmp_path, bundle_folder):
    """Makes services and clients for them; settings may be changed."""
    made = []

    def make(token=None, reader=None, **settings):
        client = ServiceClient(
            tmp_path / "state", token, reader, **({"bundles": [bundle_folder]} | settings)
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.service.close()


@pytest.fixture
def client(make_client):
    return make_client()
