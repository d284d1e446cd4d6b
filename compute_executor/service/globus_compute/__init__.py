"""Stock peers: Globus Compute's own endpoints, reached through RabbitMQ, and the result queues of its SDK.

peers                                  this kind of endpoints, as `endpoints.remote_kind` has it
names, messages, documents             pure: what things are called, and how they are written
heartbeats, credit                     pure: what follows from heartbeats; how many tasks are given ahead
broker_link                            one connection to the broker, kept
engine                                 stock endpoints behind the seam of `endpoint.pool.engine`
publisher, task_writer, inbox          tasks out, results in
reconciler, user_endpoints             each user endpoint compared with its open tasks
result_queues                          results of SDKs that listen to the broker
management                             users and permissions in RabbitMQ
"""
