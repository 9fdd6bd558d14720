// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackLaunch

/// An interactive shell on a pseudo-terminal, typed into by a Python program; `expect` reads until a text shows up.
private let driver = #"""
    import os, pty, select, sys, time, signal
    probe, mode = sys.argv[1:3]
    pid, master = pty.fork()
    if pid == 0:
        if mode == "hangup":
            os.execv(probe, [probe, sys.executable, "-c", sys.argv[3]])
        os.environ.update(PS1="$ ", TERM="dumb")
        os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
    seen = b""
    def expect(text):
        global seen
        end = time.time() + 20
        while text.encode() not in seen:
            ready, _, _ = select.select([master], [], [], max(0, end - time.time()))
            if not ready:
                sys.exit("no %r in %r" % (text, seen))
            try:
                data = os.read(master, 4096)
            except OSError:
                sys.exit("end before %r in %r" % (text, seen))
            seen += data
        seen = seen.split(text.encode(), 1)[1]
    def send(text):
        os.write(master, text.encode())
    def command(code):
        with open(os.environ["HOME"] + "/target.py", "w") as file:
            file.write(code)
        send(probe + " python3 -u " + os.environ["HOME"] + "/target.py\n")
    def state(pid):
        return open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()[0]
    prologue = "import os, signal, sys, time\nprint('target', os.getpid(), 'ready')\n"
    if mode == "interrupt":
        command("import signal, sys, time\nsignal.signal(2, lambda *a: (print('seen'), sys.exit(7)))\n"
                + prologue + "time.sleep(60)")
        expect("ready"); send("\x03"); expect("seen")
        send("echo status=$?\n"); expect("status=7")
        command(prologue + "signal.signal(3, 0)\ntime.sleep(60)")
        expect("ready"); time.sleep(0.3); send("\x1c"); expect("Quit"); send("echo status=$?\n"); expect("status=131")
        command("import signal\nsignal.signal(2, 0)\n" + prologue + "time.sleep(60)")
        expect("ready"); time.sleep(0.3); send("\x03"); send("echo status=$?\n"); expect("status=130")
    elif mode == "stop":
        command(prologue + "signal.signal(18, lambda *a: print('conti' + 'nued'))\n"
                + "signal.signal(2, 0)\nprint('set')\nfor _ in range(600): time.sleep(0.05)")
        expect("target "); expect("set"); send("\x1a"); expect("Stopped")
        for _ in range(2):
            send("jobs -l\n"); expect("Stopped")
            send("fg\n"); expect("continued"); send("\x1a"); expect("Stopped")
        send("bg\n"); expect("continued"); send("jobs\n"); expect("Running")
        send("fg\n"); time.sleep(0.3); send("\x03"); send("echo status=$?\n"); expect("status=130")
    elif mode == "read":
        send(probe + " cat\n"); time.sleep(0.5); send("hello there\n")
        expect("hello there"); expect("hello there"); send("\x04")
        send("echo status=$?\n"); expect("status=0")
        send(probe + " cat &\n"); time.sleep(0.5); send("\n"); expect("Stopped"); send("fg\n"); time.sleep(0.3); send("again\n")
        expect("again"); expect("again"); send("\x04"); send("echo status=$?\n"); expect("status=0")
    elif mode == "hangup":
        expect("ready"); os.close(master)
        os.waitpid(pid, 0)
        sys.exit(0)
    send("exit\n")
    """#

@Suite struct TerminalTests {
    private func drive(_ mode: String, _ extra: [String] = [], in scratch: Scratch = Scratch()) throws {
        let script = try scratch.file("driver.py", driver)
        let run = try Running(["python3", script, Running.probe, mode] + extra, in: scratch)
        #expect(run.end() == .exit(0))
        #expect(run.errors == "")
    }

    @Test func interruptAndQuitReachTheTargetAlone() throws { try drive("interrupt") }

    @Test func stopAndContinueWithTheShell() throws { try drive("stop") }

    @Test func targetReadsFromTheTerminal() throws { try drive("read") }

    @Test func hangUpOfALauncherThatLeadsTheSession() throws {
        let scratch = Scratch()
        let code = """
            import signal, sys, time
            signal.signal(1, lambda *a: (open('\(scratch.path)/hup', 'w').write('hung up'), sys.exit(0)))
            print('ready', flush=True)
            time.sleep(60)
            """
        try drive("hangup", [code], in: scratch)
        #expect(scratch.text("hup") == "hung up")
    }
}
