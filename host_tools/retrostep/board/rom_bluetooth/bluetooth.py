"""Double of the module `bluetooth` (MicroPython 1.29): the peripheral and GATT server half of class BLE.

The stack itself runs in the supervisor's process (board/radio.py); here are its calls, as requests over the control
channel, and its events. As on the ESP32, events come synchronously: the stack waits until the handler has returned.
What is not here (scanning, connecting, the GATT client, L2CAP) raises AttributeError.
Source: MicroPython documentation, library `bluetooth`.
"""

from binascii import hexlify, unhexlify

from virtual import channel, clock

FLAG_READ = 0x0002
FLAG_WRITE_NO_RESPONSE = 0x0004
FLAG_WRITE = 0x0008
FLAG_NOTIFY = 0x0010
FLAG_INDICATE = 0x0020

_ENODEV = 19
_PIECE_BYTES = 64
# Fields of events that the handler gets as memoryviews, by event code: central (dis)connect, get and set secret.
_BYTES_FIELDS = {1: (2,), 2: (2,), 29: (2,), 30: (1, 2)}


class UUID:
    """A 16-bit number, or 128 bits as text or as 16 bytes, little endian. Iterates as its little-endian bytes."""

    def __init__(self, value):
        if isinstance(value, UUID):
            data = value._data
        elif isinstance(value, int):
            if not 0 <= value <= 0xFFFF:
                raise ValueError("invalid UUID")
            data = value.to_bytes(2, "little")
        elif isinstance(value, str):
            digits = value.replace("-", "")
            if len(digits) != 32:
                raise ValueError("invalid UUID")
            data = bytes(reversed(unhexlify(digits)))
        else:
            data = bytes(value)
            if len(data) not in (2, 4, 16):
                raise ValueError("invalid UUID")
        self._data = data

    def __iter__(self):
        return iter(self._data)

    def __len__(self):
        return len(self._data)

    def __eq__(self, other):
        return isinstance(other, UUID) and self._data == other._data

    def __hash__(self):
        return hash(self._data)

    def __repr__(self):
        digits = hexlify(bytes(reversed(self._data))).decode()
        if len(digits) < 32:
            return "UUID(0x%s)" % digits
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return "UUID('%s')" % "-".join(parts)


class _Stack:
    """The requests to the stack and the queue of its events. A source of the virtual clock: events are interrupts."""

    def __init__(self):
        self.handler = None
        self.due_us = clock.NEVER
        self._events = []
        self._request = 0
        self._replies = {}
        channel.on("radio", self._receive)
        clock.add_source(self)

    def _receive(self, message):
        if "reply" in message:
            self._replies[message["reply"]] = message
        else:
            # Not now: this may be in the middle of a call of the firmware's own.
            self._events.append(message)
            self.due_us = clock.now_us

    def ask(self, name, **arguments):
        """One request; waits for its reply. Raises OSError."""
        self._request += 1
        number = self._request
        self._replies = {}
        channel.send({"event": "radio", "ask": name, "request": number, "arguments": arguments})
        while number not in self._replies:
            channel.dispatch()
        reply = self._replies.pop(number)
        if reply["errno"]:
            raise OSError(reply["errno"])
        return reply["value"]

    def fire(self):
        """Hand the events that came to the handler, each in turn, and its results back to the stack."""
        while self._events:
            event = self._events.pop(0)
            result = None
            if self.handler:
                try:
                    result = self.handler(event["code"], self._data(event["code"], event["data"]))
                except Exception as error:
                    clock.report_unhandled(error)
            if isinstance(result, (bytes, bytearray, memoryview)):
                result = hexlify(bytes(result)).decode()
            channel.send({"event": "radio", "answer": event["number"], "result": result})
        self.due_us = clock.NEVER

    def _data(self, code, data):
        fields = _BYTES_FIELDS.get(code, ())
        return tuple(
            [
                memoryview(unhexlify(value)) if at in fields and value is not None else value
                for at, value in enumerate(data)
            ]
        )


_stack = _Stack()


def _text(data):
    """Bytes, or anything with the buffer protocol, as the channel carries them: hex, in pieces if they are long.

    In pieces, for the firmware's heap may have no room for a long one; on a device there is no such copy.
    """
    if data is None:
        return None
    view = memoryview(data.encode() if isinstance(data, str) else bytes(data))
    if len(view) <= _PIECE_BYTES:
        return hexlify(view).decode()
    return [hexlify(view[at : at + _PIECE_BYTES]).decode() for at in range(0, len(view), _PIECE_BYTES)]


class BLE:
    """The one radio. Raises OSError(ENODEV) while it is not active, as the ports do."""

    _only = None

    def __new__(cls):
        if cls._only is None:
            cls._only = object.__new__(cls)
            cls._only._active = False
        return cls._only

    def _ask(self, name, **arguments):
        if not self._active:
            raise OSError(_ENODEV)
        return _stack.ask(name, **arguments)

    def active(self, active=None):
        if active is not None and bool(active) != self._active:
            _stack.ask("active", on=bool(active))
            self._active = bool(active)
            channel.send({"event": "bluetooth", "us": clock.now_us, "on": self._active})
        return self._active

    def config(self, parameter=None, **values):
        if parameter is None:
            return _stack.ask("set_config", values=values)
        if values:
            raise TypeError("can't mix positional and keyword arguments")
        value = _stack.ask("get_config", name=parameter)
        if parameter == "mac":
            return (value[0], unhexlify(value[1]))
        return value.encode() if parameter == "gap_name" else value

    def irq(self, handler):
        _stack.handler = handler

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        for data in (adv_data, resp_data):
            if data is not None and len(data) > 31:
                raise OSError(22)
        self._ask(
            "advertise",
            interval_us=interval_us,
            adv_data=_text(adv_data),
            resp_data=_text(resp_data),
            connectable=bool(connectable),
        )

    def gap_disconnect(self, conn_handle):
        return self._ask("disconnect", conn_handle=conn_handle)

    def gatts_register_services(self, services_definition):
        services = []
        for uuid, characteristics in services_definition:
            entries = []
            for definition in characteristics:
                if len(definition) > 2:
                    raise NotImplementedError("virtual board: descriptors in gatts_register_services()")
                entries.append((_text(bytes(definition[0])), definition[1]))
            services.append((_text(bytes(uuid)), entries))
        handles = self._ask("register_services", services=services)
        return tuple([tuple(of_service) for of_service in handles])

    def gatts_read(self, value_handle):
        return unhexlify(self._ask("read", handle=value_handle))

    def gatts_write(self, value_handle, data, send_update=False):
        self._ask("write", handle=value_handle, data=_text(data), send_update=bool(send_update))
        return len(data)

    def gatts_notify(self, conn_handle, value_handle, data=None):
        self._ask("notify", conn_handle=conn_handle, handle=value_handle, data=_text(data))

    def gatts_set_buffer(self, value_handle, len, append=False):
        self._ask("set_buffer", handle=value_handle, length=len, append=bool(append))
