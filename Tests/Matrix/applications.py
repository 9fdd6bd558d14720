# SPDX-License-Identifier: Apache-2.0
"""More rows of the table in commands.py: applications, servers and languages. `make matrix` installs the smaller ones; the others
run where they are there already.
"""
from commands import C_PROGRAM

APPLICATIONS = [
    ("emacs, batch",
     "emacs -Q --batch --eval '(let (l) (dotimes (i 20000) (push (format \"%d\" i) l)) (princ (length "
     "l)) (terpri))'",
     "emacs", False),
    ("nginx",
     "mkdir -p www logs t; chmod 777 . www logs t; seq 50000 > www/f; cat > n.conf <<E\ndaemon off; "
     "worker_processes 2; pid $PWD/pid; error_log $PWD/err; events { }\nhttp { access_log off; "
     "client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; "
     "scgi_temp_path t; server { listen unix:$PWD/s; root $PWD/www; } }\nE\nnginx -p $PWD -c "
     "$PWD/n.conf & for i in $(seq 100); do [ -S s ] && break; sleep 0.05; done; for i in 1 2 3; do "
     "curl -s --unix-socket s http://x/f | md5sum; done; kill -QUIT $(cat pid); wait; echo $?",
     "nginx curl", False),
    ("R",
     "Rscript --vanilla -e 'x <- sapply(1:20000, function(i) paste0(\"a\", i)); cat(length(unique(x)), "
     "summary(lm(dist ~ speed, cars))$r.squared, \"\\n\")'",
     "Rscript", False),
    ("ffmpeg",
     "ffmpeg -v error -f lavfi -i testsrc=size=160x120:rate=10:duration=2 -threads 4 -c:v ffv1 -f "
     "matroska -fflags +bitexact -flags bitexact a.mkv && ffmpeg -v error -i a.mkv -f md5 -",
     "ffmpeg", False),
    ("qemu, user mode",
     C_PROGRAM + "gcc -static -o a a.c && qemu-x86_64 ./a; echo $?",
     "qemu-x86_64 gcc", False),
    ("sudo",
     "sudo -n id -u; echo $?",
     "sudo", False),
    ("tmux",
     "tmux -S $PWD/s -f /dev/null new-session -d 'seq 100 > out; sleep 0.2'; for i in $(seq 100); do "
     "[ -s out ] && break; sleep 0.05; done; tmux -S $PWD/s kill-server; md5sum out",
     "tmux", False),
    ("erlang",
     "erl -noshell -eval 'L = [integer_to_list(I) || I <- lists:seq(1, 50000)], P = self(), "
     "[spawn(fun() -> P ! length(L) end) || _ <- lists:seq(1, 100)], io:format(\"~p~n\", "
     "[lists:sum([receive N -> N end || _ <- lists:seq(1, 100)])]), halt(3).'",
     "erl", False),
    ("graphviz",
     "seq 300 | sed 's/.*/a& -> a1&;/; 1i digraph g {' > g; echo '}' >> g; dot -Tsvg g | md5sum",
     "dot", False),
    ("ghostscript",
     "printf '%%!\\n/Courier findfont 12 scalefont setfont 72 72 moveto (hello) show showpage\\n' > "
     "a.ps; gs -q -dBATCH -dNOPAUSE -sDEVICE=pgmraw -r72 -o a.pgm a.ps; md5sum a.pgm",
     "gs", False),
    ("pandoc (GHC)",
     "seq 2000 | sed 's/.*/* item &/' | pandoc -f markdown -t html | md5sum",
     "pandoc", False),
    ("gnuplot",
     "gnuplot -e 'set term svg; set output \"a\"; plot sin(x)'; sed 's/[0-9.]*//g' a | md5sum",
     "gnuplot", False),
    ("inkscape",
     "echo '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"50\" height=\"50\"><circle cx=\"25\" cy=\"25\" "
     "r=\"20\"/></svg>' > a.svg; inkscape a.svg -o a.png 2>/dev/null; md5sum a.png",
     "inkscape", False),
    ("chromium, headless",
     "echo '<p id=a></p><script>let s=[];for(let "
     "i=0;i<50000;i++)s.push(\"\"+i);a.textContent=s.length</script>' > a.html; chromium --headless "
     "--no-sandbox --disable-gpu --user-data-dir=$PWD/u --dump-dom file://$PWD/a.html 2>/dev/null",
     "chromium", False),
    ("gfortran",
     "printf 'program a\\n real, allocatable :: x(:)\\n allocate(x(100000)); x = 1.0; print *, "
     "sum(x)\\nend program\\n' > a.f90; gfortran -o a a.f90 && ./a",
     "gfortran", False),
    ("nasm",
     "printf 'global _start\\nsection .text\\n_start: mov edi, 5\\nmov eax, 60\\nsyscall\\n' > a.asm; nasm "
     "-felf64 a.asm && ld -o a a.o && ./a; echo $?",
     "nasm ld", False),
    ("clang",
     C_PROGRAM + "clang -O2 -o a a.c && ./a; echo $?",
     "clang", False),
    ("D (ldc)",
     "echo 'import std; void main() { string[] a; foreach (i; 0 .. 50000) a ~= i.to!string; "
     "writeln(a.length); }' > a.d; ldc2 -of=a a.d && ./a; echo $?",
     "ldc2", False),
    ("firefox, headless",
     "echo '<p>hello</p>' > a.html; HOME=$PWD timeout 40 firefox-esr --headless --no-remote --profile "
     "$PWD --screenshot $PWD/o.png file://$PWD/a.html >/dev/null 2>&1; echo $?; file o.png",
     "firefox-esr", False),
    ("libreoffice",
     "echo hello > a.txt; HOME=$PWD timeout 40 soffice --headless -env:UserInstallation=file://$PWD/u "
     "--convert-to html a.txt >/dev/null 2>&1; grep -c hello a.html",
     "soffice", False),
    ("gimp",
     "HOME=$PWD timeout 50 gimp -i -d -f -b '(gimp-message \"x\")' -b '(gimp-quit 0)' >/dev/null 2>&1; "
     "echo $?",
     "gimp", False),
    ("mpv",
     "ffmpeg -v error -f lavfi -i sine=duration=1 a.wav; HOME=$PWD mpv --no-config --really-quiet "
     "--ao=null --untimed a.wav; echo $?",
     "mpv ffmpeg", False),
    ("mold",
     C_PROGRAM + "gcc -fuse-ld=mold -o a a.c && ./a; echo $?",
     "mold gcc", False),
    ("varnish (jemalloc)",
     "chmod 777 .; printf 'vcl 4.1;\\nbackend d none;\\nsub vcl_recv { return (synth(200)); }\\n' > v; "
     "timeout 8 varnishd -F -a $PWD/s -f $PWD/v -n $PWD/w >log 2>&1 & for i in $(seq 100); do [ -S s "
     "] && break; sleep 0.05; done; curl -s --unix-socket s -o /dev/null -w '%{http_code}\\n' "
     "http://x/; pkill -f \"varnishd -F -a $PWD\"; wait; echo",
     "varnishd curl", False),
    ("sshd",
     "/usr/sbin/sshd -T -f /dev/null -h /nonexistent 2>&1 | head -3; ssh-keygen -q -t rsa -b 1024 -N "
     "'' -f k 2>/dev/null; mkdir -p /run/sshd; /usr/sbin/sshd -t -h $PWD/k -f /dev/null; echo $?",
     "sshd", False),
    ("mono",
     "echo 'class A { static void Main() { var l = new System.Collections.Generic.List<string>(); for "
     "(int i = 0; i < 50000; i++) l.Add(i.ToString()); System.Console.WriteLine(l.Count); } }' > "
     "a.cs; mcs a.cs && mono a.exe",
     "mcs mono", False),
    ("ghc",
     "echo 'main = print (sum (map length (map show [1 .. 20000 :: Int])))' > a.hs; ghc -v0 -O a.hs "
     "&& ./a",
     "ghc", False),
    ("lighttpd",
     "seq 5000 > f; printf 'server.document-root=\"%s\"\\nserver.port=1\\nserver.bind=\"%s/s\"\\n' $PWD $PWD "
     "> c; lighttpd -D -f c >log 2>&1 & p=$!; for i in $(seq 100); do [ -S s ] && break; sleep 0.05; "
     "done; curl -s --unix-socket s http://x/f | md5sum; kill $p; wait; echo $?",
     "lighttpd curl", False),
    ("apache",
     "mkdir l; chmod 777 . l; seq 5000 > f; printf 'ServerRoot %s\\nListen 127.0.0.1:18089\\nLoadModule "
     "mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\\nLoadModule authz_core_module "
     "/usr/lib/apache2/modules/mod_authz_core.so\\nPidFile %s/p\\nErrorLog %s/e\\nServerName "
     "x\\nDocumentRoot %s\\nUser nobody\\nGroup nogroup\\n' $PWD $PWD $PWD $PWD > c; apache2 -X -f $PWD/c "
     "& a=$!; for i in $(seq 60); do curl -s http://127.0.0.1:18089/f >o && break; sleep 0.1; done; "
     "md5sum o; kill $a; wait; echo $?",
     "apache2 curl", False),
    ("maxima (GNU Common Lisp, a heap of its own)",
     "maxima --very-quiet --batch-string='expand((x+y)^8); integrate(sin(x)^2,x);'",
     "maxima", False),
    ("ecl, clisp",
     "ecl --norc --eval '(progn (print (loop for i below 100000 sum (length (list i i)))) (ext:quit))'; "
     "clisp -q -norc -x '(loop for i below 10000 sum i)'",
     "ecl clisp", False),
    ("swi-prolog",
     "swipl -q -g 'numlist(1,20000,L),sum_list(L,S),print(S),nl' -t halt",
     "swipl", False),
    ("octave",
     "octave-cli --no-init-file --eval 'x=svd(magic(40)); printf(\"%.4f\\n\",x(1))'",
     "octave-cli", False),
    ("pypy",
     "pypy3 -c 'print(sum(len(str(i)) for i in range(300000)))'",
     "pypy3", False),
    ("MIT Scheme, Chez Scheme",
     "echo '(display (length (iota 100000)))' | mit-scheme --quiet; echo '(length (iota 100000))' | "
     "chezscheme -q",
     "mit-scheme chezscheme", False),
    ("zsh, ksh, yash",
     "for s in 'zsh -f' ksh yash; do $s -c 'i=0; while [ $i -lt 100 ]; do x=$(echo $i); i=$((i+1)); "
     "done; echo $x'; done",
     "zsh ksh yash", False),
    ("other preloaded libraries: fakeroot, faketime, eatmydata, stdbuf",
     "fakeroot sh -c 'touch f; chown 5:5 f; stat -c %u:%g f'; faketime '2020-01-01 00:00:00' date +%F; "
     "eatmydata sh -c 'echo x > g; sync g; cat g'; stdbuf -oL seq 5",
     "fakeroot faketime eatmydata", False),
    ("sandboxes: bwrap, proot",
     "bwrap --dev-bind / / --unshare-pid --proc /proc sh -c 'ls /etc | wc -l'; proot -r / ls /etc | wc -l",
     "bwrap proot", False),
    ("MariaDB",
     "chmod 777 .; mariadb-install-db --no-defaults --datadir=$PWD/d --user=mysql --skip-test-db "
     ">/dev/null 2>&1; echo $?; mariadbd --no-defaults --datadir=$PWD/d --user=mysql --skip-networking "
     "--socket=$PWD/s --pid-file=$PWD/p >/dev/null 2>&1 & for i in $(seq 100); do [ -S s ] && break; "
     "sleep 0.1; done; mariadb --no-defaults -S $PWD/s -e 'create database x; use x; create table t(a "
     "int, b varchar(100)); insert into t select seq, repeat(\"x\", 50) from seq_1_to_20000; select "
     "count(*), sum(length(b)) from t'; mariadb-admin --no-defaults -S $PWD/s shutdown; wait; echo $?",
     "mariadbd mariadb-install-db", False),
    ("ImageMagick",
     "convert rose: -rotate 30 -resize 300% ppm:- | md5sum",
     "convert", False),
    ("coq",
     "echo 'Theorem a: 1+1=2. Proof. reflexivity. Qed. Print a.' | coqtop -quiet 2>/dev/null",
     "coqtop", False),
]
