"""Raw images -> manifest: find faces, select, crop, write. Imports nothing of `gating` or `caer`, and nothing heavy here."""
