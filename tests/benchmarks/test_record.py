"""Records: a line each, of an identity one; programs beside each other lose none."""

import json
import sys
from subprocess import Popen

from benchmarks import record
from benchmarks.curves import load_curves

WRITER = """
import sys
from pathlib import Path
from benchmarks import record
for number in range(20):
    record.write_record("clip", {"who": sys.argv[1], "number": number}, {}, folder=Path(sys.argv[2]))
"""


def test_a_record_takes_the_place_of_that_of_its_identity(tmp_path):
    for point, value in (("a", 1), ("b", 2), ("a", 3)):
        same = {"point": point, "settings": {"sides": (2, 3)}}
        path = record.write_record("rd/clip/codec", same, {"value": value}, folder=tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(each["point"], each["value"]) for each in lines] == [("a", 3), ("b", 2)]
    assert lines[0]["environment"]["versions"]["torch"]
    found = record.find_record("rd/clip/codec", {"point": "b", "settings": {"sides": (2, 3)}}, folder=tmp_path)
    assert found == lines[1]
    assert record.find_record("rd/clip/codec", {"point": "b", "settings": {}}, folder=tmp_path) is None
    assert record.read_records("rd/clip/other", folder=tmp_path) == []


def test_programs_that_run_beside_each_other_lose_no_record(tmp_path):
    programs = [Popen([sys.executable, "-c", WRITER, who, str(tmp_path)]) for who in ("one", "two")]
    assert [program.wait() for program in programs] == [0, 0]
    found = {(each["who"], each["number"]) for each in record.read_records("clip", folder=tmp_path)}
    assert found == {(who, number) for who in ("one", "two") for number in range(20)}


def test_curves_of_ours_have_short_names_that_tell_them_apart(tmp_path):
    def settings(fit, grid, **others):
        phases = [{"name": "fit", "epochs": fit}, {"name": "grid", "epochs": grid}]
        return {"model": "b", "recipe": "rd", "seed": 0, "grid_epochs": None, "phases": phases, **others}

    kinds = {
        "snerv rd 60": settings(3, 57),
        "snerv rd 60, seed 1": settings(3, 57, seed=1),
        "snerv rd 60, grid_epochs 40": settings(20, 40, grid_epochs=40),
        "snerv rd 330": settings(16, 314),
        "snerv t rd 60": settings(3, 57, model="t"),
    }
    for each in kinds.values():
        for size in (200, 100):
            values = {"status": "done", "version": "snerv revision 1", "rate": {"bytes": size}}
            record.write_record("rd/clip/snerv", {"settings": {**each, "size": f"{size}"}}, values, folder=tmp_path)
    curves = {curve.name: curve for curve in load_curves(tmp_path)}
    assert curves.keys() == kinds.keys()
    assert all([point["rate"]["bytes"] for point in curve.points] == [100, 200] for curve in curves.values())
    assert all(curve.settings == kinds[name] | {"version": "snerv revision 1"} for name, curve in curves.items())


def test_another_version_is_another_curve(tmp_path):
    settings = {"model": "b", "recipe": "paper", "size": "1", "phases": [{"name": "fit", "epochs": 9}]}
    for version in ("snerv revision 1", "snerv revision 2"):
        same = {"settings": settings, "version": version}
        record.write_record("rd/clip/snerv", same, {"status": "done", "rate": {"bytes": 1}}, folder=tmp_path)
    first, second = load_curves(tmp_path)
    assert len(first.points) == len(second.points) == 1
    assert first.name == "snerv paper 9"
    assert second.name.startswith("snerv paper 9, version snerv revision ")


def test_points_of_several_rate_weights_make_a_curve_of_those_that_no_other_beats(tmp_path):
    phases = [{"name": "fit", "epochs": 9}]
    made = [("a", 0.01, 100, 30.0), ("b", 0.01, 200, 32.0), ("b", 0.004, 300, 31.5), ("a", 0.004, 300, 33.0)]
    made += [("b", 0.002, 400, 35.0)]
    for seed, points in ((0, made), (1, made[:4])):
        for size, weight, taken, psnr in points:
            settings = {"model": "b", "recipe": "rd", "seed": seed, "size": size, "rate_weight": weight}
            values = {"status": "done", "version": "1", "rate": {"bytes": taken}, "quality": {"psnr": psnr}}
            same = {"point": size, "settings": {**settings, "phases": phases}}
            record.write_record("rd/clip/snerv", same, values, folder=tmp_path)
    found = {curve.name: curve for curve in load_curves(tmp_path) if "any" in curve.name}
    (name, curve) = found.popitem()
    assert not found, "seed 1 has three such points, too few"
    assert name == "snerv rd 9, rate_weight any"
    assert [(point["point"], point["rate"]["bytes"]) for point in curve.points] == [
        ("a, rate weight 0.01", 100),
        ("b, rate weight 0.01", 200),
        ("a, rate weight 0.004", 300),
        ("b, rate weight 0.002", 400),
    ]
