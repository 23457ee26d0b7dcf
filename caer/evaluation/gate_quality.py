"""Is the gate any good? Plain NumPy over predictions.

Enters: rows in which both branches and the gate were asked (`gate_rows`). Leaves: the numbers of `judge_gate`.

Definitions, over these rows:
- The gate's **context share** is g_c / (g_f + g_c), gates per class averaged first (`gating.gate_stats`); 0.5 where both are 0.
- The branches **disagree** where exactly one of them is right: only there can a choice between them help or hurt.
- **AUC**: the probability that, of two disagreements, the one in which the context is right has the larger context share. The
  groups of the disagreements are resampled. 0.5: the gate does not know whom to believe; 1: it always does, up to a threshold.
- **Preferred**: share of the disagreements in which the larger gate is that of the right branch; equal gates count half.
- The **oracle** gate takes a right branch wherever one is right. **Regret** is its accuracy minus that of the run. It can be
  negative: a weighted sum may be right where both branches are wrong.
- **Permuted gates**: the branches are mixed again with the gates of randomly chosen other rows (a permutation of all rows,
  `PERMUTATIONS` times; a row's correctness is the mean over them). **Mean gates**: with the mean gates for every row. The
  differences, run minus control, say what is won by choosing per sample. **Sum**: every gate 1.
- **Risk-coverage**: see `caer.evaluation.ranking`; the confidence is the largest probability.

Mixing needs logits, and predictions hold probabilities. log p = logits - c, with one c a row and branch. With one gate a branch,
g_f log p_f + g_c log p_c differs from g_f z_f + g_c z_c by a constant of the row, which softmax cancels. With gates per class it
does not cancel, and the logits themselves are needed. So the mix with the run's own gates is compared with the run's own answer,
and where the two differ (gates per class without logits, gates that weigh features) there are no mixed controls.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from caer.evaluation import ranking, statistics
from caer.evaluation.predictions import Predictions, task_rows
from gating.gate_stats import branch_gates, context_share

Json = dict[str, Any]

PERMUTATIONS = 100
SEED = 20_250
SAME = 1e-3
"""Largest difference in probability at which a mix counts as the run's own answer."""
COVERAGES = tuple(i / 20 for i in range(1, 21))
_LEAST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class GateRows:
    """Rows answered by both branches and a gate.

    Attributes:
        targets: [N] int.
        fused: [N, K] probabilities of the run.
        face: [N, K] probabilities of the face branch.
        context: [N, K] probabilities of the context branch.
        gates: [N, 2] or [N, 2, K], order (face, context).
        codes: [N] int, what is resampled together.
        logits: of face and context, [N, K] each; None where only probabilities are known.
    """

    targets: np.ndarray
    fused: np.ndarray
    face: np.ndarray
    context: np.ndarray
    gates: np.ndarray
    codes: np.ndarray
    logits: tuple[np.ndarray, np.ndarray] | None = None

    def right(self, probabilities: np.ndarray) -> np.ndarray:
        """[N] bool: the largest of the probabilities [N, K] is at the target."""
        return probabilities.argmax(axis=1) == self.targets

    def mixed(self, gates: np.ndarray) -> np.ndarray:
        """[N, K] probabilities: the branches' logits, or their log-probabilities, weighed by these gates."""
        face, context = self.logits or (np.log(np.maximum(p, _LEAST)) for p in (self.face, self.context))
        return remix(face, context, gates)

    @property
    def share(self) -> np.ndarray:
        """[N] the gate's context share."""
        return np.nan_to_num(context_share(self.gates), nan=0.5)


def gate_rows(predictions: Predictions, task: str) -> GateRows | None:
    """The rows of a prediction table that both branches and the gate answered.

    None for a run without gates (one branch, `concat`) or without branches of its own (CAER-Net, which weighs features), and for
    a task whose answer is not one of K classes.
    """
    if task not in predictions.tasks:
        return None
    table = task_rows(predictions, task)
    if table.gates is None or set(table.branches) != {"face", "context"}:
        return None
    use = (table.answered_by == "model") & ~np.isnan(table.gates).any(axis=1)
    if not use.any():
        return None
    flat = np.array(table.rows[f"gates_{task}"][use].tolist(), dtype=float)
    gates = flat if flat.shape[1] == 2 else flat.reshape(len(flat), 2, -1)
    face, context = table.branches["face"][use], table.branches["context"][use]
    return GateRows(table.targets[use], table.probabilities[use], face, context, gates, table.codes[use])


def judge_gate(rows: GateRows) -> Json:
    """Everything that the module's docstring defines.

    Returns:
        `n`, `accuracy` {fused, face, context, oracle}, `regret`, `disagreements` {n, context_right, auc, preferred},
        `controls` {permuted, mean, sum: {accuracy, difference}} or None, `risk_coverage` {answer: {aurc, error, coverage, risk}}.
        Estimates are `{value, low, high}`.
    """
    answers = {"fused": rows.fused, "face": rows.face, "context": rows.context}
    right = {name: rows.right(probabilities) for name, probabilities in answers.items()}
    right["oracle"] = right["face"] | right["context"]
    return {
        "n": len(rows.targets),
        "accuracy": {name: statistics.share(values, rows.codes).to_json() for name, values in right.items()},
        "regret": statistics.difference(right["oracle"], right["fused"], rows.codes).to_json(),
        "disagreements": disagreements(rows),
        "controls": mixed_controls(rows),
        "risk_coverage": {name: risk_coverage(probabilities, rows) for name, probabilities in answers.items()},
    }


def disagreements(rows: GateRows) -> Json:
    """Whom the gate prefers where exactly one branch is right: `n`, `context_right`, `auc`, `preferred`."""
    face, context = rows.right(rows.face), rows.right(rows.context)
    only = face != context
    share, context, codes = rows.share[only], context[only], rows.codes[only]
    pair = branch_gates(rows.gates)[only]
    towards_context = np.sign(pair[:, 1] - pair[:, 0])
    preferred = 0.5 + 0.5 * towards_context * np.where(context, 1, -1)
    return {
        "n": int(only.sum()),
        "context_right": int(context.sum()),
        "auc": ranking.auc_estimate(share, context, codes).to_json(),
        "preferred": statistics.share(preferred, codes).to_json(),
    }


def remix(face: np.ndarray, context: np.ndarray, gates: np.ndarray) -> np.ndarray:
    """`softmax(g_f face + g_c context)`.

    Args:
        face: logits or log-probabilities [N, K].
        context: the same of the context.
        gates: [N, 2] or [N, 2, K].

    Returns:
        [N, K] probabilities.
    """
    gates = gates if gates.ndim == 3 else gates[:, :, None]
    logits = gates[:, 0] * face + gates[:, 1] * context
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def mixes_logits(rows: GateRows) -> bool:
    """Whether the run's answer is its branches' logits weighed by its gates."""
    return bool(np.abs(rows.mixed(rows.gates) - rows.fused).max() <= SAME)


def mixed_controls(rows: GateRows) -> Json | None:
    """Accuracy with permuted gates, with the mean gates and with the plain sum, and what the run has over each.

    None where the run's answer is no such mix.
    """
    if not mixes_logits(rows):
        return None
    right = rows.right(rows.fused)
    alike = {"mean": rows.gates.mean(axis=0), "sum": np.ones(2)}
    controls = {"permuted": permuted_right(rows)}
    for name, gates in alike.items():
        mixed = rows.mixed(np.broadcast_to(gates, (len(right), *gates.shape)))
        controls[name] = rows.right(mixed).astype(float)
    return {
        name: {
            "accuracy": statistics.share(values, rows.codes).to_json(),
            "difference": statistics.difference(right, values, rows.codes).to_json(),
        }
        for name, values in controls.items()
    }


def permuted_right(rows: GateRows, permutations: int = PERMUTATIONS, seed: int = SEED) -> np.ndarray:
    """[N] how often each row is right with another row's gates, over seeded permutations of all rows."""
    rng, total = np.random.default_rng(seed), np.zeros(len(rows.targets))
    for _ in range(permutations):
        total += rows.right(rows.mixed(rows.gates[rng.permutation(len(total))]))
    return total / permutations


def risk_coverage(probabilities: np.ndarray, rows: GateRows) -> Json:
    """`aurc`, `error` (what a confidence gives that says nothing), and the curve as `coverage` and `risk`."""
    confidence, wrong = probabilities.max(axis=1), ~rows.right(probabilities)
    return {
        "aurc": ranking.aurc_estimate(confidence, wrong, rows.codes).to_json(),
        "error": float(wrong.mean()),
        "coverage": list(COVERAGES),
        "risk": ranking.risk_at(confidence, wrong, COVERAGES),
    }
