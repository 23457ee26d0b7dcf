"""Where the context branch looks, against where the mask is.

Enters: attention maps and the rows they belong to. Leaves: attention's share in three regions of the picture, against their area.

Each cell of a map stands for an equal part of the picture; a cell that a region covers in part counts in part. What a cell of the
feature map has seen reaches beyond the cell, so attention on the mask may still read what lies beside it. A ratio of 1 is an even
spread. Ratios are of sums over rows, with the group bootstrap's interval.
"""

import os
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from caer.config import Config
from caer.data.dataset import masked_boxes
from caer.evaluation import statistics
from preprocessing.mask import mask_faces

Json = dict[str, Any]

RING = 0.5
"""The surroundings of a mask reach this share of the box beyond it on each side."""
REGIONS = ("mask", "around", "elsewhere")


def attention_by_region(attention: np.ndarray, rows: pd.DataFrame, config: Config, codes: np.ndarray) -> Json:
    """Attention's share in the mask, around it and elsewhere.

    Args:
        attention: [N, h, w], each map sums to one.
        rows: the maps' rows.
        config: what the mask hides.
        codes: [N] groups.

    Returns:
        `n` and by region `attention`, `area` (means of shares) and `ratio`, all `{value, low, high}`.
    """
    covers = np.array([coverage(row, config, attention.shape[1:]) for _, row in rows.iterrows()])
    result: Json = {"n": len(rows)}
    for at, name in enumerate(REGIONS):
        area = covers[:, at].mean(axis=(1, 2))
        mass = (covers[:, at] * attention).sum(axis=(1, 2))
        ratio = statistics.bootstrap(np.stack([mass, area], axis=1), codes, statistics.mean_of_sums)[0]
        shares = {"attention": statistics.mean(mass, codes), "area": statistics.mean(area, codes), "ratio": ratio}
        result[name] = {key: estimate.to_json() for key, estimate in shares.items()}
    return result


def coverage(row: Any, config: Config, cells: tuple[int, ...]) -> np.ndarray:
    """[3, h, w] in [0, 1]: which part of each cell belongs to the mask, to its surroundings, to the rest; they sum to one."""
    with Image.open(os.path.join(row["manifest_folder"], row["image_file"])) as photo:
        width, height = photo.size
    every = row["image_boxes"]
    boxes = masked_boxes(np.asarray(row["image_box"], np.float32), np.asarray(every, np.float32).reshape(-1, 4), config)
    margin = config.data.mask.margin
    hidden = _covered(boxes, margin, (height, width), cells)
    grown = _covered(boxes, margin + RING, (height, width), cells)
    return np.stack([hidden, grown - hidden, 1 - grown])


def _covered(boxes: np.ndarray, margin: float, size: tuple[int, int], cells: tuple[int, ...]) -> np.ndarray:
    """[h, w] in [0, 1]: the part of each cell that a mask hides."""
    hidden = mask_faces(np.full((*size, 3), 255, np.uint8), boxes, "black", margin)[..., 0] == 0
    # Bringing the picture to a multiple of the map first makes the mean over a cell exact.
    height, width = (max(1, round(side / n)) * n for side, n in zip(size, cells, strict=True))
    fitted = cv2.resize(hidden.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return fitted.reshape(cells[0], height // cells[0], cells[1], width // cells[1]).mean(axis=(1, 3))
