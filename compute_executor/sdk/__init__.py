"""The guide's Client: functions, tasks, batches, endpoints, containers, logins, over a service's HTTP routes.

    client.py       Client: which service, whose login; gathers the calls below
    functions.py    tasks.py  endpoints.py  containers.py      the guide's methods, by what they are about
    batch.py        what create_batch hands out
    wires/          the two forms of what is sent: to services of ours, and to Globus Compute
    own_api.py      the HTTP interface of services of ours, also for an Executor
    http/           one request: paced, repeated where that is safe, its failure an error of errors.py; how it gets
                    there: standard library, or a globus_sdk web client
    login_manager/  who is asking

Importing it does not import globus_sdk, which takes longer than all the rest together.
"""
