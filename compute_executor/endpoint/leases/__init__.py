"""Tasks that run somewhere else: giver and taker, their frames, and what each side keeps of a lease."""
