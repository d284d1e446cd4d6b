"""Users, clients, groups and tokens of a service of one's own.

book.py       who there is, in memory, as the store has it
accounts.py   the one who changes it: store, book, then whoever must hear of it; knows tokens and clients
commands.py   what an administrator can ask for, by name
durations.py  "30d" as seconds
folder.py     the same commands on a folder in which no service runs
"""
