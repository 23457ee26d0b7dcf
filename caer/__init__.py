"""Context-aware emotion recognition: data, models, staged training, evaluation, reports."""
