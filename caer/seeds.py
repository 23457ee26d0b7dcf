"""Seeds derived from names, so that what happens in one place does not depend on what happened in another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**32) from any values, e.g. `derive_seed(seed, "stage", 2, "epoch", 5)`; the same on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Draw from torch's CPU generator as derived from `parts`; outside, the generator goes on as if nothing happened."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*parts))
        yield
