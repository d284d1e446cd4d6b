"""What the service keeps: a SQLite database with one writer, readers and grouped commits."""
