"""What the board says about itself on its metrics page."""

from math import isnan

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from processors.board.metrics.exposition import Exposition
from processors.board.metrics.metrics_endpoint import BoardMetrics, MetricsEndpoint
from processors.read_model.follower import FollowerStatus
from tests.board.scene import NOW_US, Scene


def redis_up(status: FollowerStatus) -> float:
    scene = Scene()
    scrape = MetricsEndpoint(
        Exposition(scene.store, scene.clock, lambda: status.loaded), BoardMetrics(CollectorRegistry()), status
    )
    families = {family.name: family for family in text_string_to_metric_families(scrape._own_metrics().decode())}
    return families["salespulse_redis_up"].samples[0].value


def test_during_the_first_load_the_state_of_redis_is_unknown() -> None:
    assert isnan(redis_up(FollowerStatus()))


def test_redis_is_up_once_everything_was_loaded_and_down_as_soon_as_it_does_not_answer() -> None:
    assert redis_up(FollowerStatus(loaded=True)) == 1
    assert redis_up(FollowerStatus(loaded=True, down_since_us=NOW_US)) == 0
    assert redis_up(FollowerStatus(down_since_us=NOW_US)) == 0
