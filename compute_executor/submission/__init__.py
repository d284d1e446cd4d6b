"""The way out: function and arguments to bytes, bytes to batches, batches to the service."""
