"""HTTP requests of the Client: transports, retries, pacing."""
