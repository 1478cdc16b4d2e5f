"""How the clip sits on the wearer.

A Mounting says which way is up and which way is forward in the clip's own axes while the wearer stands and walks
upright. calibrator.py learns one from steps that were declared to be forward.
"""

import struct

from fixedpoint import ONE_Q14, dot_q14

_FORMAT = "<6hB"
# Quality of a mounting that was assumed, not measured.
_ASSUMED = 0
_SIN_TELLING = 2280  # 8 degrees: back to front that is 16, and clip.py notices 15


class Mounting:
    """Up and forward in the clip's axes (Q14 vectors) and how consistent the calibration was (1 .. 100).

    Quality 0: nothing was measured. Forward is taken as it is; up is too vague to compare a tilt with.
    """

    SIZE = struct.calcsize(_FORMAT)

    def __init__(self, gravity, forward, quality):
        for name, vector in (("gravity", gravity), ("forward", forward)):
            if abs(dot_q14(vector, vector) - ONE_Q14) > ONE_Q14 // 50:
                raise ValueError(
                    "mounting: %s is %s, expected a vector of length 16384; calibrate again"
                    % (name, tuple(vector))
                )
        self.gravity = tuple(gravity)
        self.forward = tuple(forward)
        self.quality = quality

    @classmethod
    def clip(cls):
        """A clip put on straight: x forward, y left, z up. Tilt is followed, a turn about z is not."""
        return cls((0, 0, ONE_Q14), (ONE_Q14, 0, 0), _ASSUMED)

    @property
    def measured(self):
        return self.quality != _ASSUMED

    @property
    def tilt_tells(self):
        """Whether a clip put on back to front would show: it leans the other way, by twice its tilt."""
        return self.measured and abs(dot_q14(self.gravity, self.forward)) >= _SIN_TELLING

    def pack(self):
        return struct.pack(_FORMAT, *self.gravity, *self.forward, self.quality)

    @classmethod
    def unpack(cls, data):
        if len(data) != cls.SIZE:
            raise ValueError("mounting: %d bytes, expected %d; calibrate again" % (len(data), cls.SIZE))
        words = struct.unpack(_FORMAT, data)
        return cls(words[0:3], words[3:6], words[6])
