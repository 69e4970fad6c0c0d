"""Devices of the vendors whose programs are asked, from what those printed of real ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slurm_het.errors import ProbeError
from slurm_het.telemetry.child import tidy
from slurm_het.telemetry.device import DeviceProcess, DeviceReading
from slurm_het.telemetry.probes.amd_smi import AmdSmi
from slurm_het.telemetry.probes.cnmon import Cnmon
from slurm_het.telemetry.probes.gpustack import Gpustack
from slurm_het.telemetry.probes.hl_smi import HlSmi
from slurm_het.telemetry.probes.npu_smi import NpuSmi
from slurm_het.telemetry.probes.rocm_smi import RocmSmi
from slurm_het.telemetry.probes.xpu_smi import XpuSmi
from slurm_het.telemetry.program import fraction, mib, output_of

CAPTURED = Path(__file__).parents[1] / "data" / "devices"


def printed(name: str) -> str:
    """What a program printed; the first line of the file says where it is from."""
    source, _, text = (CAPTURED / name).read_text().partition("\n")
    assert source.startswith("# ")
    return text


def amd(text: str) -> RocmSmi:
    return RocmSmi("amd", text)


def hygon(text: str) -> RocmSmi:
    return RocmSmi("hygon", text)


def asked(name: str) -> Callable[..., str]:
    """A program that prints what stands in the file for the words, and else fails."""
    told = json.loads((CAPTURED / name).read_text())

    def answer(*words: str) -> str:
        if " ".join(words) not in told:
            raise ProbeError("it ended with 1")
        return json.dumps(told[" ".join(words)])

    return answer


def test_amd() -> None:
    first, *others = amd(printed("rocm-smi-mi100.txt")).read()
    assert first == DeviceReading(
        0, "amd", "0000:83:00.0", "Arcturus GL-XL [Instinct MI100]", 32752, 6, (), 0.0
    )
    assert [one.address for one in others] == ["0000:a3:00.0", "0000:c3:00.0", "0000:e3:00.0"]
    busy = amd(printed("rocm-smi-rx7800xt.txt")).read()[0]
    assert (busy.memory_total_mib, busy.memory_used_mib, busy.utilization) == (16368, 11077, 1.0)


def test_amd_by_its_newer_program() -> None:
    first, second = AmdSmi(asked("amd-smi.json")).read()
    assert first == DeviceReading(
        0, "amd", "0000:83:00.0", "", 32704, 4096, (DeviceProcess(4711, 4000),), 0.47
    )
    assert (second.index, second.address, second.processes) == (1, "0000:c4:00.0", ())


@pytest.mark.parametrize(
    "text",
    ["", "null", "5", "[]", "[5]", "{}", '{"gpu_data": {}}', '[{"gpu": "x"}]', "[" * 100_000,
     '[{"gpu": 0, "usage": [], "mem_usage": {"total_vram": {"value": {}, "unit": []}}}]',
     '[{"gpu": 0, "process_list": [{"process_info": {"pid": -5}}, 7]}]'],
)  # fmt: skip
def test_hostile_json_of_programs_that_are_asked_for_more(text: str) -> None:
    for probe in (AmdSmi(lambda *_: text), XpuSmi(lambda *_: text)):
        try:
            readings = probe.read()
        except ProbeError:
            continue
        assert all(sound(tidy(one)) and not one.healthy for one in readings)


def test_hygon_whose_json_lacks_commas() -> None:
    first, second = hygon(printed("hy-smi-bw.txt")).read()
    assert first == DeviceReading(0, "hygon", "", "BW", 65520, 64169, (), 0.0)
    assert second.memory_used_mib == 64104
    assert hygon(printed("hy-smi-dcu.txt")).read()[0].memory_total_mib == 65520


def test_ascend() -> None:
    second, third = NpuSmi(printed("npu-smi-910a.txt")).read()
    assert second == DeviceReading(
        0, "ascend", "0000:41:00.0", "xxx", 32768, 0,
        (DeviceProcess(37658, 686), DeviceProcess(37650, 686)), 0.0,
    )  # fmt: skip
    assert third.healthy, "npu-smi warns of it; it works"


def test_ascend_of_two_dies_by_their_physical_numbers() -> None:
    dies = NpuSmi(printed("npu-smi-910c.txt")).read()
    assert [(die.index, die.address, die.memory_used_mib) for die in dies] == [
        (0, "0000:9c:00.0", 3133),
        (1, "0000:9e:00.0", 2876),
        (2, "0000:37:00.0", 3116),
        (3, "0000:39:00.0", 10568),
    ]
    without_the_second = printed("npu-smi-910c.txt").replace("| 1     1  ", "| gone      ")
    assert [die.index for die in NpuSmi(without_the_second).read()] == [0, 2, 3]


def test_ascend_of_inference_whose_chips_have_one_address() -> None:
    first, second = NpuSmi(printed("npu-smi-310p3-duo.txt")).read()
    assert (first.index, first.memory_total_mib, first.memory_used_mib) == (0, 44278, 1448)
    assert (second.index, second.memory_total_mib) == (1, 43693)
    assert first.address == second.address == "0000:01:00.0"
    old = NpuSmi(printed("npu-smi-310.txt")).read()
    assert [(chip.index, chip.memory_used_mib) for chip in old] == [(3, 2703), (4, 2867)]


@pytest.mark.parametrize("health", ["Alarm", "Critical", "UNKNOWN", ""])
def test_ascend_that_is_unwell(health: str) -> None:
    text = printed("npu-smi-910a.txt").replace("| Warning ", f"| {health:8}")
    assert [one.healthy for one in NpuSmi(text).read()] == [True, False]


def test_cambricon() -> None:
    first, second = Cnmon(printed("cnmon-mlu370.txt")).read()
    assert first == DeviceReading(
        0, "cambricon", "0000:01:00.0", "MLU370-X4", 23308, 17320,
        (DeviceProcess(101934, 15829),), 0.66,
    )  # fmt: skip
    assert (second.index, second.memory_used_mib, second.processes) == (1, 1024, ())
    bad = printed("cnmon-mlu370.txt").replace(": Good", ": Fault", 1)
    assert [one.unhealthy for one in Cnmon(bad).read()] == ["cnmon says Fault", ""]


def test_gaudi() -> None:
    readings = HlSmi(printed("hl-smi-gaudi2.txt")).read()
    assert readings[2] == DeviceReading(2, "habana", "0000:1a:00.0", "HL-225", 98304, 768, (), 0.01)
    assert [one.processes for one in readings] == [(), (), ()]
    used = "|   1        4711   C      python                                   30720MiB   |"
    text = printed("hl-smi-gaudi2.txt").replace(
        "|   1        N/A   N/A    N/A                                      N/A        |", used
    )
    assert HlSmi(text).read()[1].processes == (DeviceProcess(4711, 30720),)


def test_intel() -> None:
    first, second = XpuSmi(asked("xpu-smi-max1100.json")).read()
    held = (DeviceProcess(768707, 5592), DeviceProcess(5225, 1))
    assert first == DeviceReading(
        0, "intel", "0000:29:00.0", "Intel(R) Data Center GPU Max 1100", 49136, 229, held, 0.0
    )
    assert (second.index, second.address, second.healthy) == (1, "0000:9a:00.0", False)


def test_intels_cards_of_two_tiles() -> None:
    """Some versions of xpu-smi tell a Max 1550's memory of each tile only."""
    told = json.loads((CAPTURED / "xpu-smi-max1100.json").read_text())
    used = [{"metrics_type": "XPUM_STATS_MEMORY_USED", "value": value} for value in (40.5, 60.0)]
    told["stats -d 0 -j"] = {
        "device_level": [{"metrics_type": "XPUM_STATS_POWER", "value": 281.1}],
        "tile_level": [{"tile_id": 0, "data_list": used[:1]}, {"data_list": used[1:]}, {}, 7],
    }
    first = XpuSmi(lambda *words: json.dumps(told.get(" ".join(words)))).read()[0]
    assert (first.memory_used_mib, first.utilization) == (100, None)


def test_gpustack() -> None:
    def device(manufacturer: str, index: int, **told: Any) -> SimpleNamespace:
        known = {"name": "MTT S4000", "uuid": "u", "memory": 49152, "memory_used": 1024.4}
        rest = {"cores_utilization": 50, "appendix": {"bdf": "0000:3B:00.0"}}
        return SimpleNamespace(
            manufacturer=SimpleNamespace(value=manufacturer), index=index,
            **(known | rest | told),
        )  # fmt: skip

    found = [
        device("mthreads", 1, memory=0, appendix=None), device("mthreads", 0), device("amd", 0),
    ]  # fmt: skip
    first, second = Gpustack("moorethreads", lambda: found).read()
    assert first == DeviceReading(
        0, "moorethreads", "0000:3b:00.0", "MTT S4000", 49152, 1024, (), 0.5
    )
    assert (second.index, second.address, second.healthy) == (1, "u", False)
    bad = device("mthreads", 0, memory_status=SimpleNamespace(value="unhealthy"))
    assert "memory fails" in Gpustack("moorethreads", lambda: [bad]).read()[0].unhealthy
    with pytest.raises(ProbeError, match="no device of hygon"):
        Gpustack("hygon", lambda: found).read()


READERS: dict[str, Callable[[str], Any]] = {
    "rocm-smi-mi100.txt": amd, "hy-smi-bw.txt": hygon, "npu-smi-910c.txt": NpuSmi,
    "npu-smi-910a.txt": NpuSmi, "cnmon-mlu370.txt": Cnmon, "hl-smi-gaudi2.txt": HlSmi,
}  # fmt: skip
HOSTILE = [
    "", "\n", "{", "{}", "[]", "null", '{"card0": 5}', '{"card9999999999999999999": {}}',
    "|" * 9999,
    "| 0 a | OK | 1 |\n| 0 0 | b | 1 1/999999999999999999999 |", "Card 0\n" + "  a:\n" * 5000,
    "\x1b[2J\x00\ud83d", "Card 99999\n", "{" * 100_000, '{"card0": {"VRAM Total Memory (B)": NaN}}',
    "| 0 x | y |\n| 0 | 1MiB / 2MiB | % |", "card0" * 1000, "[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_output_is_an_error_or_a_reading(name: str, text: str) -> None:
    try:
        readings = READERS[name](text).read()
    except ProbeError:
        return
    assert all(sound(tidy(one)) for one in readings)


@pytest.mark.parametrize("name", READERS)
def test_output_that_is_cut_or_damaged_is_an_error_or_a_reading(name: str) -> None:
    whole = printed(name)
    dice = random.Random(7)
    for _ in range(200):
        text = whole[: dice.randrange(1, len(whole))]
        for _ in range(dice.randrange(4)):
            place = dice.randrange(len(text))
            text = text[:place] + dice.choice(["", "9" * 30, "|", '"', "\x00"]) + text[place + 1 :]
        try:
            readings = READERS[name](text).read()
        except ProbeError:
            continue
        assert all(sound(tidy(one)) for one in readings)


@pytest.mark.parametrize(
    ("name", "reader"), [("amd-smi.json", AmdSmi), ("xpu-smi-max1100.json", XpuSmi)]
)
def test_damaged_answers_of_programs_that_are_asked_for_more(
    name: str, reader: Callable[..., Any]
) -> None:
    """Each answer is damaged by itself: the first may be right and the next one hostile."""
    told = {words: json.dumps(said) for words, said in json.loads(printed_json(name)).items()}
    dice = random.Random(11)
    for _ in range(200):
        answers = {words: damaged(text, dice) for words, text in told.items()}
        try:
            readings = reader(lambda *words, a=answers: a.get(" ".join(words), "")).read()
        except ProbeError:
            continue
        assert all(sound(tidy(one)) for one in readings)


def printed_json(name: str) -> str:
    return (CAPTURED / name).read_text()


def damaged(text: str, dice: random.Random) -> str:
    """With some values and marks replaced; at times cut."""
    for _ in range(dice.randrange(4)):
        place = dice.randrange(len(text))
        rest = text[place:]
        word = next((w for w in ("0", "1", '"N/A"', "{", "[", ":") if w in rest), "")
        other = dice.choice(["null", "[]", "{}", "-1", "9" * 30, "NaN", '"\\u0000"', "true", ""])
        text = text[:place] + (rest.replace(word, other, 1) if word else rest)
    return text if dice.random() < 0.8 else text[: dice.randrange(len(text) + 1)]


ODD: list[Any] = [None, -1, 10**30, float("nan"), "x" * 5000, b"\xff", [], {}, object(), True]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize(
    "what",
    ["index", "name", "uuid", "memory", "memory_used", "cores_utilization", "appendix",
     "memory_status", "manufacturer"],
)  # fmt: skip
def test_gpustack_that_tells_nonsense(what: str, odd: Any) -> None:
    told: dict[str, Any] = {
        "manufacturer": "mthreads", "index": 0, "name": "MTT S4000", "uuid": "u", "memory": 49152,
        "memory_used": 1, "cores_utilization": 50, "appendix": {"bdf": "0000:3B:00.0"},
    }  # fmt: skip
    try:
        readings = Gpustack(
            "moorethreads", lambda: [SimpleNamespace(**(told | {what: odd}))]
        ).read()
    except ProbeError:
        assert what == "manufacturer"
        return
    assert all(sound(tidy(one)) for one in readings)


def sound(reading: DeviceReading) -> bool:
    """Whether nobody who uses a reading can stumble over it."""
    texts = (reading.address, reading.model, reading.unhealthy)
    return (
        0 <= reading.index < 10_000
        and all(len(text) <= 200 and text.isprintable() for text in texts)
        and all(
            mib is None or 0 <= mib <= 1 << 30
            for mib in (reading.memory_total_mib, reading.memory_used_mib)
        )
        and (reading.utilization is None or 0 <= reading.utilization <= 1)
    )


@pytest.mark.parametrize(
    ("told", "unit", "expected"),
    [
        ("34342961152", "B", 32752), ("23308 MiB", "M", 23308), ("64 GiB", "M", 65536),
        (5, "G", 5120),
        ("1e9", "M", None), ("-1", "M", None), (True, "M", None), ("9" * 20, "B", None),
        ("9" * 15, "M", None), (None, "M", None), ([], "M", None), (float("nan"), "M", None),
        ("N/A", "M", None), (1.5, "M", 2),
    ],
)  # fmt: skip
def test_memory_is_read_with_its_unit(told: object, unit: str, expected: int | None) -> None:
    assert mib(told, unit) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("66 %", 0.66),
        ("0.0", 0.0),
        (250, 1.0),
        ("-3", None),
        ("nan", None),
        ("N/A", None),
        ("", None),
    ],
)  # fmt: skip
def test_percentages(told: object, expected: float | None) -> None:
    assert fraction(told) == expected


def test_a_program_that_prints_for_ever_is_ended(tmp_path: Path, monkeypatch: Any) -> None:
    endless = tmp_path / "rocm-smi"
    endless.write_text("#!/bin/sh\nexec yes\n")
    endless.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ProbeError, match="prints more"):
        RocmSmi("amd").read()


def test_a_program_that_is_missing_or_fails() -> None:
    with pytest.raises(ProbeError, match="no-such-smi is not installed"):
        output_of("no-such-smi")
    with pytest.raises(ProbeError, match="false x ended with 1"):
        output_of("false", "x")
