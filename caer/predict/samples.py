"""A detected face as a network is shown it, through the same `decode_sample` as in training.

Enters: a `FaceRecord` of the preprocessing. Leaves: pictures, or a sample as `collate` takes it.
"""

from typing import Any

import numpy as np
import torch

from caer.config import Config
from caer.data.dataset import Alter, decode_sample
from caer.predict.networks import Network
from preprocessing.types import FaceRecord


def pictures_of(record: FaceRecord, config: Config, inputs: set[str], alter: Alter | None = None) -> dict[str, np.ndarray]:
    """The pictures that a network is shown of a face.

    Args:
        record: the face; one without its crop has a `face` of zeros.
        config: sizes, mask and the cut of the face.
        inputs: which of `face`, `context`, `image` to make.
        alter: changes the stored crop and photo before all else.

    Returns:
        uint8 RGB arrays [H, W, 3] by name; see `caer.data.dataset.decode_sample`.
    """
    return decode_sample(
        record.face_jpeg,
        record.image_jpeg,
        face_box=record.face_box,
        face_landmarks=record.face_landmarks,
        image_box=record.image_box,
        image_boxes=record.image_boxes,
        config=config,
        inputs=inputs,
        alter=alter,
    )


def sample_of(record: FaceRecord, network: Network, alter: Alter | None = None) -> dict[str, Any]:
    """What a network looks at of a face, as `collate` takes it.

    Args:
        record: the face; one without its crop counts as none found.
        network: whose inputs these are.
        alter: changes the stored crop and photo before all else; see `pictures_of`.
    """
    pictures = pictures_of(record, network.config, network.inputs, alter)
    return {
        "pictures": {name: torch.from_numpy(array).permute(2, 0, 1) for name, array in pictures.items()},
        "targets": {},
        "labelled": {},
        "has_face": record.face_jpeg is not None,
        "sample_id": "",
        "source": "",
    }
