# SPDX-License-Identifier: Apache-2.0
"""The table: real commands that must behave the same with the library in them.

Each row: name, what runs in sh in an empty directory, the programs it needs (skipped with a line where one is
absent), and whether it is light enough for `make test`. Output must not depend on time, PIDs or addresses.
"""

C_PROGRAM = r"""
cat > a.c <<'EOF'
#include <stdio.h>
#include <stdlib.h>
int main(int n, char **a) { char *p = malloc(100); snprintf(p, 100, "hello %d %s", n, a[n - 1][0] ? "x" : ""); puts(p); free(p); return 7; }
EOF
"""
CXX_PROGRAM = r"""
cat > a.cc <<'EOF'
#include <map>
#include <string>
#include <iostream>
#include <stdexcept>
int main() { std::map<std::string, int> m; for (int i = 0; i < 1000; i++) m[std::to_string(i * 7919 % 1000)] += i;
  try { m.at("none"); } catch (const std::out_of_range &e) { std::cout << m.size() << " caught\n"; } }
EOF
"""
PG = r"""
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1); me=$(id -un)
if [ "$(id -u)" = 0 ]; then chmod 777 .; as="setpriv --reuid=65534 --regid=65534 --clear-groups"; else as=; fi
$as $bin/initdb -D d -A trust -U u --no-sync >/dev/null 2>&1 || { echo initdb; exit 1; }
$as $bin/pg_ctl -D d -o "-k $PWD -h '' -F" -l log -w start >/dev/null || { cat log; exit 1; }
$as psql -h "$PWD" -U u postgres -Atc "create table t as select i, md5(i::text) m from generate_series(1, 20000) i; \
  create index on t(m); select count(*), min(m), max(m) from t; select m from t order by m limit 3"
$as $bin/pg_ctl -D d -m fast -w stop >/dev/null; echo stopped $?
"""

# name, script, programs, light
COMMANDS = [
    ("true", "true", "true", True),
    ("false", "false", "false", True),
    ("ls", "mkdir a b; touch a/x 'b/y z'; ls -lR --time-style=+ | sed 's/ [0-9]* root/ root/g'", "ls", True),
    ("ls, missing file", "LC_ALL=C ls nothing", "ls", True),
    ("sort", "seq 20000 | rev | sort -n | sha256sum", "sort", True),
    ("sort, parallel", "seq 200000 | rev | sort --parallel=4 -S 1M | sha256sum", "sort", True),
    ("coreutils pipe", "seq 5000 | tr 0-4 a-e | cut -c2- | uniq -c | head -50 | md5sum | wc -c", "cut", True),
    ("cp, mv, find, xargs", "mkdir d; for i in $(seq 200); do echo $i > d/$i; done; cp -r d e; mv e f;"
     " find f -type f | sort | xargs cat | md5sum", "find xargs", True),
    ("SIGPIPE", "yes | head -3; seq 100000 | head -1", "yes", True),
    ("env -i", "env -i /bin/sh -c 'echo \"$HOME\" end; exit 3'", "env", True),
    ("timeout", "timeout 0.2 sleep 5; echo $?", "timeout", True),
    ("killed by a signal", "sh -c 'kill -SEGV $$'; echo $?; sh -c 'kill -9 $$'; echo $?", "sh", True),
    ("bash", "bash -c 'a=(); for i in {1..3000}; do a+=($i); done; echo ${#a[@]} ${a[-1]}; f() { local x=$(echo in); "
     "echo $x; }; f; (exit 5); echo $?; diff <(seq 3) <(seq 4); coproc cat; echo hi >&${COPROC[1]}; read -u ${COPROC[0]} l; "
     "echo $l'", "bash", True),
    ("bash, jobs", "bash -c 'for i in 1 2 3 4; do (sleep 0.0$i; exit $i) & done; for p in $(jobs -p); do wait $p; "
     "echo $?; done; trap \"echo bye\" EXIT'", "bash", True),
    ("dash", "dash -c 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; echo $i; cat <<E\nhere $i\nE'", "dash", True),
    ("sed, grep, awk", "seq 3000 | sed -n 's/1/one/gp' | grep -E 'one.*5' | awk '{ a[length($0)]++ } END { for (i = 0; i < 20;"
     " i++) if (a[i]) print i, a[i] }'", "sed grep awk", True),
    ("grep, no match", "echo a | grep -q b", "grep", True),
    ("tar, gzip", "mkdir d; seq 20000 > d/a; seq 99 > d/b; tar --sort=name --mtime=@0 -cf t.tar d; gzip -n t.tar; "
     "sha256sum t.tar.gz; tar tzf t.tar.gz; tar xzf t.tar.gz -O | md5sum", "tar gzip", True),
    ("xz, threads", "seq 300000 > a; xz -T2 -k a; xz -dc a.xz | cmp - a && sha256sum a.xz", "xz", False),
    ("bzip2", "seq 30000 > a; bzip2 -k a; bzip2 -dc a.bz2 | cmp - a && sha256sum a.bz2", "bzip2", True),
    ("bc", "echo 'scale=300; 4*a(1)' | bc -l", "bc", True),
    ("git", "export GIT_AUTHOR_DATE='1 +0000' GIT_COMMITTER_DATE='1 +0000' GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a "
     "GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a HOME=$PWD; git init -q r; cd r; for i in 1 2 3 4 5; do seq $((i*100)) > f$i; "
     "git add .; git commit -qm $i; done; git log --stat --format=%H | cat; git repack -adq; git fsck; git diff HEAD~3 | md5sum; "
     "git status --short", "git", True),
    ("make -j2", "printf 'all: a b c d\\na b c d:\\n\\tseq 1000 > $@; sleep 0.02\\n' > Makefile; make -s -j2 && cat a b c d | "
     "md5sum; make -q", "make", True),
    ("make, error", "printf 'all:\\n\\tfalse\\n' > Makefile; make -s", "make", True),
    ("gcc, ld", C_PROGRAM + "gcc -O2 -o a a.c && ./a b; echo $?; gcc -O1 -S -o - a.c | md5sum", "gcc", True),
    ("gcc, error", "echo 'int main( {' > a.c; LC_ALL=C gcc a.c", "gcc", True),
    ("g++", CXX_PROGRAM + "g++ -O1 -o a a.cc && ./a; echo $?", "g++", False),
    ("ld, gold, as", C_PROGRAM + "gcc -c a.c && gcc -fuse-ld=gold -o a a.o && ./a; gcc -fuse-ld=bfd -Wl,--build-id=none -o b a.o "
     "&& ./b; nm a.o | sort; objdump -d a.o | md5sum; strip b && ./b", "gcc gold", False),
    ("clang", C_PROGRAM + "clang -O1 -o a a.c && ./a; echo $?", "clang", False),
    ("static program", C_PROGRAM + "gcc -static -o a a.c && ./a; echo $?", "gcc", True),
    ("static-PIE program", C_PROGRAM + "gcc -static-pie -o a a.c && ./a; echo $?", "gcc", True),
    ("set-user-ID program", "cp $(command -v id) i; chown 65534 i 2>/dev/null; chmod 4755 i; ./i -u >/dev/null; echo $?", "id", True),
    ("ldd", "ldd /bin/ls | grep -v memtrack | sed 's/(0x.*//' | sort", "ldd", True),
    ("python3", "python3 -c 'import json, re, sqlite3, threading, subprocess, ctypes\n"
     "d = {str(i): [i] * (i % 9) for i in range(20000)}\nprint(len(json.dumps(d)))\n"
     "t = [threading.Thread(target=lambda: sum(range(100000))) for _ in range(4)]\n[x.start() for x in t]; [x.join() for x in t]\n"
     "print(subprocess.run([\"sh\", \"-c\", \"exit 3\"]).returncode)\nc = sqlite3.connect(\":memory:\"); print(c.execute(\"select "
     "1+1\").fetchall())\nraise SystemExit(9)'", "python3", True),
    ("python3, exception", "python3 -c 'x = [1, 2]\nx[5]' 2>&1 | tail -1; python3 -c 'import os; os.abort()'; echo $?",
     "python3", True),
    ("python3, pools", "python3 -c 'import multiprocessing as m\nfrom concurrent.futures import ProcessPoolExecutor as P\n"
     "if __name__ == \"__main__\":\n  with m.Pool(3) as p: print(sum(p.map(abs, range(-500, 0))))\n  with P(2) as p: print(list("
     "p.map(abs, [-1, -2])))'", "python3", True),
    ("python3, asyncio", "python3 -c 'import asyncio\nasync def f(i): await asyncio.sleep(0.001); return i\n"
     "async def g(): return sum(await asyncio.gather(*[f(i) for i in range(300)]))\nprint(asyncio.run(g()))'", "python3", True),
    ("python3 -I -S", "python3 -I -S -c 'import sys; print(sys.flags.isolated, len(sys.argv))'", "python3", True),
    ("perl", "perl -e 'my %h; $h{$_ % 977} .= $_ for 1..50000; print scalar(keys %h), \" \", length(join \"\", map { $h{$_} } sort "
     "keys %h), \"\\n\"; my $p = fork; if (!$p) { exit 4 } waitpid $p, 0; print $? >> 8, \"\\n\"; die \"no\\n\"'", "perl", True),
    ("perl, regex", "seq 20000 | perl -ne 'print if /(\\d)\\1$/' | md5sum", "perl", True),
    ("node", "node -e 'const a = []; for (let i = 0; i < 200000; i++) a.push({i, s: String(i)}); "
     "console.log(a.length, JSON.stringify(a).length); const {Worker} = require(\"worker_threads\"); "
     "new Worker(\"require(\\\"worker_threads\\\").parentPort.postMessage(6*7)\", {eval: true}).on(\"message\", m => "
     "{ console.log(m); process.exitCode = 5; })'", "node", False),
    ("node, WebAssembly and zlib", "node -e 'const z = require(\"zlib\"); console.log(z.gunzipSync(z.gzipSync(Buffer.alloc(1e6, "
     "\"ab\"))).length); throw new Error(\"x\")' 2>&1 | grep -c Error", "node", False),
    ("java", "cat > A.java <<'E'\nimport java.util.*; import java.util.stream.*;\npublic class A { public static void main(String[] a) "
     "throws Exception { Map<Integer, String> m = new HashMap<>(); for (int i = 0; i < 200000; i++) m.merge(i % 977, \"x\", "
     "(p, q) -> p.length() < 50 ? p + q : p); System.out.println(m.size() + \" \" + IntStream.range(0, 100000).parallel()"
     ".mapToLong(i -> i).sum()); System.exit(6); } }\nE\njava A.java; echo $?", "javac", False),
    ("java, version", "java -version 2>&1 | wc -l; java NoSuchClass 2>&1 | head -1", "java", False),
    ("php", "php -r '$a = []; for ($i = 0; $i < 100000; $i++) $a[$i % 1000][] = \"s$i\"; echo count($a), \" \", strlen(serialize($a)), "
     "\"\\n\"; exit(8);'", "php", False),
    ("sqlite3", "sqlite3 t.db 'create table t(a integer primary key, b text); with recursive c(x) as (select 1 union all select x+1 "
     "from c where x < 50000) insert into t select x, hex(x*x) from c; create index i on t(b); select count(*), min(b), max(b) from t; "
     "pragma integrity_check;'; sqlite3 t.db .dump | md5sum", "sqlite3", True),
    ("jq", "seq 20000 | jq -s 'map({k: (. % 7), v: .}) | group_by(.k) | map({k: .[0].k, n: length})' | md5sum; echo '{' | jq . 2>&1", "jq",
     True),
    ("psql and a postgres server", PG, "psql setpriv", False),
    ("redis (jemalloc)", "redis-server --port 0 --unixsocket $PWD/s --save '' --daemonize no --logfile log & for i in $(seq 200); do "
     "[ -S s ] && break; sleep 0.05; done; seq 3000 | sed 's/.*/set k& v&/' | redis-cli -s s | sort | uniq -c; redis-cli -s s dbsize; "
     "redis-cli -s s mget k1 k2999; redis-cli -s s shutdown nosave; wait; echo $?", "redis-server redis-cli", False),
    ("curl", "echo data > f; curl -s file://$PWD/f; curl -s file://$PWD/none; echo $?", "curl", True),
    ("curl and an HTTP server", "seq 50000 > f; python3 -m http.server --bind 127.0.0.1 0 >/dev/null 2>log & p=$!; for i in $(seq 100); do "
     "port=$(ss -ltnpH 2>/dev/null | grep pid=$p, | sed 's/.*127.0.0.1:\\([0-9]*\\).*/\\1/'); [ -n \"$port\" ] && break; sleep 0.05; done; "
     "curl -s http://127.0.0.1:$port/f | md5sum; kill $p", "curl python3 ss", False),
    ("openssl", "printf abc | openssl dgst -sha256; openssl enc -aes-256-cbc -pbkdf2 -k p -S 0011223344556677 -in /etc/passwd | "
     "openssl enc -d -aes-256-cbc -pbkdf2 -k p -S 0011223344556677 | cmp - /etc/passwd; openssl genrsa 1024 2>/dev/null | openssl rsa "
     "-noout -check 2>&1", "openssl", True),
    ("gdb", C_PROGRAM + "gcc -g -o a a.c && gdb -q -batch -nx -ex 'set startup-with-shell off' -ex 'break main' -ex run -ex 'print n' "
     "-ex continue ./a 2>&1 | grep -E '^.1 = |exited' | sed 's/process [0-9]*/process N/'", "gdb gcc", False),
    ("strace", "strace -f -c -o log sh -c 'ls / | wc -l >/dev/null'; echo $?", "strace", False),
    ("valgrind", C_PROGRAM + "gcc -g -o a a.c && valgrind -q --error-exitcode=9 --leak-check=full ./a; echo $?", "valgrind gcc", False),
    ("Go program", "cat > a.go <<'E'\npackage main\nimport (\"fmt\"; \"os\"; \"sync\")\nfunc main() { var w sync.WaitGroup; r := make([]int, 8); "
     "for i := range r { w.Add(1); go func(i int) { defer w.Done(); for j := 0; j < 1000; j++ { r[i] += len(fmt.Sprint(j)) } }(i) }; "
     "w.Wait(); fmt.Println(r); os.Exit(3) }\nE\nHOME=$PWD GOFLAGS=-mod=mod GO111MODULE=off go build -o a a.go && ./a; echo $?", "go",
     False),
    ("Rust program", "cat > a.rs <<'E'\nuse std::collections::HashMap;\nfn main() { let mut m = HashMap::new(); for i in 0..50000 { "
     "m.entry(i % 97).or_insert_with(Vec::new).push(i.to_string()); } println!(\"{}\", m.values().map(|v| v.len()).sum::<usize>());\n "
     "let t: Vec<_> = (0..4).map(|i| std::thread::spawn(move || vec![i; 1000].iter().sum::<i32>())).collect();\n "
     "println!(\"{:?}\", t.into_iter().map(|h| h.join().unwrap()).collect::<Vec<_>>()); std::process::exit(4) }\nE\n"
     "rustc -O a.rs && ./a; echo $?", "rustc", False),
    ("AddressSanitizer program", C_PROGRAM + "gcc -fsanitize=address -o a a.c && ./a; echo $?", "gcc", False),
    ("ssh-keygen", "ssh-keygen -q -t ed25519 -N '' -f k -C c && ssh-keygen -y -f k | wc -w", "ssh-keygen", True),
    ("gpg-less tools: file, diff, patch", "seq 100 > a; seq 2 101 > b; diff -u a b | sed 1,2d > p; patch -s a p; cmp a b; echo $?", "diff patch",
     True),
    ("find, many processes", "find /usr/include -maxdepth 1 -name '*.h' | sort | head -60 | xargs -n1 -P4 sha1sum | sort | md5sum", "find",
     True),
    ("rsync", "mkdir a; for i in $(seq 50); do seq $i > a/$i; done; rsync -a a/ b/ && diff -r a b; echo $?", "rsync", False),
    ("vim, batch", "seq 1000 > a; vim -Nu NONE -es -c '%s/1/one/g' -c 'wq' a; md5sum a", "vim", False),
    ("cmake", "printf 'cmake_minimum_required(VERSION 3.10)\\nproject(x C)\\nadd_executable(a a.c)\\n' > CMakeLists.txt; " + C_PROGRAM +
     "cmake -S . -B b >/dev/null && cmake --build b >/dev/null && b/a; echo $?", "cmake gcc", False),
    ("ruby, threads and fork", "ruby -e 'puts (1..20000).map { |i| i.to_s * 3 }.join.size; "
     "p (1..4).map { Thread.new { (1..1000).map(&:to_s).size } }.map(&:value); fork { exit 3 }; Process.wait; "
     "p $?.exitstatus'", "ruby", False),
    ("lua", "lua5.4 -e 'local t = {} for i = 1, 9999 do t[i] = tostring(i) end print(#t)'", "lua5.4", False),
    ("sbcl", "sbcl --noinform --non-interactive --eval '(print (length (loop for i below 100000 collect "
     "(format nil \"~a\" i))))'", "sbcl", False),
    ("ocaml", "echo 'print_int (List.length (List.init 100000 string_of_int));;' > o.ml; ocaml o.ml", "ocaml", False),
    ("guile", "guile -c '(display (length (map number->string (iota 10000))))'", "guile", False),
    ("tcl", "echo 'for {set i 0} {$i < 20000} {incr i} {lappend l $i}; puts [llength $l]' | tclsh", "tclsh", False),
    ("busybox, static or not", "busybox sh -c 'seq 100 | md5sum; exit 4'", "busybox", False),
]
