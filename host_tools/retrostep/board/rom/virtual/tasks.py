"""Stands in for `_asyncio`, the C part of asyncio, whose queue reads the host's clock directly.

Task and TaskQueue keep the contract that asyncio's frozen core relies on: a queue ordered by wake-up time, and
a task that can be awaited, cancelled and asked whether it is done. Equal times run in the order of arrival.
"""

from time import ticks_diff, ticks_ms


class TaskQueue:
    """Tasks (or anything with `ph_key`) ordered by the tick at which they are due."""

    def __init__(self):
        self._due = []

    def peek(self):
        return self._due[0] if self._due else None

    def push(self, task, key=None):
        key = ticks_ms() if key is None else key
        # A queued task waits in nothing else.
        task.data = None
        task.ph_key = key
        due = self._due
        at = len(due)
        while at and ticks_diff(due[at - 1].ph_key, key) > 0:
            at -= 1
        due.insert(at, task)

    def pop(self):
        return self._due.pop(0)

    def remove(self, task):
        self._due.remove(task)


class Task:
    """One coroutine under asyncio.

    state: True while it runs and nobody awaits it, a TaskQueue of those who await it, then None (ended, result
    not fetched) or False (ended, result fetched). data: while it waits, the queue or task it waits in; at its
    end, the exception it ended with.
    """

    def __init__(self, coro, context):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0
        self._context = context

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif type(self.state) is not TaskQueue:
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        current = self._context["cur_task"]
        self.state.push(current)
        current.data = self

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        context = self._context
        if self is context["cur_task"]:
            raise RuntimeError("can't cancel self")
        innermost = self
        while isinstance(innermost.data, Task):
            innermost = innermost.data
        if hasattr(innermost.data, "remove"):
            innermost.data.remove(innermost)
            context["_task_queue"].push(innermost)
        elif ticks_diff(innermost.ph_key, ticks_ms()) > 0:
            context["_task_queue"].remove(innermost)
            context["_task_queue"].push(innermost)
        innermost.data = context["CancelledError"]
        return True
