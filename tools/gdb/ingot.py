"""Fibers of a running or dumped Ingot, for gdb.

    gdb -p PID -x tools/gdb/ingot.py          (or: gdb build/ingot core -x tools/gdb/ingot.py)
    (gdb) ingot fibers                        every live fiber: number, loop, name, state, what it waits for
    (gdb) ingot bt 3                          the stack of fiber 3 of that list
    (gdb) ingot bt all

A parked fiber's registers lie on its stack as src/rt/switch.S left them. `ingot bt` gives them to gdb as the caller of
the innermost frame, so it works on a core file too and changes nothing in the process.
"""

import gdb
import gdb.unwinder

STATES = ["ready", "running", "waiting", "ended"]


def field_text(value):
    return value.string() if int(value) else None


class Fiber:
    def __init__(self, loop, value):
        self.loop = loop
        self.value = value
        self.name = field_text(value["name"]) or "?"
        self.waits = field_text(value["waits"])
        self.note = field_text(value["note"])
        self.state = STATES[int(value["state"])]
        self.since = int(value["since"])

    def line(self, number):
        ms = max(0, (int(self.loop["now"]) - self.since) // 1000000)
        text = "%3d  loop %d  %-8s %6d ms  %s" % (number, int(self.loop["index"]), self.state, ms, self.name)
        if self.waits:
            text += "  waits for %s" % self.waits
        if self.note:
            text += "  (%s)" % self.note
        return text


def all_fibers():
    rt = gdb.parse_and_eval("the_rt")
    if int(rt) == 0:
        raise gdb.GdbError("no runtime in this process")
    fiber_type = gdb.lookup_type("struct rt_fiber")
    offset = [f for f in fiber_type.fields() if f.name == "all"][0].bitpos // 8
    for i in range(int(rt["nloops"])):
        loop = rt["loops"][i].dereference()
        head = loop["fibers"].address
        at = head["next"]
        while int(at) != int(head):
            yield Fiber(loop, gdb.Value(int(at) - offset).cast(fiber_type.pointer()).dereference())
            at = at["next"]


def read_word(address):
    word = gdb.lookup_type("unsigned long")
    return gdb.Value(address).cast(word.pointer()).dereference()


def saved_registers(sp, arch):
    """Name → value of what rt_switch pushed at sp, and the stack pointer after it returned."""
    if "x86-64" in arch:
        names = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]
        regs = {n: read_word(sp + 8 * i) for i, n in enumerate(names)}
        regs["rsp"] = gdb.Value(sp + 56)
        return regs, "rip", "rsp"
    if "aarch64" in arch:
        names = ["x%d" % n for n in range(19, 31)]
        regs = {n: read_word(sp + 8 * i) for i, n in enumerate(names)}
        regs["pc"] = regs["x30"]
        regs["sp"] = gdb.Value(sp + 160)
        return regs, "pc", "sp"
    raise gdb.GdbError("no layout for %s" % arch)


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class ParkedUnwinder(gdb.unwinder.Unwinder):
    """While on: the caller of the innermost frame is the parked fiber."""

    def __init__(self):
        super().__init__("ingot-parked-fiber")
        self.sp = None

    def __call__(self, pending):
        if self.sp is None or pending.level() != 0:
            return None
        regs, pc, sp = saved_registers(self.sp, pending.architecture().name())
        word = gdb.lookup_type("unsigned long")
        # Below every frame of the fiber, or gdb takes the step to another stack for a corrupt one.
        info = pending.create_unwind_info(FrameId(gdb.Value(self.sp - 64).cast(word), pending.read_register(pc).cast(word)))
        for name, value in regs.items():
            info.add_saved_register(name, value.cast(word))
        return info


UNWINDER = ParkedUnwinder()
gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)


def backtrace(fiber):
    if fiber.state == "running":
        return "     it runs: see its thread (thread apply all bt)\n"
    try:
        UNWINDER.sp = int(fiber.value["sp"])
        gdb.invalidate_cached_frames()
        text = gdb.execute("backtrace", to_string=True)
    finally:
        UNWINDER.sp = None
        gdb.invalidate_cached_frames()
    lines = text.splitlines(keepends=True)
    first = next((i for i, s in enumerate(lines) if s.startswith("#1 ")), 0)
    return "".join(lines[first:])


class Ingot(gdb.Command):
    """Ingot's own commands: ingot fibers | ingot bt NUMBER | ingot bt all"""

    def __init__(self):
        super().__init__("ingot", gdb.COMMAND_STACK)

    def invoke(self, text, from_tty):
        words = text.split()
        fibers = list(all_fibers())
        if words == ["fibers"]:
            for i, f in enumerate(fibers):
                print(f.line(i))
            print("%d fibers" % len(fibers))
        elif len(words) == 2 and words[0] == "bt":
            wanted = range(len(fibers)) if words[1] == "all" else [int(words[1])]
            for i in wanted:
                if i >= len(fibers):
                    raise gdb.GdbError("there are %d fibers" % len(fibers))
                print(fibers[i].line(i))
                print(backtrace(fibers[i]), end="")
        else:
            raise gdb.GdbError(self.__doc__)


Ingot()
