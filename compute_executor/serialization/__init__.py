"""Bytes to objects and back. Knows nothing of tasks, services or files; imports only errors."""
