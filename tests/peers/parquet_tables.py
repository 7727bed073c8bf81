"""Writes the two tables of a dataset as pandas and pyarrow do, in the ways that the request names."""

import json
import pathlib
import sys

import pandas
import pyarrow
import pyarrow.parquet as parquet

request = json.load(sys.stdin)
folder = pathlib.Path(request["folder"])
tables = {name: pandas.DataFrame(rows) for name, rows in request["tables"].items()}
for way in request["ways"]:
    target = folder / way["name"]
    target.mkdir(parents=True)
    for name, frame in tables.items():
        if way.get("csv"):
            frame.to_csv(target / f"{name}.csv", index=False)
            continue
        if "types" in way:
            frame = frame.astype({column: kind for column, kind in way["types"].items() if column in frame})
        shards = way.get("shards", 1)
        for shard in range(shards):
            part = frame.iloc[shard * len(frame) // shards : (shard + 1) * len(frame) // shards]
            table = pyarrow.Table.from_pandas(part, preserve_index=False)
            parquet.write_table(table, target / f"{name}-{shard:05d}-of-{shards:05d}.parquet", **way.get("options", {}))
json.dump(None, sys.stdout)
