"""What may be wrong with a manifest before anything is trained on it: leaks between splits, contradicting or suspected labels."""
