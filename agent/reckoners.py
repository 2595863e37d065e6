"""The reckoners that a configuration asks for: of the node, and of its rack."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from agent import __version__, config
from agent.boot import boot_id
from agent.measure.node import NodeReckoner
from agent.measure.rack import RackPlan
from agent.measure.records import BY_NAME as RECORDS

if TYPE_CHECKING:
    from agent.config import Config


def reckoner_of(settings: Config) -> NodeReckoner:
    """Make the reckoner of this node."""
    reckoner = NodeReckoner(
        settings.node_name,
        settings.general.rack.name,
        settings.general.window,
        epoch=f"boot:{boot_id()}",
        run=f"run:{uuid.uuid4()}",
        version=__version__,
        ledger=str(uuid.uuid4()),
        slo=settings.general.slo,
    )
    reckoner.begin(time.time())
    reckoner.prefer(settings.general.node.gpu_sources, settings.general.node.gpus)
    reckoner.account_for(settings.general.site)
    return reckoner


def plan_of(settings: Config) -> RackPlan:
    """Return what was configured of the rack, and of the site that it stands at."""
    rack, site = settings.general.rack, settings.general.site
    return RackPlan(
        rack.name,
        rack.expected.nodes,
        rack.expected.gpus,
        RECORDS.get(rack.record),
        frozenset(node.rstrip("/") for node in rack.drained),
        site,
        site.prices(config.zone_of(site)),
        feed=config.CARBON in settings.collectors,
    )
