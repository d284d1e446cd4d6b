"""What client, service and agent say to each other: ids, frames, pool descriptions. No behaviour, no I/O."""
