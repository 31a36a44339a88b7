#!/usr/bin/env python3
"""Converts the pizzaplace table of the MIT-licensed PyPI package great_tables to schemas/pizzeria/orders.ndjson.zst.

    pip download --no-deps great_tables && unzip great_tables-*.whl
    python3 infra/demo/convert_pizzaplace.py great_tables/data/05-pizzaplace.csv | zstd -19 -o schemas/pizzeria/orders.ndjson.zst

One line an order, in the order of the table. Nothing is added: an order has what its lines have in common (id, date and
time), an item has name, size, type and price.
"""
import csv
import itertools
import json
import sys

with open(sys.argv[1], newline="") as table:
    for order_id, lines in itertools.groupby(csv.DictReader(table), key=lambda line: line["id"]):
        lines = list(lines)
        (ordered_at,) = {f"{line['date']}T{line['time']}" for line in lines}
        items = [{k: line[k] for k in ("name", "size", "type", "price")} for line in lines]
        data = {"order_id": order_id, "ordered_at": ordered_at, "items": items}
        print(json.dumps({"type": "OrderPlaced", "id": order_id, "data": data}, separators=(",", ":")))
