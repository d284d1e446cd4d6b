"""Workers on machines that an engine of somebody else finds: a pilot is one long task of it, which starts our
workers."""
