# SPDX-License-Identifier: Apache-2.0
"""Exports in the viewers they are for."""
import importlib.util
import json
import pathlib
import re
import unittest

import jsonschema

from browser import Browser
from programs import exported, grouped, profile, report, run


class DHATViewer(unittest.TestCase):
    """valgrind's own page, with the file put where a user would."""

    def test_dh_view_shows_the_figures(self):
        profile("second")
        browser = Browser("file:///usr/libexec/valgrind/dh_view.html")
        self.addCleanup(browser.close)
        browser.wait("typeof gInput !== 'undefined' && gInput !== undefined")
        document = browser.call("DOM.getDocument")["root"]["nodeId"]
        node = browser.call("DOM.querySelector", nodeId=document, selector="input[type=file]")["nodeId"]
        browser.call("DOM.setFileInputFiles", files=[str(exported("second", "dhat"))], nodeId=node)
        browser.wait("gRoot !== undefined && document.body.innerText.includes('At t-gmax')")
        text = browser.js("document.body.innerText")
        totals = report("second")["totals"]
        self.assertIn(f"Total:     {grouped(totals['allocatedBytes'])} bytes", text)
        self.assertIn(f"At t-gmax: {grouped(totals['peakBytes'])} bytes", text)
        self.assertIn(f"At t-end:  {grouped(totals['liveBytes'])} bytes", text)
        self.assertIn("service::Cache::insert", text)
        self.assertNotIn("error", browser.js("document.title").lower())
        self.assertEqual(browser.complaints(), [])


class Massif(unittest.TestCase):
    def test_ms_print_shows_the_figures(self):
        profile("second")
        text = run("ms_print", exported("second", "massif"))
        totals = report("second")["totals"]
        self.assertIn(f"({grouped(totals['peakBytes'])}B) (heap allocation functions)", text)
        self.assertIn(f"({grouped(totals['liveBytes'])}B) (heap allocation functions)", text)
        count = int(re.search(r"Number of snapshots: (\d+)", text)[1])
        self.assertEqual(count, len(report("second")["checkpoints"]) + 2)


class Speedscope(unittest.TestCase):
    """By the rules of speedscope's file-format-spec.ts and of its importer."""

    def test_the_file_is_valid_by_the_published_schema(self):
        package = pathlib.Path(importlib.util.find_spec("speedscope_to_codeperf").origin).parent
        source = (package / "schema/speedscope.py").read_text()
        schema = json.loads(re.search(r'json\.loads\(\s*"""(.*?)"""', source, re.S)[1])
        self.assertEqual(schema["definitions"]["FileFormat.SampledProfile"]["required"][0], "endValue")
        jsonschema.validate(json.loads(exported("second", "speedscope").read_text()), schema)

    def test_the_file_is_as_documented(self):
        profile("second")
        file = json.loads(exported("second", "speedscope").read_text())
        self.only(file, {"$schema": str, "shared": dict, "profiles": list}, {
            "version": str, "name": str, "activeProfileIndex": int, "exporter": str})
        self.assertEqual(file["$schema"], "https://www.speedscope.app/file-format-schema.json")
        self.only(file["shared"], {"frames": list}, {})
        for frame in file["shared"]["frames"]:
            self.only(frame, {"name": str}, {"file": str, "line": int, "col": int})
        self.assertTrue(0 <= file["activeProfileIndex"] < len(file["profiles"]))
        for one in file["profiles"]:
            self.only(one, {"type": str, "name": str, "unit": str, "startValue": int, "endValue": int,
                            "samples": list, "weights": list}, {})
            self.assertEqual(one["type"], "sampled")
            self.assertIn(one["unit"], ("none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"))
            self.assertEqual(len(one["samples"]), len(one["weights"]))
            self.assertEqual(one["startValue"] + sum(one["weights"]), one["endValue"])
            for stack in one["samples"]:
                self.assertTrue(all(0 <= place < len(file["shared"]["frames"]) for place in stack))
        active = file["profiles"][file["activeProfileIndex"]]
        self.assertEqual(active["name"], "inuse_space")
        self.assertEqual(active["endValue"], report("second")["totals"]["liveBytes"])

    def only(self, value, required, optional):
        for key, kind in {**required, **optional}.items():
            if key in value or key in required:
                self.assertIsInstance(value[key], kind, key)
        self.assertLessEqual(set(value), {*required, *optional})


if __name__ == "__main__":
    unittest.main()
