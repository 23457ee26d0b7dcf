"""The label audit: planted label errors come first, and predictions of training rows are refused."""

import numpy as np
import pandas as pd
import pytest
from made_photos import clean_lines, photo_manifest

from caer.audit.labels import COLUMNS, suspects
from caer.audit.run import audit_manifest
from caer.evaluation.predictions import Predictions, write_predictions
from preprocessing.errors import UserError

CLASSES = ["sad", "smile", "angry"]


def write(path, samples, targets, probabilities, split="test", **changes):
    """A prediction file with one task."""
    count = len(samples)
    columns = {"sample_id": samples, "source": "made", "group": "", "split": split, "status": "ok", "image": "x.jpg"}
    empty = pd.Series([None] * count, dtype=object)
    rows = pd.DataFrame(columns | {"answered_by": "model", "target_emotion": np.asarray(targets, np.int64)}, index=range(count))
    rows["prob_emotion"] = pd.Series(np.asarray(probabilities).tolist(), dtype=object)
    for column in ("face_prob_emotion", "context_prob_emotion", "gates_emotion"):
        rows[column] = empty
    meta = {"tasks": {"emotion": CLASSES}, "priors": {"emotion": [1 / 3] * 3}, "split": split}
    write_predictions(Predictions(rows.assign(**changes), meta), path)
    return path


@pytest.fixture
def planted():
    """300 samples whose model is mostly right, and 12 of them annotated wrongly."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    logits = 4 * np.eye(3)[truth] + rng.normal(0, 0.8, (300, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = rng.choice(300, 12, replace=False)
    given = truth.copy()
    given[wrong] = (truth[wrong] + 1) % 3
    samples = [f"{i:064x}" for i in range(300)]
    return samples, given, truth, probabilities, set(wrong.tolist())


def test_planted_label_errors_are_found(tmp_path, planted):
    samples, given, truth, probabilities, wrong = planted
    half = [write(tmp_path / f"{k}.parquet", samples[k::2], given[k::2], probabilities[k::2], ("val", "test")[k]) for k in (0, 1)]
    table, counts = suspects(half, pd.DataFrame({"sample_id": samples}))
    found = {int(sample, 16) for sample in table["sample_id"]}
    assert len(found & wrong) >= 11
    assert len(found - wrong) <= 3
    assert counts["emotion"] == {"labels": 300, "suspected": len(table)}
    assert table.columns.tolist() == COLUMNS
    assert table["score"].is_monotonic_increasing
    for line in table[table["sample_id"].isin([samples[i] for i in wrong])].itertuples():
        i = int(line.sample_id, 16)
        assert (line.given, line.suggested) == (CLASSES[given[i]], CLASSES[truth[i]])
        assert line.score == pytest.approx(probabilities[i, given[i]])


def test_right_labels_are_not_suspected(tmp_path, planted):
    samples, _, truth, probabilities, _ = planted
    path = write(tmp_path / "p.parquet", samples, truth, probabilities)
    assert len(suspects([path], pd.DataFrame({"sample_id": samples}))[0]) <= 3


def test_a_sample_in_several_files_counts_once_with_its_mean(tmp_path, planted):
    samples, given, _, probabilities, _ = planted
    files = [write(tmp_path / "a.parquet", samples, given, probabilities)]
    files.append(write(tmp_path / "b.parquet", samples, given, np.roll(probabilities, 1, axis=1)))
    table, counts = suspects(files, pd.DataFrame({"sample_id": samples}))
    assert counts["emotion"]["labels"] == 300
    mean = (probabilities + np.roll(probabilities, 1, axis=1)) / 2
    assert all(
        line.score == pytest.approx(mean[int(line.sample_id, 16), CLASSES.index(line.given)]) for line in table.itertuples()
    )


def test_rows_that_the_class_prior_answered_and_rows_elsewhere_do_not_count(tmp_path, planted):
    samples, given, _, probabilities, _ = planted
    answered = ["prior"] * 100 + ["model"] * 200
    path = write(tmp_path / "p.parquet", samples, given, probabilities, answered_by=answered)
    assert suspects([path], pd.DataFrame({"sample_id": samples[:250]}))[1]["emotion"]["labels"] == 150


def test_what_cannot_be_used_is_refused(tmp_path, planted):
    samples, given, _, probabilities, _ = planted
    rows = pd.DataFrame({"sample_id": samples})
    with pytest.raises(UserError, match="training rows, which a model answers as it was taught"):
        suspects([write(tmp_path / "train.parquet", samples, given, probabilities, "train")], rows)
    good = write(tmp_path / "good.parquet", samples, given, probabilities)
    with pytest.raises(UserError, match="none of its 300 samples is in the manifest"):
        suspects([good], pd.DataFrame({"sample_id": ["0" * 64]}).iloc[:0])
    other = write(tmp_path / "other.parquet", samples, (given + 1) % 3, probabilities)
    with pytest.raises(UserError, match="a sample carries two targets for 'emotion'"):
        suspects([good, other], rows)


def test_the_command_writes_suspects_for_the_review(tmp_path):
    lines = clean_lines(60)
    path = photo_manifest(tmp_path / "data", lines)
    rows = pd.read_parquet(path)
    targets = rows["label_emotion"].map({"sad": 0, "smile": 1}).to_numpy()
    probabilities = np.array([[0.9, 0.08, 0.02], [0.08, 0.9, 0.02]])[targets]
    probabilities[[3, 8]] = probabilities[[3, 8]][:, [1, 0, 2]]
    file = write(tmp_path / "p.parquet", rows["sample_id"].tolist(), targets, probabilities)
    audit = audit_manifest(path, predictions=[file], page=True)
    assert audit.findings["suspects"] == {"emotion": {"labels": 60, "suspected": 2}}
    table = pd.read_csv(tmp_path / "data" / "suspects.csv")
    assert table.columns.tolist() == COLUMNS
    assert set(table["sample_id"]) == set(rows["sample_id"].iloc[[3, 8]])
    page = (tmp_path / "data" / "audit.html").read_text()
    assert "smile, perhaps sad" in page or "sad, perhaps smile" in page
