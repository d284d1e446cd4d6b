"""The service of this user on this machine: its state folder, its locks, and how it is found or started."""
