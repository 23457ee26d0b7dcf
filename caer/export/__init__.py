"""A trained run for use elsewhere: one file with the network and all it needs, and a card that says what it is."""
