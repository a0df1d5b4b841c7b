"""Fetching originals with torchvision's downloaders, where a network is there (`download: true`)."""

from __future__ import annotations

from pathlib import Path

from sagan.errors import UserError, first_line

# The names of torchvision's classes.
CLASSES = {
    **{"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "stacked-mnist": "MNIST"},
    **{"cifar10": "CIFAR10", "celeba": "CelebA"},
}


def download(kind: str, folder: Path) -> None:
    """Fetch a dataset's originals into `folder`; torchvision checks their md5s.

    Raises:
        UserError: torchvision is not installed, or a file cannot be had.
    """
    try:
        import torchvision.datasets
    except ImportError:
        raise UserError(
            "download: true needs torchvision; pip install torchvision, or put the files there by hand"
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        getattr(torchvision.datasets, CLASSES[kind])(root=str(folder), download=True)
    # Network, quota (CelebA's host often refuses), checksum: torchvision and its helpers share no base class.
    except Exception as error:
        raise UserError(
            f"{folder}: torchvision could not fetch {CLASSES[kind]} ({first_line(error)}); put the files there by hand"
        ) from None
