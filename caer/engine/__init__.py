"""Training on Lightning: stages, optimizers, checkpoints, and `fit_stage`, the only place that builds a Trainer."""
