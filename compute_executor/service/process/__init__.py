"""The life of the service process: start, listening, connections, log, end."""
