"""Several variants, several seeds, the same rows: scores, contrasts, claims; and the referee of anybody's prediction files."""
