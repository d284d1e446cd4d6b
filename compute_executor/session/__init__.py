"""What an Executor and its I/O thread share, the loop of that thread, and what is said to a service."""
