"""An engine that a user writes down: selectors, what is refused, and a page read by it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fakes.page_server import Answer, PageServer

from agent import config
from agent.collectors._engines import mapping, selectors
from agent.collectors.engines import build
from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, HistogramTerm, Term
from agent.measure.reading import Moment, Reason, SourceError

MINE = """
collectors:
  engines:
    targets: [{{url: "{url}"{engine}}}]
    mappings:
      my-engine:
        detect: [mine_]
        tokens:
          output: mine_tokens_total{{kind="generated"}} + mine_draft_tokens_total
          prompt: mine_tokens_total{{kind=~"prompt|cached"}}
        live_output: mine_steps_total
        model_label: deployment
        running: mine_running
        kv_cache_usage: mine_cache_ratio
"""
PAGE = Answer(
    b'mine_tokens_total{kind="generated",deployment="m"} 40\n'
    b'mine_tokens_total{kind="prompt",deployment="m"} 100\n'
    b'mine_tokens_total{kind="cached",deployment="m"} 20\n'
    b'mine_tokens_total{kind="generated2",deployment="m"} 9000\n'
    b'mine_draft_tokens_total{deployment="m"} 2\n'
    b"mine_steps_total 55\n"
    b"mine_running 3\n"
    b"mine_cache_ratio 0.5\n"
)


async def read(text: str):
    settings = config.parse(text, "rackwatt.yaml").collectors["engines"]
    collector = build(settings)
    try:
        return await collector.sources(None)[0].collect(Moment(time.monotonic(), time.time()), None)
    finally:
        await collector.close()


@pytest.mark.parametrize("engine", ["", ", engine: my-engine"], ids=["detected", "named"])
async def test_engine_of_ones_own_is_read_by_its_mapping(engine):
    async with PageServer({"/metrics": PAGE}) as server:
        (found,) = (await read(MINE.format(url=server.url, engine=engine))).engines

    counted: dict[str, float] = {}
    for one in found.counters:
        counted[one.kind] = counted.get(one.kind, 0.0) + one.value
    assert (found.engine, found.demand.running, found.kv_cache_usage_ratio) == ("my-engine", 3.0, 0.5)
    assert counted == {TokenKind.OUTPUT: 42.0, TokenKind.PROMPT: 120.0}
    assert (found.live_output_tokens, found.live) == (55.0, True)


async def test_page_without_its_series_is_refused_with_the_place_to_look():
    async with PageServer({"/metrics": Answer(b"other 1\n")}) as server:
        with pytest.raises(SourceError, match=r"compare collectors\.engines\.mappings\.my-engine") as caught:
            await read(MINE.format(url=server.url, engine=", engine: my-engine"))

    assert caught.value.reason is Reason.UNSUPPORTED


async def test_mapping_is_stronger_than_a_table_of_ours():
    body = Answer(b'vllm:generation_tokens_total{model_name="m"} 7\nvllm:my_fork_tokens_total 3\n')
    text = """
collectors:
  engines:
    targets: [{url: "URL"}]
    mappings: {fork: {detect: [vllm_my], tokens: {output: vllm_my_fork_tokens_total}, live: true}}
"""
    async with PageServer({"/metrics": body}) as server:
        (found,) = (await read(text.replace("URL", server.url))).engines

    assert (found.engine, [one.value for one in found.counters]) == ("fork", [3.0])


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("a_total", (Term("a_total"),)),
        (" a + b ", (Term("a"), Term("b"))),
        ("a+b+c", (Term("a"), Term("b"), Term("c"))),
        ("a{}", (Term("a"),)),
        ('a{x="1"}', (Term("a", {"x": "1"}),)),
        ("a{x='1', y=~'2|3',}", (Term("a", {"x": "1", "y": "2|3"}),)),
        ('a{x="1.5"} + b{x=~"5.."}', (Term("a", {"x": r"1\.5"}), Term("b", {"x": "5.."}))),
        (r'a{x="say \"no\""}', (Term("a", {"x": r'say\ "no"'}),)),
        (r'a{x=~"\\d+"}', (Term("a", {"x": r"\d+"}),)),
        ("vllm_x", (Term("vllm:x"),)),
        ("ray_vllm_x", (Term("vllm:x"),)),
    ],
)
def test_selectors_are_read_as_in_promql(text, terms):
    assert selectors.terms(text) == terms


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("+a", r"is wrong at '\+a'"),
        ("a +", "is wrong at its end"),
        ("a b", "is wrong at 'b'"),
        ("a{", "is wrong at its end"),
        ('a{x="1"', "is wrong at its end"),
        ("a{x=1}", r"is wrong at 'x=1\}'"),
        ('a{x="1" y="2"}', "is wrong at 'y="),
        ('a{x!="1"}', "!= cannot be asked for; there are = and =~"),
        ('a{x!~"1"}', "!~ cannot be asked for"),
        ('a{x="1",x="2"}', "has x twice"),
        ('a{x=~"("}', "is no pattern: missing"),
        ("rate(a[5m])", r"is wrong at '\(a\[5m\]\)'"),
        ("a - b", "is wrong at '- b'"),
        ("9a", "is wrong at '9a'"),
    ],
)
def test_selector_that_cannot_be_read_is_refused_with_the_place(text, says):
    with pytest.raises(ValueError, match=says):
        selectors.terms(text)


OF = "collectors: {engines: {mappings: {NAME: BODY}}}"
OUTPUT = "tokens: {output: a}"


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("e", "{}", r"mappings\.e: needs tokens"),
        ("e", "{tokens: {}}", r"mappings\.e\.tokens: needs output"),
        ("e", "{tokens: {output: ''}}", r"mappings\.e\.tokens: output: names no series"),
        ("e", "{tokens: {output: a b}}", r"mappings\.e\.tokens: output: 'a b' is wrong at 'b'"),
        ("e", "{tokens: {output: a, cached: b}}", r"tokens\.cached: unknown key; there are: output, prompt"),
        ("e", f"{{{OUTPUT}, running: '+'}}", r"mappings\.e: running: "),
        ("e", f"{{{OUTPUT}, kv_cache_usage: a + b}}", r"kv_cache_usage: 'a \+ b' names 2 series; one"),
        ("e", f"{{{OUTPUT}, latencies: {{queue: a + b}}}}", r"mappings\.e\.latencies: queue: "),
        ("e", f"{{{OUTPUT}, path: metrics}}", r"path: 'metrics' does not begin with /"),
        ("e", f"{{{OUTPUT}, detect: ['']}}", "detect: an empty name begins every page"),
        ("e", f"{{{OUTPUT}, live: maybe}}", r"mappings\.e\.live: 'maybe' is not true or false"),
        ("e", f"{{{OUTPUT}, live: true, live_output: b}}", "live_output: has no use where `live`"),
        ("vllm", f"{{{OUTPUT}}}", r"engines: mappings\.vllm: is an engine that is known here"),
        ("Mine", f"{{{OUTPUT}}}", "mappings: 'Mine' is no name: small letters"),
    ],
)
def test_mapping_that_cannot_be_honoured_is_refused_with_its_key(name, body, says):
    with pytest.raises(config.ConfigError, match=says):
        config.parse(OF.replace("NAME", name).replace("BODY", body), "rackwatt.yaml")


def test_mapping_says_what_a_table_says():
    written = mapping.EngineMapping(
        tokens=mapping.MappedTokens(output="o", prompt="p", prompt_cached="c"),
        path="/stats",
        live=True,
        gateway=True,
        repeated_over=("tp",),
        heartbeat="h1 + h2",
        latencies=mapping.MappedLatencies(first_token='t{kind="a"}'),
    )
    table = mapping.table("mine", written)

    assert table.tokens == {
        TokenKind.OUTPUT: (Count((Term("o"),), live=True),),
        TokenKind.PROMPT: (Count((Term("p"),), live=True),),
        TokenKind.PROMPT_CACHED: (Count((Term("c"),), live=True),),
    }
    assert (table.path, table.gateway, table.repeated_over) == ("/stats", True, ("tp",))
    assert table.heartbeat == (Term("h1"), Term("h2"))
    assert table.latencies == {Latency.FIRST_TOKEN: (HistogramTerm("t", where={"kind": "a"}),)}


def test_example_of_the_page_about_mappings_is_a_configuration_that_stands():
    page = (Path(config.__file__).parents[1] / "docs" / "mapping.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    settings = config.parse(example, "mapping.md").collectors["engines"]

    assert "my-engine" in settings.mappings
