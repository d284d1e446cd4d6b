"""A pool of worker processes: starts them, feeds them, hears them and ends them."""
