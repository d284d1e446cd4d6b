"""The connection to a service of ours: one I/O thread, one WebSocket, HTTP while there is none."""
