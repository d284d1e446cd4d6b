"""The way back: from the service's stream, or from polling, to the futures."""
