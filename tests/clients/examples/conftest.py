"""A service for each example, so that each example finds the same log groups."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from service import Service, binary  # noqa: E402


@pytest.fixture
def service():
    with Service(binary()) as running:
        yield running
