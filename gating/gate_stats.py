"""What the gates do, by class and by source.

Enters: gates of N samples as an array and a grouping. Leaves: one row a group, plain numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def context_share(gates: np.ndarray) -> np.ndarray:
    """`g_c / (g_f + g_c)` per sample, in [0, 1]; NaN where both gates are 0.

    Args:
        gates: [N, 2] or [N, 2, K] in the order (face, context); classes are averaged first.
    """
    pair = branch_gates(gates)
    total = pair.sum(axis=1)
    return np.divide(pair[:, 1], total, out=np.full(len(pair), np.nan), where=total != 0)


def branch_gates(gates: np.ndarray) -> np.ndarray:
    """Gates [N, 2] or [N, 2, K] as one pair a sample, [N, 2] float64, averaged over classes."""
    gates = np.asarray(gates, dtype=np.float64)
    if gates.ndim not in (2, 3) or gates.shape[1] != 2:
        raise ValueError(f"gates of shape {gates.shape}; expected [N, 2] or [N, 2, K]")
    return gates if gates.ndim == 2 else gates.mean(axis=2)


def summarize_gates(gates: np.ndarray, groups: Sequence[Any] | np.ndarray) -> list[dict[str, Any]]:
    """Mean and standard deviation of the gates in each group, groups in sorted order, then `all`.

    Args:
        gates: [N, 2] or [N, 2, K], order (face, context).
        groups: N group names (class, source).

    Returns:
        Rows with `group`, `n`, `face_mean`, `face_sd`, `context_mean`, `context_sd`, `context_share`.
    """
    pair, share = branch_gates(gates), context_share(gates)
    names = np.asarray([str(group) for group in groups])
    if len(names) != len(pair):
        raise ValueError(f"{len(names)} group names for {len(pair)} samples")
    members = {name: names == name for name in sorted(set(names.tolist()))}
    members["all"] = np.ones(len(pair), dtype=bool)
    return [_row(name, pair[rows], share[rows]) for name, rows in members.items() if rows.any()]


def _row(name: str, pair: np.ndarray, share: np.ndarray) -> dict[str, Any]:
    known = share[~np.isnan(share)]
    return {
        "group": name,
        "n": len(pair),
        "face_mean": float(pair[:, 0].mean()),
        "face_sd": float(pair[:, 0].std()),
        "context_mean": float(pair[:, 1].mean()),
        "context_sd": float(pair[:, 1].std()),
        "context_share": float(known.mean()) if len(known) else float("nan"),
    }
