"""Endpoints of our own on other machines, which connect to the service: one kind of registered endpoints."""
