"""Pods of a node, over HTTP, as an API server tells them."""

import json

import pytest
from fakes.page_server import Answer, PageServer

from agent.discovery import kubernetes
from agent.discovery.kubernetes import KubernetesSd, Pod, pods_of
from agent.measure.reading import Reason, SourceError
from agent.wire.http import HttpClient
from agent.wire.http_config import Authorization

PATH = "/api/v1/pods?fieldSelector=spec.nodeName%3Dtray-07&resourceVersion=0&limit=1024"


def pod(name="llama-0", phase="Running", ip="10.1.2.3", ports=(8000,), meta=None, **notes):
    notes = {f"prometheus.io/{key}": value for key, value in notes.items()}
    return {
        "metadata": {
            "uid": f"uid-{name}",
            "namespace": "serving",
            "name": name,
            "annotations": notes,
            **(meta or {}),
        },
        "spec": {"containers": [{"ports": [{"containerPort": port} for port in ports]}]},
        "status": {"phase": phase, "podIP": ip},
    }


def urls(*items):
    return [pod.url for pod in pods_of({"items": list(items)})]


async def ask(server, **settings):
    client = HttpClient()
    try:
        return await kubernetes.pods(client, KubernetesSd(api_server=server.url, node="tray-07", **settings))
    finally:
        await client.close()


async def test_the_pods_of_this_node_are_asked_for_with_a_token(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    body = json.dumps({"items": [pod(scrape="true", port="8080", path="/v1/metrics")]}).encode()
    async with PageServer({PATH: Answer(body)}) as server:
        found = await ask(server, authorization=Authorization(credentials_file=str(tmp_path / "token")))
        (request,) = server.requests

    assert found == (Pod("uid-llama-0", "serving", "llama-0", "http://10.1.2.3:8080/v1/metrics"),)
    assert request.headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("item", "url"),
    [
        (pod(scrape="true"), "http://10.1.2.3:8000"),
        (pod(scrape="true", scheme="https"), "https://10.1.2.3:8000"),
        (pod(scrape="true", ports=()), "http://10.1.2.3"),
        (pod(scrape="true", ip="fd00::7"), "http://[fd00::7]:8000"),
        (pod(scrape="true", ip=""), ""),
        (pod(scrape="true", port="no port"), ""),
        (pod(scrape="false"), ""),
        (pod(), ""),
        (pod(scrape="true", phase="Pending"), ""),
        (pod(scrape="true", meta={"deletionTimestamp": "2026-11-25T05:00:00Z", "annotations": None}), ""),
    ],
)
def test_the_usual_annotations(item, url):
    assert urls(item) == [url]


def test_a_static_pod_is_known_by_both_its_uids():
    static = pod(meta={"annotations": {"kubernetes.io/config.hash": "0a0a"}})

    assert [each.uid for each in pods_of({"items": [static]})] == ["uid-llama-0", "0a0a"]


async def test_without_the_right_to_list_pods_the_remedy_is_told():
    async with PageServer({PATH: Answer(status="403 Forbidden")}) as server:
        with pytest.raises(SourceError, match="may its service account list pods") as refused:
            await ask(server)

    assert refused.value.reason is Reason.DENIED


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"items": [{}]}', b'{"items": 7}'])
async def test_what_is_no_list_of_pods_is_said(body):
    async with PageServer({PATH: Answer(body)}) as server:
        with pytest.raises(SourceError, match="sent no list of pods"):
            await ask(server)


async def test_outside_of_a_cluster_it_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("NODE_NAME", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SourceError, match=r"set kubernetes\.node, or NODE_NAME"):
        await kubernetes.pods(HttpClient(), KubernetesSd())
    with pytest.raises(SourceError, match=r"set kubernetes\.api_server"):
        await kubernetes.pods(HttpClient(), KubernetesSd(node="n"))
