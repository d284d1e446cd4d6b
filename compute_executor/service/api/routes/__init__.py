"""The routes by what they are about. Each: read the request, call the service, make the answer; no decision."""
