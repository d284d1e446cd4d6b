"""Where tasks run: the engine, its worker processes, and the loop inside them."""
