"""How people are notified, by whichever receiver: what is still true, in digests if they are set."""

from config.notifier_settings import NotifierSettings
from processors.notifier.receivers.base import DeliveryPolicy

DIGEST_BATCH_SIZE = 500


def policy_for_people(settings: NotifierSettings) -> DeliveryPolicy:
    """The states in `notifier.tell`, one message at a time; digests every `notifier.digest_minutes`."""
    digest_seconds = settings.digest_minutes * 60.0
    batch_size = DIGEST_BATCH_SIZE if digest_seconds else 1
    return DeliveryPolicy(states=frozenset(settings.tell), digest_seconds=digest_seconds, batch_size=batch_size)
