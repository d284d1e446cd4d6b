"""Registered endpoints, whatever speaks to them: whose they are, and what may be run there."""
