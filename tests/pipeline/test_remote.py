"""Runs under their keys travel through an S3-compatible remote; a server on this host stands for the store."""

import sys

import pytest
from moto.server import ThreadedMotoServer

from tests import commit

pytestmark = pytest.mark.exhaustive

DVC = (sys.executable, "-m", "dvc")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def endpoint(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def files(clone):
    return {
        path.relative_to(clone.folder): path.read_bytes()
        for path in (clone.folder / "results").rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_a_clone_that_pulls_has_every_byte_and_makes_nothing(copy_finished, endpoint, tmp_path):
    import boto3

    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="results")
    clone = copy_finished()
    clone.environment |= CREDENTIALS
    clone.run(*DVC, "remote", "add", "--default", "store", "s3://results/sagan")
    clone.run(*DVC, "remote", "modify", "store", "endpointurl", endpoint)
    assert "pushed" in clone.run(*DVC, "push")
    commit(clone.folder)

    other = type(clone)(tmp_path / "other")
    other.environment |= CREDENTIALS
    clone.run("git", "clone", "-q", str(clone.folder), str(other.folder))
    other.run(*DVC, "pull")
    assert files(other) == files(clone)
    assert "up to date" in other.repro()
    assert "Everything is up to date" in other.run(*DVC, "push")
