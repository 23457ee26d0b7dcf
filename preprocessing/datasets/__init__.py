"""Datasets: the raw layout of a source on disk -> samples. One file per dataset; its name is the name in the settings."""
