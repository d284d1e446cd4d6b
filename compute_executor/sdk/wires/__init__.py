"""The two forms in which the Client speaks to a service: ours (msgpack) and that of Globus Compute (JSON)."""
