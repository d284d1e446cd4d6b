"""The connection to a hosted Globus Compute service: batches by HTTP, results by AMQP or by polling."""
