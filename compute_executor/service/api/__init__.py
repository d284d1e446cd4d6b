"""What peers say to the service over HTTP and WebSocket, and how they are answered."""
