#!/usr/bin/env python3
"""Other people's clients on Tidefold's topics: confluent-kafka and fastavro, and the Java client beside them.

    interop.py produce  BOOTSTRAP SCHEMAS.json N     PlaceOrder records, as any producer would write them
    interop.py lines    SCHEMAS.json FROM N          the same, one "key TAB value-in-hex" a line, for the Java producer
    interop.py consume  BOOTSTRAP SCHEMAS.json       every record of the orders topic, decoded with the public schema

SCHEMAS.json is what `tidefold schemas storefront -o json` prints.
"""

import io
import json
import sys

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition


TIME = "2026-03-01T12:00:00Z"


def schemas(path):
    with open(path) as file:
        found = json.load(file)
    items = found["items"] if isinstance(found, dict) else found
    return {item["type"]: item for item in items}


def order(number):
    return {
        "order_id": f"foreign-{number}",
        "customer_id": f"c-{number % 7}",
        "currency": "EUR",
        "total_cents": 100 + number,
        "items": [{"sku": f"sku-{number % 5}", "qty": 2, "price_cents": 50}],
    }


def encode(item, message):
    """Confluent's wire format: a zero, the schema id in four bytes, the Avro datum."""
    out = io.BytesIO()
    out.write(b"\0" + item["id"].to_bytes(4, "big"))
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(item["schema"])), message)
    return out.getvalue()


def produce(bootstrap, path, count):
    item = schemas(path)["PlaceOrder"]
    # librdkafka's default partitioner is not Java's; this one is.
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "acks": "all"})
    failed = []
    for number in range(count):
        message = order(number)
        producer.produce(
            item["log_topic"],
            key=message["order_id"].encode(),
            value=encode(item, message),
            # What event_time() returns, and what makes a record the same record when it is sent again.
            headers={"ce_id": message["order_id"], "ce_source": "/interop", "ce_type": "PlaceOrder", "ce_time": TIME},
            on_delivery=lambda error, _: error and failed.append(error),
        )
        producer.poll(0)
    producer.flush(30)
    if failed:
        sys.exit(f"{len(failed)} records were not delivered: {failed[0]}")
    print(f"python: {count} records")


def lines(path, start, count):
    item = schemas(path)["PlaceOrder"]
    for number in range(start, start + count):
        message = order(number)
        print(message["order_id"], encode(item, message).hex(), sep="\t")


def consume(bootstrap, path):
    known = schemas(path)
    topic = known["PlaceOrder"]["log_topic"]
    by_id = {item["id"]: fastavro.parse_schema(json.loads(item["schema"])) for item in known.values()}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "interop", "enable.auto.commit": False})
    partitions = [TopicPartition(topic, p, 0) for p in range(known["PlaceOrder"]["partitions"])]
    wanted = sum(consumer.get_watermark_offsets(partition)[1] for partition in partitions)
    consumer.assign(partitions)
    seen = 0
    while seen < wanted:
        record = consumer.poll(10)
        if record is None:
            sys.exit(f"{seen} of {wanted} records came")
        if record.error():
            sys.exit(str(record.error()))
        value = record.value()
        assert value[0] == 0, value
        message = fastavro.schemaless_reader(io.BytesIO(value[5:]), by_id[int.from_bytes(value[1:5], "big")])
        assert message["order_id"].encode() == record.key(), message
        seen += 1
    consumer.close()
    print(f"python: read {seen} records")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["produce", bootstrap, path, count]:
            produce(bootstrap, path, int(count))
        case ["lines", path, start, count]:
            lines(path, int(start), int(count))
        case ["consume", bootstrap, path]:
            consume(bootstrap, path)
        case _:
            sys.exit(__doc__)
