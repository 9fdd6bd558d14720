# SPDX-License-Identifier: Apache-2.0
"""The queries of docs/exports.md, as they stand there, in DuckDB and ClickHouse."""
import re
import unittest

import chdb
import duckdb

from programs import ROOT, SCRATCH, exported, profile, report


def documented(source):
    """The query of the document that reads with `source`, with the files of this test."""
    text = (ROOT / "docs/exports.md").read_text()
    found = [query for query in re.findall(r"```sql\n(.*?)```", text, re.S) if source in query]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} queries with {source} in docs/exports.md")
    return found[0].replace("profiles/*.jsonl", str(SCRATCH / "*.jsonl"))


class Databases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for name, version in (("first", "1.0"), ("second", "1.1")):
            profile(name)
            exported(name, "jsonl", "--label", f"version={version}", "--label", "role=test")
        live = [
            sum(site["liveBytes"] for site in report(name)["sites"] if "Cache::insert" in site["function"])
            for name in ("first", "second")]
        cls.growth = live[1] - live[0]

    def check(self, rows):
        function, growth = rows[0][0], int(rows[0][1])
        self.assertEqual(function, "service::Cache::insert")
        self.assertEqual(growth, self.growth)
        self.assertGreater(growth, 3_000_000)

    def test_duckdb_finds_the_site_that_grew(self):
        self.check(duckdb.sql(documented("read_json_auto")).fetchall())

    def test_clickhouse_finds_the_site_that_grew(self):
        answer = str(chdb.query(documented("JSONEachRow"), "TabSeparated"))
        self.check([line.split("\t") for line in answer.splitlines()])


if __name__ == "__main__":
    unittest.main()
