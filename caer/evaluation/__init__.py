"""From predictions to believable numbers: metrics, calibration, statistics, and the evaluation of a run."""
