"""What networks learned, what they were shown, and how the training went, as pictures."""
