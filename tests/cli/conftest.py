"""Verbs as somebody types them."""

import functools
import shutil

import pytest

from sagan.code.fingerprint import PACKAGE
from tests import sagan as run


@pytest.fixture
def sagan(tmp_path):
    """Runs a verb in a folder that holds params.yaml alone."""
    shutil.copy(PACKAGE.parent / "params.yaml", tmp_path)
    return functools.partial(run, folder=tmp_path)
