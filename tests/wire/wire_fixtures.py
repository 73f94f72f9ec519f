"""Fixtures of the wire tests and of every folder whose conftest.py names this module. `server` and `s3` are shared by the session; `bucket` is fresh for each test;
`start_server(**settings)` makes further servers for tests of the life cycle."""

import itertools
import os

import pytest

from ingot import BACKEND, BINARY, Server

_numbers = itertools.count(1)


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} does not exist; build it first (make build)", returncode=3)


def pytest_collection_modifyitems(config, items):
    """The operations that a test shows to work go into the JUnit report, for tools/compat.py. One back-end is enough for
    what is marked `once`."""
    if BACKEND == "uring":
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("once")])
        items[:] = [item for item in items if not item.get_closest_marker("once")]
    for item in items:
        for mark in item.iter_markers("op"):
            item.user_properties.append(("op", mark.args[0]))


@pytest.fixture(scope="session")
def server():
    s = Server()
    try:
        s.start()
        yield s
        s.stop()
    finally:
        s.remove()


@pytest.fixture(scope="session")
def s3(server):
    return server.client()


@pytest.fixture
def bucket_name():
    """A name that no other test uses."""
    return f"test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def bucket(s3, bucket_name):
    """A fresh bucket's name. What is left in it goes with the server's data directory."""
    s3.create_bucket(Bucket=bucket_name)
    return bucket_name


@pytest.fixture
def start_server():
    """start_server(data=DIR, env={}, own_keys=False, **settings) → a ready Server; settings are the flags' names with
    '_' for '-'. All are stopped (and must stop well) at the end of the test, but those it ended itself."""
    started = []

    def start(**arguments):
        s = Server(**arguments)
        started.append(s)
        return s.start()

    try:
        yield start
        for s in started:
            s.stop()
    finally:
        for s in started:
            s.remove()
