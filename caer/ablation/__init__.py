"""Ablations: variants of one experiment, trained over seeds, judged on the same rows, and laid side by side."""
