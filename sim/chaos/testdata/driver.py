"""A driver of another make: the drivers' protocol over kafka-python.

    driver.py BROKER USERNAME

Asks for any free charging point, says that the vehicle is plugged in, charges
for two messages of progress, asks to stop, and ends with the ticket. Each step
is printed as a line of JSON. It knows nothing of Carga but docs/PROTOCOL.md, and
may be started before Kafka is there.
"""

import json
import sys
import time
import uuid

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

DEADLINE = 120  # seconds for everything
REPEAT = 3  # seconds until something without an effect is said again


def tell(step, **fields):
    print(json.dumps({"step": step, **fields}), flush=True)


class Driver:
    def __init__(self, broker, username):
        self.username = username
        self.until = time.monotonic() + DEADLINE
        self.producer = self.insist(lambda: KafkaProducer(
            bootstrap_servers=broker, acks="all", max_block_ms=2000, metadata_max_age_ms=1000,
            key_serializer=str.encode, value_serializer=lambda m: json.dumps(m).encode()))
        self.consumer = self.insist(lambda: KafkaConsumer(
            "central-events", bootstrap_servers=broker, group_id="driver-" + username,
            auto_offset_reset="earliest", metadata_max_age_ms=1000, consumer_timeout_ms=500,
            value_deserializer=json.loads))

    def insist(self, attempt):
        """Tries until Kafka lets it, or the deadline is over."""
        waiting = False
        while True:
            try:
                return attempt()
            except (KafkaError, OSError) as e:
                if time.monotonic() > self.until:
                    raise
                if not waiting:
                    tell("waiting_for_kafka", reason=str(e))
                    waiting = True
                time.sleep(0.2)

    def say(self, event_type, message_id, cp_id):
        message = {
            "message_id": message_id, "event_type": event_type, "driver_id": "7", "username": self.username,
            "cp_id": cp_id, "client_id": "python", "timestamp": time.time(),
        }
        self.insist(lambda: self.producer.send("driver-events", message, key=self.username).get(timeout=5))

    def until_heard(self, event_type, message_id, cp_id, heard):
        """Says something again and again until a message is the one awaited."""
        said = 0.0
        while time.monotonic() < self.until:
            if event_type and time.monotonic() - said > REPEAT:
                self.say(event_type, message_id, cp_id)
                said = time.monotonic()
            for record in self.consumer:
                m = record.value
                if heard(m):
                    return m
                if event_type and time.monotonic() - said > REPEAT:
                    break
        raise SystemExit("nothing was heard in time")

    def mine(self, *types):
        return lambda m: m["event_type"] in types and m.get("username") == self.username

    def authorize(self):
        """Asks until a charging point is free; each answer is to one request."""
        while True:
            request = str(uuid.uuid4())
            answer = self.until_heard(
                "AUTHORIZATION_REQUEST", request, None,
                lambda m: m["event_type"] == "AUTHORIZATION_RESPONSE" and m.get("message_id") == request)
            if answer["authorized"]:
                return answer
            tell("refused", reason=answer["reason"])
            time.sleep(0.5)

    def run(self):
        answer = self.authorize()
        cp_id = answer["cp_id"]
        tell("authorized", cp_id=cp_id, connector=answer["connector"], reservation_id=answer["reservation_id"])
        self.until_heard("charging_started", str(uuid.uuid4()), cp_id, self.mine("charging_started", "charging_progress"))
        tell("charging_started", cp_id=cp_id)
        for _ in range(2):
            progress = self.until_heard(None, None, None, self.mine("charging_progress"))
            tell("charging_progress", energy_kwh=progress["energy_kwh"], cost=progress["cost"])
        ticket = self.until_heard("STOP_REQUEST", str(uuid.uuid4()), cp_id, self.mine("CHARGING_TICKET"))
        tell("ticket", **{k: ticket[k] for k in ("cp_id", "session_id", "energy_kwh", "cost", "currency", "duration_sec", "reason")})
        self.consumer.close()
        self.producer.close(timeout=5)


if __name__ == "__main__":
    Driver(sys.argv[1], sys.argv[2]).run()
