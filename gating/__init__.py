"""How a face branch and a context branch become one prediction. Pure torch; takes ready modules."""
