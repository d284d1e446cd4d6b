"""Pools whose workers run under accounts of their users: each by a process of that account."""
