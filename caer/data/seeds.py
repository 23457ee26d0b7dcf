"""Seeds that are functions of what is being done, so that nothing depends on what ran before or on which worker does it."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from any parts, e.g. `(seed, stage, epoch, index)`; neighbouring parts give unrelated seeds."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
