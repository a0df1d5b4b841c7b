"""What planning finds on disk."""

import pytest


@pytest.fixture
def inception(paths):
    """Bytes where Inception's weights lie: to plan, their digest is enough."""
    file = paths.weights_file("inception", paths.root)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    return file
