"""One model in one rack: how much, how fast, how long it takes, and how its engines are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks, shared
from dashboards.grafana.boards.board import Board, Row, choice, to_board
from dashboards.grafana.boards.panels import Course, Face, figure, series
from dashboards.grafana.boards.queries import Query, in_rack
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table, timeseries

WHICH = 'rack="$rack", model="$model"'
MODEL = 'model="$model"'
LIMITERS = {
    "demand": looks.QUIET,
    "unknown": "super-light-blue",
    "thermal": looks.WARN,
    "host": "dark-orange",
    "power_limit": looks.POWER["gpu"],
    "kv_memory": "purple",
    "memory_bandwidth": "light-purple",
    "compute": "blue",
    "nvlink": "light-blue",
}
BY_PERCENTILE = Course(colours=looks.PERCENTILES, fill=0)


def board() -> Board:
    """Return the board."""
    return Board(
        uid="rackwatt-model",
        title="rackwatt: model and engine",
        about="One model in one rack: how much it makes, how long requests take, and how its engines are.",
        variables=[
            choice("rack", "Rack", "label_values(rackwatt_node_info, rack)"),
            choice("model", "Model", 'label_values(model:rackwatt_tokens:rate5m{rack="$rack"}, model)'),
        ],
        annotations=shared.marks(),
        rows=[_answers(), _work(), _latency(), *_engines()],
    )


def recorded(name: str, *labels: str) -> str:
    """Return a recorded series of the model."""
    chosen = ", ".join((WHICH, *labels))
    return f"model:rackwatt_{name}{{{chosen}}}"


def told(metric: str, *labels: str) -> str:
    """Return what the nodes tell of the model."""
    chosen = ", ".join((MODEL, *labels))
    return f"{metric}{{{chosen}}}"


def of_model(metric: str, *labels: str) -> str:
    """Return the same with the node's name."""
    return in_rack(told(metric, *labels))


def _answers() -> Row:
    return Row(4, [(3, panel) for panel in (*_made(), *_waited(), *_kept())])


def _made() -> list[stat.Panel]:
    return [
        figure(
            "Output tokens/s",
            "Over the last minute, over all nodes of the rack; each token counts once.",
            Query(recorded("tokens:rate1m", 'kind="output"'), "output"),
            face=Face(looks.TOKENS_PER_SECOND, colour=looks.fixed(looks.TOKENS["output"]), none="none"),
        ),
        figure(
            "Running",
            "Requests in work.",
            Query(recorded("requests:running"), "running"),
            face=Face(decimals=0, colour=looks.fixed(looks.REQUESTS["running"]), none="unknown"),
        ),
        figure(
            "Waiting",
            "Requests that wait for an engine. More than none for long: more is asked for than can be made.",
            Query(recorded("requests:waiting"), "waiting"),
            face=Face(decimals=0, steps=looks.steps(looks.QUIET, (1, looks.WARN)), none="unknown"),
        ),
    ]


def _waited() -> list[stat.Panel]:
    told_of = (
        ("First token, p99", "From arrival to the first output token", "time_to_first_token_seconds"),
        ("Inter-token, p99", "Between two outputs of a request", "inter_token_latency_seconds"),
        ("Whole request, p99", "From arrival to the last token", "request_duration_seconds"),
    )
    return [
        figure(
            title,
            f"{what}: 99 % stayed within, over five minutes, by the merged buckets of all engines that tell.",
            Query(recorded(f"{name}:p99_5m"), "p99"),
            face=Face(looks.SECONDS, 2, colour=looks.fixed(looks.QUIET), none="not told"),
        )
        for title, what, name in told_of
    ]


def _kept() -> list[stat.Panel]:
    up = of_model("rackwatt_engine_up")
    goodput = of_model("rackwatt_model_goodput_ratio", 'bound="lower"')
    return [
        figure(
            "Goodput",
            "Share of requests that kept every limit of `slo` for certain (the lower bound), on the worst "
            "node, over the last minute. Orange below 99 %, red below 95 %.",
            Query(f"min({goodput})", "goodput"),
            face=Face(
                looks.RATIO,
                1,
                looks.steps(looks.QUIET, (0, looks.BAD), (0.95, looks.WARN), (0.99, looks.GOOD)),
                none="no slo set",
            ),
        ),
        figure(
            "Engines",
            "Engine instances whose page can be read and believed, and those that are known.",
            Query(f"sum({up})", "up"),
            Query(f"count({up})", "known"),
            face=Face(colour=looks.fixed(looks.QUIET), none="none"),
            says="value_and_name",
        ),
    ]


def _work() -> Row:
    cached = recorded("tokens:rate5m", 'kind="prompt_cached"')
    prompt = recorded("tokens:rate5m", 'kind="prompt"')
    panels = [
        series(
            "Tokens per second, by kind",
            "Over one minute. prompt has the cached ones in it; kinds are never added.",
            Query(recorded("tokens:rate1m"), "{{kind}}"),
            face=Face(looks.TOKENS_PER_SECOND, low=0),
            course=Course(colours=looks.TOKENS, fill=0),
        ),
        series(
            "Output tokens per joule",
            "Over five minutes, of the GPUs that worked for this model and nothing else. Not to be "
            "compared with another model's, precision's or shape's.",
            Query(recorded("tokens_per_joule:ratio5m", 'kind="output"'), "at {{boundary}}"),
            face=Face(
                looks.TOKENS_PER_JOULE, 2, low=0, none="Withheld: GPUs are shared, or not all are known"
            ),
            course=Course(colours=looks.at_boundary(), fill=0),
        ),
        series(
            "Prompt tokens from a cache",
            "Share of prompt tokens that were not computed again. It falls when prompts change or caches "
            "are lost (restarts); first tokens then take longer.",
            Query(f"{cached} / ignoring (kind) {prompt}", "cached"),
            face=Face(looks.RATIO, low=0, high=1, none="Not told by these engines"),
            course=Course(colours={"cached": looks.TOKENS["prompt_cached"]}, legend="hidden"),
        ),
    ]
    return Row(8, [(6, panel) for panel in (*panels, _bound())], "Work")


def _bound() -> timeseries.Panel:
    limiters = in_rack(f"({told('rackwatt_deployment_limiter')} == 1)")
    return series(
        "What bounds it: nodes, by limiter",
        "What each node's deployment would need more of to make more, wrong or not (docs/limiter.md). "
        "demand: nothing, it makes what is asked for. A node apart from the others is worth a look.",
        Query(f"count by (limiter) ({limiters})", "{{limiter}}"),
        face=Face(decimals=0, low=0, none="Not judged yet: it takes half a minute of work"),
        course=Course(colours=LIMITERS, stacked=True, fill=50),
    )


def _latency() -> Row:
    def percentiles(name: str) -> list[Query]:
        return [Query(recorded(f"{name}:{each}_5m"), each) for each in ("p50", "p99")]

    queue = in_rack(f"rate({told('rackwatt_model_queue_time_seconds_bucket')}[$__rate_interval])")
    panels = [
        series(
            "Time to first token",
            "Over five minutes, by merged buckets of all engines that tell. It grows with queues and long "
            "prompts.",
            *percentiles("time_to_first_token_seconds"),
            face=Face(looks.SECONDS, low=0, none="Not told by these engines"),
            course=BY_PERCENTILE,
        ),
        series(
            "Between tokens",
            "Over five minutes, likewise. It grows with batches, and when GPUs are held back.",
            *percentiles("inter_token_latency_seconds"),
            face=Face(looks.SECONDS, low=0, none="Not told by these engines"),
            course=BY_PERCENTILE,
        ),
        series(
            "Whole request",
            "From arrival to the last token, over five minutes, likewise.",
            *percentiles("request_duration_seconds"),
            face=Face(looks.SECONDS, low=0, none="Not told by these engines"),
            course=BY_PERCENTILE,
        ),
        series(
            "In the queue",
            "From arrival to the first work on a request, likewise.",
            *(
                Query(f"histogram_quantile({share}, sum by (le) ({queue}))", name)
                for name, share in (("p50", 0.5), ("p99", 0.99))
            ),
            face=Face(looks.SECONDS, low=0, none="Not told by these engines"),
            course=BY_PERCENTILE,
        ),
    ]
    return Row(7, [(6, panel) for panel in panels], "Latency")


def _engines() -> list[Row]:
    preempted = in_rack(f"rate({told('rackwatt_engine_preemptions_total')}[$__rate_interval])")
    panels = [
        series(
            "Requests",
            "In the engines. Waiting grows while running stands still: no room is left (KV cache, batch "
            "size).",
            Query(recorded("requests:running"), "running"),
            Query(recorded("requests:waiting"), "waiting"),
            face=Face(low=0),
            course=Course(colours=looks.REQUESTS),
        ),
        series(
            "KV cache in use",
            "By engine. Near full, requests wait or are put off (preempted).",
            Query(
                f"max by (node, engine_instance) ({of_model('rackwatt_engine_kv_cache_usage_ratio')})",
                "{{node}} {{engine_instance}}",
            ),
            face=Face(
                looks.RATIO, low=0, high=1, colour=looks.shades("purple"), none="Not told by these engines"
            ),
            course=Course(fill=0, legend="hidden"),
        ),
        series(
            "Requests put off for want of KV cache",
            "Preemptions per second over all engines: work that is done twice.",
            Query(f"sum({preempted})", "preempted"),
            face=Face("reqps", low=0, colour=looks.fixed(looks.WARN), none="Not told by these engines"),
            course=Course(legend="hidden", soft=1),
        ),
    ]
    return [Row(7, [(8, panel) for panel in panels], "Engines"), Row(10, [(24, _table())])]


def _table() -> table.Panel:
    by = "node, engine, engine_instance"
    restarts = in_rack(f"increase({told('rackwatt_engine_restarts_total')}[$__range])")
    state = of_model("rackwatt_engine_state")

    def requests(which: str) -> str:
        return of_model("rackwatt_engine_requests", f'state="{which}"')

    return rows(
        "Engines",
        "Each instance: what it does, restarts in the time shown, requests, KV cache, and how long it "
        "takes to begin its page (what being watched costs it).",
        Query(f"max by ({by}) ({of_model('rackwatt_engine_up')})"),
        Query(f"max by ({by}, state) ({state} == 1)"),
        Query(f"round(max by ({by}) ({restarts}))"),
        Query(f"max by ({by}) ({requests('running')})"),
        Query(f"max by ({by}) ({requests('waiting')})"),
        Query(f"max by ({by}) ({of_model('rackwatt_engine_kv_cache_usage_ratio')})"),
        Query(f"max by ({by}) ({of_model('rackwatt_engine_page_first_byte_seconds')})"),
        columns=[
            Column(
                "node",
                "Node",
                link=("Node", to_board(shared.NODE_BOARD, rack="${rack}", node="${__value.raw}")),
            ),
            Column("engine", "Engine"),
            Column("engine_instance", "Instance"),
            Column("A", "Page", words=shared.UP),
            Column("state", "State"),
            Column("C", "Restarts", decimals=0, steps=looks.steps(looks.QUIET, (1, looks.WARN))),
            Column("D", "Running", decimals=0),
            Column("E", "Waiting", decimals=0),
            Column("F", "KV cache", looks.RATIO, 0),
            Column("G", "First byte", looks.SECONDS, 1),
        ],
        sort=[("Page", False), ("Node", False)],
        none="No engine serves this model",
    )
