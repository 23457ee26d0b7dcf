"""Detectors: upright photo -> faces. One file per detector; its name is the name in the settings."""
