"""Stock peers: Globus Compute's own endpoints, reached through RabbitMQ, and the result queues of its SDK.

names, messages, documents, watch      pure: what things are called, how they are written, what follows
link                                   one connection to the broker, kept
engine                                 stock endpoints behind the seam of `endpoint.pool.engine`
giving, care                           its two hands: tasks out; user endpoints looked after
endpoints                              who has registered, and what may be run there
result_queues                          results of SDKs that listen to the broker
management                             users and permissions in RabbitMQ
"""
