"""Registered endpoints, whatever speaks to them: whose they are, what may be run there, and with which engine."""
