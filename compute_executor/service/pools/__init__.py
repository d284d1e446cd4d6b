"""Worker pools: opened, closed, broken, restored; and their variants in containers."""
