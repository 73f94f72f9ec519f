"""Is a history of one key linearizable? Just-in-time linearization after Wing and Gong, and Lowe: walk the history's calls and
returns in time, and keep every configuration (the key's value, which running operations have taken effect) that explains what was
answered so far. Equal configurations are one, so the walk stays small while few operations run at once.

An operation without an answer may have taken effect at any moment until its return, or never."""

import collections
import dataclasses
import itertools

ABSENT = None
DONE, CONFLICT, MISSING, UNKNOWN = "done", "conflict", "missing", "unknown"  # answers


@dataclasses.dataclass
class Op:
    """kind: put, create (If-None-Match: *), swap (If-Match: expect), delete, get. answer: of a get, the value that was read;
    otherwise DONE, CONFLICT (412), MISSING (404 of a swap); UNKNOWN of any kind when no answer came."""
    kind: str
    call: int
    ret: int
    answer: object = DONE
    value: object = None
    expect: object = None
    client: int = 0


def step(op, value):
    """The values that the key may have after op took effect: none if its answer contradicts the value before."""
    if op.kind == "get":
        return [value] if op.answer in (UNKNOWN, value) else []
    if op.kind == "delete":
        return [ABSENT]
    if op.kind == "put":
        return [op.value]
    if op.kind == "create":
        would = DONE if value is ABSENT else CONFLICT
    elif op.kind == "swap":
        would = DONE if value == op.expect and value is not ABSENT else MISSING if value is ABSENT else CONFLICT
    else:
        raise ValueError(op.kind)
    if op.answer not in (UNKNOWN, would):
        return []
    return [op.value if would == DONE else value]


def reach(configurations, running, wanted):
    """Every configuration in which `wanted` has taken effect, with as few other operations before it as needed, or more."""
    seen, found = set(configurations), set()
    todo = collections.deque(configurations)
    while todo:
        value, effective = todo.popleft()
        if wanted in effective:
            found.add((value, effective))
            continue
        for number, op in running.items():
            if number in effective:
                continue
            for after in step(op, value):
                new = (after, effective | {number})
                if new not in seen:
                    seen.add(new)
                    todo.append(new)
    return found


def check(history, first=ABSENT):
    """None, or a text that names the operation whose answer nothing explains."""
    events = sorted(itertools.chain.from_iterable(
        ((op.call, 0, number), (op.ret, 1, number)) for number, op in enumerate(history)))
    configurations, running = {(first, frozenset())}, {}
    for _, returns, number in events:
        op = history[number]
        if not returns:
            running[number] = op
            continue
        found = reach(configurations, running, number)
        if op.answer == UNKNOWN:  # or it never was
            found |= {c for c in configurations if number not in c[1]}
        if not found:
            around = "\n".join(f"  {o}" for o in sorted(history, key=lambda o: o.call)
                               if o.ret >= op.call - 1_000_000_000 and o.call <= op.ret)[-6000:]
            return f"nothing explains {op}; possible were {sorted({str(c[0]) for c in configurations})}\n{around}"
        configurations = {(value, effective - {number}) for value, effective in found}
        del running[number]
    return None
