"""The service that anyone can run: functions, tasks and results over HTTP and a WebSocket, kept in SQLite.

This file imports nothing: `local.embedded` is imported by every client, the rest only by the service process.
"""
