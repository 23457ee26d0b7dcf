"""Splits that anybody can repeat: units in the order of a hash, shares kept within each class, groups never torn.

Enters: samples' keys, groups and strata. Leaves: the keys that a split takes. Nothing depends on the order of files or on a
random seed.
"""

import hashlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from preprocessing.types import RawSample

DIGITS = 13
"""Hexadecimal digits of a hash that make a number: 52 bits, as many as a float64 holds."""
MANY = 20
"""Distinct values of one task up to which each is a class of its own."""
USUAL = 10
"""Samples of a value, on average, that make more texts than that classes too, and not names or dates."""


@dataclass(frozen=True)
class Unit:
    """What goes to one split as a whole: a sample, or a group of them."""

    key: str
    size: int
    stratum: str


def units(samples: Sequence[RawSample], by: str | None) -> list[Unit]:
    """The samples' groups (a sample without one stands alone), each with its most frequent label of task `by` as stratum."""
    members: dict[str, list[str]] = defaultdict(list)
    for sample, stratum in zip(samples, _strata(samples, by), strict=True):
        members[unit_key(sample)].append(stratum)
    return [Unit(key, len(group), _most_frequent(group)) for key, group in members.items()]


def unit_key(sample: RawSample) -> str:
    """The key of the unit that a sample belongs to."""
    return f"group {sample.group}" if sample.group else f"image {sample.image}"


def stratifying_task(samples: Sequence[RawSample]) -> str | None:
    """The first task by whose labels samples can be split alike; None where there is none.

    Most samples have such a label, not all the same, and texts repeat: they are not names or dates.
    """
    places: dict[str, int] = {}
    for sample in samples:
        for place, task in enumerate(sample.labels):
            places[task] = max(place, places.get(task, 0))
    for task in sorted(places, key=lambda task: (places[task], task)):
        labels = [sample.labels[task] for sample in samples if task in sample.labels]
        texts = [label for label in labels if isinstance(label, str)]
        several, most = len(set(labels)) > 1, 2 * len(labels) > len(samples)
        if several and most and len(set(texts)) <= max(MANY, len(texts) / USUAL):
            return task
    return None


def _strata(samples: Sequence[RawSample], by: str | None) -> list[str]:
    """The label by which each sample is split; its tenth where the task's labels are numbers of many values, such as ages."""
    labels = ["" if by is None else sample.labels.get(by, "") for sample in samples]
    values = sorted(label for label in labels if not isinstance(label, str))
    if len(set(values)) <= MANY:
        return [str(label) for label in labels]
    bounds = [values[len(values) * tenth // 10] for tenth in range(1, 10)]
    return [label if isinstance(label, str) else f"tenth {bisect_right(bounds, label)}" for label in labels]


def _most_frequent(strata: Sequence[str]) -> str:
    """The most frequent one, of equals the alphabetically first."""
    counts = Counter(strata)
    return min(counts, key=lambda stratum: (-counts[stratum], stratum))


def take(candidates: Sequence[Unit], wanted: int, salt: str) -> set[str]:
    """Choose units with about `wanted` samples together: each stratum by its share, in the order of SHA-256 of salt and key.

    A unit larger than what its stratum still lacks is passed over, so the number is exact wherever there are enough single
    samples.
    """
    strata: dict[str, list[Unit]] = defaultdict(list)
    for unit in candidates:
        strata[unit.stratum].append(unit)
    quotas = _shares({s: sum(u.size for u in members) for s, members in strata.items()}, wanted)
    chosen = set()
    for stratum, members in strata.items():
        left = quotas[stratum]
        for unit in sorted(members, key=lambda u: hashlib.sha256(f"{salt}\n{u.key}".encode()).hexdigest()):
            if unit.size <= left:
                chosen.add(unit.key)
                left -= unit.size
    return chosen


def _shares(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """`wanted` divided in proportion to sizes, by largest remainder."""
    total = sum(sizes.values())
    wanted = min(wanted, total)
    if not total:
        return dict.fromkeys(sizes, 0)
    shares = {key: wanted * size // total for key, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda key: (-(wanted * sizes[key] % total), key))
    for key in by_remainder[: wanted - sum(shares.values())]:
        shares[key] += 1
    return shares


def split_off(
    samples: Sequence[RawSample], origin: str, target: str, wanted: int, *, by: str | None, salt: str
) -> list[RawSample]:
    """Move about `wanted` samples of the split `origin` to `target`, alike in each value of task `by`; their order stays."""
    chosen = take(units([s for s in samples if s.split == origin], by), wanted, salt)
    return [replace(s, split=target) if s.split == origin and unit_key(s) in chosen else s for s in samples]


def hash_split(
    samples: Sequence[RawSample], fractions: tuple[float, float, float], *, by: str | None, salt: str
) -> list[RawSample]:
    """Give samples without a split one of train, val, test by `fractions`, alike in each value of task `by`."""
    n = len(samples)
    samples = [replace(s, split="train") for s in samples]
    samples = split_off(samples, "train", "test", round(n * fractions[2]), by=by, salt=f"{salt} test")
    return split_off(samples, "train", "val", round(n * fractions[1]), by=by, salt=f"{salt} val")


def fixed_split(samples: Sequence[RawSample], fractions: tuple[float, float, float], salt: str) -> list[RawSample]:
    """Give each sample one of train, val, test by the hash of its unit's key alone, with about the shares `fractions`.

    A unit so has one split in every table that names it, whatever else is there, at the price of shares met on average only.
    """
    _, val, test = fractions
    places = {key: _place(key, salt) for key in map(unit_key, samples)}
    splits = {key: "test" if place < test else "val" if place < test + val else "train" for key, place in places.items()}
    return [replace(s, split=splits[unit_key(s)]) for s in samples]


def _place(key: str, salt: str) -> float:
    """A number in [0, 1) that only the key and the salt decide."""
    return int(hashlib.sha256(f"{salt}\n{key}".encode()).hexdigest()[:DIGITS], 16) / 16**DIGITS
