"""An endpoint of our own on another machine: a process that connects to a service, takes tasks and has them run."""
