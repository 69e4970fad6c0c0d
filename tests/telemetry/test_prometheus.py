"""What is read of a Prometheus server: a real one, where Debian's is installed, and odd answers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.prometheus import prometheus
from slurm_het.core.cluster.ailing import Sample, SlurmPlace
from slurm_het.errors import HetError
from slurm_het.telemetry.http import HttpAnswer
from slurm_het.telemetry.prometheus import UNWELL, meanings, reports_of
from slurm_het.telemetry.reader import LookBack, News, Sources, from_prometheus
from slurm_het.vendors import load_vendors
from tests.support.exporters import Exporters, exporters
from tests.support.prometheus import need_prometheus

# As these exporters print it (their own documents), a device or two of each.
PAGES = {
    "dgx1": """
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA A100"} 30720
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA A100"} 51200
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-2",device="nvidia1",modelName="NVIDIA A100"} 0
DCGM_FI_DEV_FB_FREE{gpu="1",UUID="GPU-2",device="nvidia1",modelName="NVIDIA A100"} 81920
DCGM_FI_DEV_ROW_REMAP_FAILURE{gpu="1",UUID="GPU-2",device="nvidia1"} 1
""",
    "asc1": """
npu_chip_info_hbm_used_memory{id="3",model_name="910B3",pcie_bus_info="0000:c1:00.0"} 3400
npu_chip_info_hbm_total_memory{id="3",model_name="910B3",pcie_bus_info="0000:c1:00.0"} 65536
npu_chip_info_health_status{id="3",model_name="910B3",pcie_bus_info="0000:c1:00.0"} 0
""",
    "amd1": """
gpu_used_vram{gpu_id="7",card_model="MI300X"} 1024
gpu_total_vram{gpu_id="7",card_model="MI300X"} 196592
gpu_health{gpu_id="7",card_model="MI300X"} 1
""",
}
NODES = {"l1": ("nvidia", 2, 48)}


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """The page of the node that the path names."""
        body = PAGES[self.path.strip("/")].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[int]:
    """The port of the vendors' exporters."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporters]:
    with exporters(tmp_path_factory.mktemp("exporters"), NODES) as made:
        yield made


@pytest.fixture(scope="module")
def server(told: Exporters, pages: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus server that scrapes all of them each second."""
    need_prometheus()
    with prometheus(tmp_path_factory.mktemp("prometheus"), _scrapes(told, pages)) as url:
        yield url


def _scrapes(told: Exporters, pages: int) -> dict[str, object]:
    ours = [{"targets": [f"127.0.0.1:{p}"], "labels": {"node": n}} for n, p in told.ports.items()]
    theirs = [
        {
            "job_name": name,
            "metrics_path": f"/{name}",
            "static_configs": [
                {"targets": [f"127.0.0.1:{pages}"], "labels": {"node": f"{name}.site.org"}}
            ],
        }
        for name in PAGES
    ]
    jobs = [{"job_name": "het", "static_configs": ours}, *theirs]
    return {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}


def news(server: str, stale: float = 20.0) -> News:
    return asyncio.run(from_prometheus(Sources({}, server, 1.0, 5.0, stale)))


def wait_for(server: str, *nodes: str) -> News:
    deadline = time.monotonic() + 30
    while True:
        heard = news(server)
        if set(nodes) <= set(heard.reports):
            return heard
        assert time.monotonic() < deadline, heard
        time.sleep(0.3)


def test_a_real_server_has_what_exporters_say(server: str, told: Exporters) -> None:
    reports = wait_for(server, "l1", *PAGES).reports
    told.say("l1", {0: 30.0}, lost=(1,))
    assert reports["dgx1"][1].devices == (
        Sample(0, "nvidia", 30720, 81920, lag=30),
        Sample(1, "nvidia", 0, 81920, trouble=UNWELL, lag=30),
    )  # fmt: skip
    assert reports["asc1"][1].devices == (Sample(3, "ascend", 3400, 65536, trouble=UNWELL),)
    assert reports["amd1"][1].devices == (Sample(7, "amd", 1024, 196592),)
    assert all(0 <= report.age < 10 for _, report in reports.values())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        both = {s.place: s for s in news(server).reports["l1"][1].devices}
        if both[0].used_mib == 30720 and both[1].trouble:
            break
        time.sleep(0.3)
    place = SlurmPlace("gpu", 0, 2)
    assert both[0] == Sample(0, "nvidia", 30720, 48 << 10, 0, slurm=place)
    assert both[1].trouble.startswith("it is gone")
    time.sleep(3)
    assert news(server).reports["l1"][1].age < 3, "what is gone makes the others no older"


def test_a_sample_of_an_exporter_that_reads_no_more_grows_old(server: str, told: Exporters) -> None:
    wait_for(server, "l1")
    told.say("l1", age=600)
    deadline = time.monotonic() + 20
    while news(server).reports["l1"][1].age < 600:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    told.say("l1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.0.0.1:1/x y", "nonsense"])
def test_no_server_is_a_failure_and_no_more(url: str) -> None:
    heard = news(url)
    assert (heard.reports, list(heard.failures)) == ({}, [""])


def answer(*series: tuple[dict[str, str], list[object]]) -> HttpAnswer:
    result = [{"metric": labels, "values": values} for labels, values in series]
    return HttpAnswer(json.dumps({"status": "success", "data": {"result": result}}).encode(), 100.0)


USED = {"__name__": "DCGM_FI_DEV_FB_USED", "Hostname": "n1", "gpu": "0"}


@pytest.mark.parametrize(
    ("labels", "value"),
    [
        (USED | {"gpu": "x"}, "1"),
        (USED | {"gpu": ""}, "1"),
        (USED | {"Hostname": ""}, "1"),
        (USED, "NaN"),
        (USED, "+Inf"),
        (USED, "what"),
        (USED | {"__name__": "up"}, "1"),
    ],
)
def test_what_is_no_sample_is_left_out(labels: dict[str, str], value: str) -> None:
    read = meanings(load_vendors().values())
    assert reports_of(answer((labels, [[99.0, value]])), read, 0.0) == {}
    assert reports_of(answer((USED, [])), read, 0.0) == {}


def test_slices_of_cards_are_not_mixed_up_nor_taken_for_cards() -> None:
    """DCGM exporter's label gpu is the card's; het-exporter counts the slices as Slurm does."""
    read = meanings(load_vendors().values())
    part, value = USED | {"GPU_I_PROFILE": "3g.20gb"}, list[object]([[99.0, "70"]])
    slices = [(part | {"GPU_I_ID": number}, value) for number in "12"]
    cards = [(USED | {"gpu": number}, value) for number in "01"]
    elsewhere = (USED | {"Hostname": "n2"}, value)
    told = reports_of(answer(*slices, *cards, elsewhere), read, 0.0)
    assert {node: report.devices for node, report in told.items()} == {
        "n2": (Sample(0, "nvidia", 70, lag=30),)
    }
    ours = {"__name__": "slurm_het_device_memory_used_bytes", "node": "n1", "vendor": "nvidia"}
    beside = (ours | {"device": "1"}, list[object]([[99.0, str(9 << 20)]]))
    (report,) = reports_of(answer(*slices, *cards, beside), read, 0.0).values()
    assert report.devices == (Sample(1, "nvidia", 9),)


def test_cards_whose_samples_have_times_of_their_own_are_all_heard() -> None:
    """npu-exporter tells when it has read each card, and Prometheus keeps that time."""
    read = meanings(load_vendors().values())
    cards: list[tuple[dict[str, str], list[object]]] = [
        ({"__name__": f"npu_chip_info_{name}", "id": str(card), "instance": "as1:8082"},
         [[90.0 + 0.03 * card + later, value]])
        for card in range(8)
        for name, later, value in (("hbm_used_memory", 0.0, "7"), ("health_status", 4.0, "0"))
    ]  # fmt: skip
    name = {"__name__": "npu_chip_info_hbm_used_memory", "id": "8", "instance": "as1:8082"}
    gone: tuple[dict[str, str], list[object]] = (name, [[70.0, "7"]])
    (report,) = reports_of(answer(*cards, gone), read, 0.0).values()
    told = [(one.place, one.used_mib, one.trouble) for one in report.devices]
    assert told == [(card, 7, UNWELL) for card in range(8)]
    assert report.age == 10.0


def test_a_vendors_exporter_is_not_mixed_up_with_het_exporter() -> None:
    """DCGM exporter counts by PCI address, het-exporter by the numbers of the files."""
    read = meanings(load_vendors().values())
    labels = {"node": "n1", "vendor": "nvidia", "device": "0"}
    name = {"__name__": "slurm_het_device_memory_used_bytes"}
    told = answer((USED, [[99.0, "70"]]), (labels | name, [[99.0, str(9 << 20)]]))
    (report,) = reports_of(told, read, 0.0).values()
    assert report.devices == (Sample(0, "nvidia", 9),)


def test_how_often_a_node_is_scraped_is_learned_and_asked_for() -> None:
    read = meanings(load_vendors().values())
    first, second, third = (USED | {"Hostname": n, "instance": n} for n in ("n1", "n2", "n3"))
    told = answer(
        (first, [[0.0, "1"], [60.0, "1"], [180.0, "1"]]),  # one scrape was missed
        (second, [[15.0, "1"], [30.0, "1"]]),
        (third, [[30.0, "1"]]),
    )
    reports = reports_of(told, read, 0.0)
    every = {node: report.every for node, report in reports.items()}
    assert every == {"n1": 60.0, "n2": 15.0, "n3": 0.0}
    window, news = LookBack(45.0), News({node: (0.0, r) for node, r in reports.items()})
    assert window.next(0.0) == 300.0
    window.heard(news)
    assert window.next(5.0) == 150.0
    window.heard(News({"n2": (0.0, reports["n2"])}))
    assert window.next(10.0) == 45.0
    assert window.next(700.0) == 300.0
    window.heard(News(failures={"": "no answer within 3 s"}))
    assert window.next(705.0) == 45.0
    assert LookBack(1000.0).next(0.0) == 1000.0


def test_what_the_last_scrape_has_not_any_more_is_over() -> None:
    read = meanings(load_vendors().values())
    other = USED | {"gpu": "1"}
    (report,) = reports_of(answer((USED, [[90.0, "1"]]), (other, [[99.0, "2"]])), read, 0).values()
    assert [(one.place, one.used_mib) for one in report.devices] == [(1, 2)]


def test_amounts_that_cannot_be_are_not_known() -> None:
    read = meanings(load_vendors().values())
    (report,) = reports_of(answer((USED, [[90.0, "-5"]])), read, 0.0).values()
    assert (report.age, report.devices) == (10.0, (Sample(0, "nvidia", lag=30),))


@pytest.mark.parametrize("body", [b"", b"null", b'{"data": 7}', b"[" * 100_000, b"\xff\xfe"])
def test_an_answer_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(HetError, match="no answer of Prometheus"):
        reports_of(HttpAnswer(body), {}, 0.0)


def test_each_vendor_with_an_exporter_is_read() -> None:
    vendors = {m.vendor for m in meanings(load_vendors().values()).values()}
    assert vendors >= {"", "nvidia", "amd", "ascend", "cambricon", "hygon"}
