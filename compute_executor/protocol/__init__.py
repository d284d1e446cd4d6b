"""The messages between client and service: ids, frames, descriptions of pools. No behaviour, no I/O."""
