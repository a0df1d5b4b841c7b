"""Seeds for every purpose from one: training, sampling and measuring draw from streams of their own."""

import hashlib


def derived_seed(seed: int, purpose: str, index: int) -> int:
    """A seed in [0, 2**63) for one purpose at one index, unrelated to its neighbours'."""
    text = f"{seed}/{purpose}/{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
