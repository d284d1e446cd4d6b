"""What runs inside a worker process. Imports only the standard library and serialization."""
