"""From numbers to pictures and one self-contained page."""
