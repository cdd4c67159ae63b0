"""Studies: many runs with several seeds, judged and compared alike."""
