"""A trained run put to use: photos and videos in, decoded answers out."""

from caer.predict.answers import FacePrediction
from caer.predict.predictor import Predictor
from caer.predict.sources import Photo

__all__ = ["FacePrediction", "Photo", "Predictor"]
