"""Which task is run next, and the states that a task can be in. Pure: no I/O, no threads, no clock."""
