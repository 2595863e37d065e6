"""Queries, and the joins that tell of which node and rack a node's own series are."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and how its series are called."""

    expr: str
    legend: str = ""

    def target(self, ref: str, form: PromQueryFormat, *, now: bool) -> prometheus.Dataquery:
        """Return it as a panel holds it, which asks for now or for the time shown."""
        made = prometheus.Dataquery().expr(self.expr).ref_id(ref).datasource(SOURCE).format(form)
        made = made.instant() if now else made.range()
        return made if form is PromQueryFormat.TABLE else made.legend_format(self.legend or "__auto")


def in_rack(series: str) -> str:
    """Return a node's own series with the node's name, of the nodes of the chosen rack."""
    return f'{series} * on (job, instance) group_left (node) rackwatt_node_info{{rack="$rack"}}'


def in_racks(series: str) -> str:
    """Return the same of all chosen racks, with the rack's name too."""
    return f'{series} * on (job, instance) group_left (node, rack) rackwatt_node_info{{rack=~"$rack"}}'


def of_node(series: str) -> str:
    """Return the series of the chosen node."""
    return (
        f'{series} * on (job, instance) group_left (node) rackwatt_node_info{{rack=~"$rack", node="$node"}}'
    )


def of_rack(name: str, *labels: str, by: str = "rack") -> str:
    """Return a figure of the chosen rack; two daemons that reckon it are one."""
    chosen = ", ".join(('rack="$rack"', *labels))
    return f"max by ({by}) ({name}{{{chosen}}})"
