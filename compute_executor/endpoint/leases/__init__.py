"""Tasks that run somewhere else: grantor and holder, their frames, and what each side keeps of a lease."""
