# SPDX-License-Identifier: Apache-2.0
"""The page in Chromium, used as a user would, its figures compared with those of the report."""
import os
import pathlib
import unittest

import programs
from browser import Browser
from programs import exported, grouped, profile, report, run, stacks

ROW = 20
# A limit that a loaded machine keeps to as well: a user feels a tenth of a second.
PATIENCE_MS = 1000


def total(name, key, function=None):
    """Sum over all stacks, or over those with the function."""
    return sum(stack[key] for names, stack in stacks(name) if function is None or function in names)


class PageCase(unittest.TestCase):
    name = ""
    width = 1400
    dark = False

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(cls.url(), width=cls.width, dark=cls.dark)
        cls.addClassCleanup(cls.browser.close)
        cls.browser.wait("document.documentElement.dataset.ready === 'true'")

    @classmethod
    def url(cls):
        return "file://" + str(exported(cls.name, "html"))

    def tearDown(self):
        self.assertEqual(self.browser.complaints(), [])
        self.assertEqual([url for url in self.browser.requests() if not url.startswith("file://")], [])
        shots = os.environ.get("MEMTRACK_SCREENSHOTS")
        if shots:
            self.browser.screenshot(pathlib.Path(shots) / f"{self.id().split('.', 1)[1]}.png")

    def reset(self):
        self.browser.js("document.getElementById('search').value = ''; "
                        "document.getElementById('search').dispatchEvent(new Event('input'))")
        self.browser.choose("#type", "inuse_space")
        self.browser.click("#top-down")
        if not self.browser.js("document.getElementById('reset').disabled"):
            self.browser.click("#reset")


class ServicePage(PageCase):
    name = "second"

    def setUp(self):
        profile("second")
        self.reset()

    def test_the_figures_on_top_are_the_report_s(self):
        totals = report("second")["totals"]
        for id, key in (("inuse_space", "liveBytes"), ("peak_space", "peakBytes"),
                        ("alloc_space", "allocatedBytes"), ("alloc_objects", "allocations")):
            self.assertEqual(self.browser.js(f"document.querySelector('[data-type={id}]').dataset.value"),
                             str(totals[key]))

    def test_the_sites_are_the_report_s(self):
        rows = self.browser.js(
            "[...document.querySelectorAll('#table tbody tr')].map(row => [row.querySelector('button').innerText, "
            "...[...row.querySelectorAll('td[data-value]')].map(cell => Number(cell.dataset.value))])")
        live = {}
        for site in report("second")["sites"]:
            live.setdefault(site["function"], []).append(site["liveBytes"])
        self.assertEqual(rows[0][0], report("second")["sites"][0]["function"])
        for row in rows:
            self.assertIn(row[1], live[row[0]])
        self.assertEqual(len(rows), min(50, len(report("second")["sites"])))

    def test_a_click_on_a_column_sorts(self):
        script = ("[...document.querySelectorAll('#table tbody tr')]"
                  ".map(row => Number(row.children[6].dataset.value))")
        self.browser.click("[data-column=alloc_objects]")
        falling = self.browser.js(script)
        self.assertEqual(falling, sorted(falling, reverse=True))
        self.assertEqual(falling[0], max(site["allocations"] for site in report("second")["sites"]))
        self.browser.click("[data-column=alloc_objects]")
        rising = self.browser.js(script)
        self.assertEqual(rising, sorted(rising))
        self.browser.click("[data-column=inuse_space]")

    def test_tabs_and_filter(self):
        classes = report("second")["sizeClasses"]
        self.browser.click("#tab-classes")
        rows = self.browser.js("document.querySelectorAll('#table tbody tr').length")
        self.assertEqual(rows, len(classes))
        total = sum(one["liveBytes"] for one in classes)
        self.assertEqual(self.browser.js("document.querySelector('#table tfoot td[data-value]').dataset.value"), str(total))
        self.browser.key("ArrowRight")
        self.assertEqual(self.browser.js("document.activeElement.id"), "tab-modules")
        self.assertIn("service-1.1", self.browser.text("#table"))
        self.browser.click("#tab-sites")
        self.browser.click("#filter")
        self.browser.type("Cache::insert")
        self.assertEqual(self.browser.js("document.querySelectorAll('#table tbody tr').length"), 1)
        self.browser.js("document.getElementById('filter').value = ''; "
                        "document.getElementById('filter').dispatchEvent(new Event('input'))")

    def test_hover_click_and_way_back(self):
        row = self.row_of("main")
        self.browser.move("#flame-canvas", x=30, y=row * ROW + ROW / 2)
        tip = self.browser.text("#tip")
        self.assertTrue(tip.startswith("main\n"), tip)
        self.assertIn(grouped(total("second", "liveBytes", "main")) + " B", tip)
        self.browser.click("#flame-canvas", x=30, y=row * ROW + ROW / 2)
        self.assertIn("main", self.browser.text("#path"))
        self.assertTrue(self.browser.text("#flame-line").startswith("main · "))
        self.assertIn(grouped(total("second", "liveBytes", "main")) + " B", self.browser.text("#flame-line"))
        self.browser.click("#reset")
        self.assertEqual(self.browser.text("#path"), "")
        self.assertIn(grouped(total("second", "liveBytes")) + " B", self.browser.text("#flame-line"))

    def row_of(self, function):
        names = next(names for names, stack in stacks("second")
                     if any("Cache::insert" in name for name in names) and stack["liveBytes"] > 0)
        return len(names) - names.index(function)

    def test_every_figure_can_be_chosen(self):
        keys = {"alloc_objects": "allocations", "alloc_space": "allocatedBytes", "inuse_objects": "liveBlocks",
                "inuse_space": "liveBytes", "peak_objects": "peakBlocks", "peak_space": "peakBytes",
                "temporary_objects": "temporaryAllocations"}
        for id, key in keys.items():
            self.browser.choose("#type", id)
            self.assertIn(grouped(total("second", key)), self.browser.text("#flame-line"), id)

    def test_search_counts_a_stack_once(self):
        self.browser.click("#search")
        self.browser.type("service::")
        expected = sum(stack["liveBytes"] for names, stack in stacks("second")
                       if any("service::" in name for name in names))
        self.assertIn(grouped(expected) + " B", self.browser.text("#found"))
        self.browser.key("Escape")
        self.assertEqual(self.browser.text("#found"), "")

    def test_inverted_begins_with_the_site(self):
        self.browser.click("#inverted")
        self.browser.move("#flame-canvas", x=30, y=ROW * 1.5)
        top = report("second")["sites"][0]
        tip = self.browser.text("#tip")
        self.assertIn(top["function"], tip)
        same = sum(site["liveBytes"] for site in report("second")["sites"] if site["function"] == top["function"])
        self.assertIn(grouped(same) + " B", tip)

    def test_the_keyboard_is_enough(self):
        self.browser.js("document.getElementById('flame-canvas').focus()")
        for _ in range(self.row_of("main")):
            self.browser.key("ArrowDown")
        self.assertTrue(self.browser.text("#flame-line").startswith("main · "), self.browser.text("#flame-line"))
        self.assertFalse(self.browser.js("document.getElementById('flame-focus').hidden"))
        self.browser.key("Enter")
        self.assertIn("main", self.browser.text("#path"))
        self.browser.key("Home")
        self.assertEqual(self.browser.text("#path"), "")
        self.browser.key("/", text="/")
        self.assertEqual(self.browser.js("document.activeElement.id"), "search")
        self.assertEqual(self.browser.js("document.activeElement.value"), "")
        reached = set()
        self.browser.js("document.activeElement.blur()")
        for _ in range(60):
            self.browser.key("Tab")
            reached.add(self.browser.js("document.activeElement.id"))
        for id in ("theme", "timeline-canvas", "type", "inverted", "wrappers", "search", "flame-canvas", "tab-sites",
                   "filter"):
            self.assertIn(id, reached)

    def test_the_timeline_tells_each_checkpoint(self):
        points = report("second")["checkpoints"]
        self.assertGreater(len(points), 1)
        self.browser.js("document.getElementById('timeline-canvas').focus()")
        self.browser.key("Home")
        self.assertIn(grouped(points[0]["totals"]["liveBytes"]) + " B", self.browser.text("#timeline-line"))
        self.browser.key("ArrowRight")
        self.assertIn(grouped(points[1]["figures"]["rssBytes"]) + " B", self.browser.text("#timeline-line"))

    def test_text_of_the_program_is_text(self):
        self.browser.js("document.getElementById('timeline-canvas').focus()")
        self.browser.key("Home")
        self.assertIn("</script><img src=x", self.browser.text("#timeline-line"))
        self.assertTrue(self.browser.js("window.hacked === undefined"))

    def test_the_theme_follows_the_user(self):
        self.assertEqual(self.browser.js("document.documentElement.dataset.theme"), "light")
        seen = []
        for _ in range(3):
            self.browser.click("#theme")
            seen.append(self.browser.js("document.documentElement.dataset.theme"))
        self.assertEqual(seen, ["light", "dark", "light"])


class TypesPage(PageCase):
    name = "typed"

    def test_object_types_are_the_report_s(self):
        self.browser.click("#tab-types")
        types = report("typed")["types"]
        rows = self.browser.js(
            "[...document.querySelectorAll('#table tbody tr')].map(row => [row.children[6].firstChild.textContent, "
            "Number(row.children[4].dataset.value)])")
        self.assertEqual(rows, [[f"{row['name']}  {row['runtime']}" if row["runtime"] else row["name"],
                                 row["bytes"] + row["ownedBytes"]] for row in types[:len(rows)]])
        self.browser.click("#filter")
        self.browser.type("Entry  Python")
        self.assertEqual(len(self.browser.js(
            "[...document.querySelectorAll('#table tbody tr')].map(row => row.innerText)")), 1)


class DarkNarrowPage(PageCase):
    name = "second"
    width = 420
    dark = True

    def test_it_fits(self):
        self.assertEqual(self.browser.js("document.documentElement.dataset.theme"), "dark")
        self.assertLessEqual(self.browser.js("document.documentElement.scrollWidth"),
                             self.browser.js("window.innerWidth"))


class DifferencePage(PageCase):
    @classmethod
    def url(cls):
        path = programs.SCRATCH / "difference.html"
        run(programs.ROOT / "build/bin/memtrack", "diff", profile("first"), profile("second"),
            "--format", "html", "--output", path)
        return "file://" + str(path)

    def test_what_grew_is_first_and_red(self):
        old, new = total("first", "liveBytes"), total("second", "liveBytes")
        self.assertIn(f"{grouped(old)} B", self.browser.text("#flame-line"))
        self.assertIn(f"{grouped(new)} B", self.browser.text("#flame-line"))
        row = self.browser.js("document.querySelector('#table tbody tr').innerText")
        self.assertIn("Cache::insert", row)
        values = self.browser.js(
            "[...document.querySelectorAll('#table tbody tr:first-child td[data-value]')].map(c => c.dataset.value)")
        live = [sum(site["liveBytes"] for site in report(name)["sites"] if "Cache::insert" in site["function"])
                for name in ("first", "second")]
        self.assertEqual([int(value) for value in values[:3]], [*live, live[1] - live[0]])
        self.assertGreater(live[1] - live[0], 3_000_000)
        red, green, blue = self.colour_at(430, ROW / 2)
        self.assertGreater(red, blue + 40)

    def colour_at(self, x, y):
        return self.browser.js(
            "[...document.getElementById('flame-canvas').getContext('2d')"
            f".getImageData({x}, {y}, 1, 1).data].slice(0, 3)")


class LargePage(PageCase):
    name = "many"

    @classmethod
    def setUpClass(cls):
        profile("many")
        super().setUpClass()

    def timed(self, action):
        """Milliseconds of script and drawing."""
        return self.browser.js(f"(() => {{ const start = performance.now(); {action}; return performance.now() - start; }})()")

    def test_20000_stacks_do_not_lag(self):
        self.assertGreaterEqual(len(list(stacks("many"))), 20000)
        self.assertIn(grouped(total("many", "liveBytes")) + " B", self.browser.text("#flame-line"))
        times = {
            "other figure": self.timed("const t = document.getElementById('type'); t.value = 'alloc_objects'; "
                                       "t.dispatchEvent(new Event('change'))"),
            "inverted, the first time": self.timed("document.getElementById('inverted').click()"),
            "top down again": self.timed("document.getElementById('top-down').click()"),
            "search": self.timed("const s = document.getElementById('search'); s.value = 'parse_array'; "
                                 "s.dispatchEvent(new Event('input'))"),
        }
        self.browser.js("document.getElementById('flame-canvas').focus()")
        for _ in range(5):
            self.browser.key("ArrowDown")
        times["zoom"] = self.timed("document.getElementById('flame-canvas').dispatchEvent("
                                   "new KeyboardEvent('keydown', {key: 'Enter'}))")
        times["load"] = self.browser.js("performance.timing.domComplete - performance.timing.responseEnd")
        print("\n20,000 stacks:", ", ".join(f"{name} {ms:.0f} ms" for name, ms in times.items()))
        frames = int(self.browser.js("document.getElementById('flame-canvas').dataset.frames"))
        self.assertGreater(frames, 1000)
        for name, milliseconds in times.items():
            self.assertLess(milliseconds, PATIENCE_MS, name)


class Sealed(unittest.TestCase):
    """That no request was seen says something only if one would have been."""

    def test_a_request_would_be_refused_and_seen(self):
        browser = Browser("file://" + str(exported("second", "html")))
        self.addCleanup(browser.close)
        browser.wait("document.documentElement.dataset.ready === 'true'")
        said = browser.js("fetch('http://127.0.0.1:9/x').then(() => 'sent', () => 'refused')")
        self.assertEqual(said, "refused")
        self.assertTrue(any("Content Security Policy" in str(one) for one in browser.complaints()))


if __name__ == "__main__":
    unittest.main()
