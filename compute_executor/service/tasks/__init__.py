"""What happens to a task: submit, queue, reports of engines, outcomes, cancelling, recovery, retention."""
