"""The page of ``compute-executor dashboard``: a program of its own, and a client of the service that it shows."""
