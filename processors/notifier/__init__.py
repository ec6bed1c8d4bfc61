"""The notifier sends each alert once to every receiver, and no receiver waits for another.

The way of an alert: `alert_consumer` reads it, `delivery_queue` drops repetitions (`deduplication`) and keeps its
order, `sender` hands it to a receiver in a batch, `delivery_log` records it, and only then is its offset committed. All
of this is one round of `delivery_loop`, which runs once for each receiver.
"""
