-- SPDX-License-Identifier: Apache-2.0
-- ROWS stands for the number of rows; the driver fills it in.
CREATE TABLE t(id INTEGER PRIMARY KEY, grp INTEGER, name TEXT, amount REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
INSERT INTO t SELECT i, (i * 7919) % 1009, 'name-' || ((i * 104729) % 500009), (i % 1000) / 8.0 FROM n;
CREATE INDEX by_name ON t(name);
SELECT count(*), sum(amount), min(name), max(name) FROM t;
SELECT grp, count(*), group_concat(substr(name, 6, 2), '') FROM t WHERE grp < 3 AND id < 20000 GROUP BY grp;
UPDATE t SET name = upper(name) WHERE grp % 10 = 0;
SELECT count(DISTINCT name) FROM t;
CREATE INDEX by_group ON t(grp, amount);
SELECT grp, max(amount), count(*) FROM t GROUP BY grp ORDER BY 2 DESC, 1 LIMIT 3;
SELECT count(*) FROM t a JOIN t b ON b.name = a.name WHERE a.id % 4 = 0;
DELETE FROM t WHERE grp % 7 = 0;
SELECT count(*), sum(length(name)) FROM t;
