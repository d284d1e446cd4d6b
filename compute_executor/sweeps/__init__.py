"""Parameter studies: a function, or a program, over a design of its parameters, into a table and pictures.

    design        which rows: grids, samples, tables, conditions, repeats (grid, samples, params, conditions, seeds)
    running       a bounded number of calls in flight on any Executor
    book          what is known of every row: a SQLite file beside the table, the truth from which tables are made
    formats       the table in csv, tsv, jsonl, parquet, xlsx, netCDF, pickle
    study         one sweep from its request to its end; sweep: the function for programs
    pictures      lines, heat maps, small multiples

The command line (`cli/sweep.py`) is a shell over :mod:`.study`.
"""
