"""What every motion sensor's driver shares: the interface that sampling code relies on, and its bookkeeping.

    imu = part.Driver(i2c, address)   # OSError: nothing answers; WrongPart: another chip does
    imu.start()                       # sample into the FIFO; WrongPart: the sensor can't work as it is
    count = imu.read_block()          # samples now in imu.samples[0 : 6 * count]
    lost = imu.lost_samples()         # found missing since the last call
    imu.configured()                  # False: the sensor forgot its settings (brown-out)
    imu.standby()                     # sensors off

    service = __import__(imu.SERVICE) # what is needed seldom is a module of its own
    service.self_test(imu)            # the part's own self-test, lying still: "" or what is wrong
    service.wake_on_motion(imu, 60)   # no samples; the interrupt pin tells a jerk of so many mg
    service.watch_for_motion(imu, 60) # where there is one: the same, but the FIFO goes on being filled
    service.resume(imu)               # and after that: back to blocks, with what the FIFO holds

`samples` is a preallocated array('h'), interleaved acc x y z, gyr x y z, whatever the part: 0.488 mg and 70 mdps a
unit, saturating at the part's full scale (16 g and 2000 dps unless the driver says otherwise); a part without
gyroscope (HAS_GYROSCOPE false) gives zeros. `first_index` is the running number of the block's first sample
since start(); the sensor's own clock makes the samples, so the number, not the time of reading, tells when a
sample was taken (sampleclock.py). `waiting` says how many more samples the FIFO held, `looked_us` is
time.ticks_us() when the newest of all these was the newest. `period_ns` is the nominal time between two samples,
RATE_MILLIHZ the nominal rate, WATERMARK the usual number of samples a block, FIFO_SAMPLES what the FIFO holds.

A driver's module is named like its part and calls its class Driver. An overrun of the FIFO counts in `overruns`.
OSError from the bus passes through, untouched, to the caller, who owns the retry policy.
"""

from array import array


class WrongPart(Exception):
    """What answers is not the part that the driver is for, or lacks something; the message says what."""


class IMU:
    """One sensor on an I2C bus; drivers derive from it.

    i2c: machine.I2C or SoftI2C. block_samples: the most samples that one read_block() returns.
    """

    # What a driver says of its part: its name, the register that identifies it and what that reads, in a service
    # module's name what is needed seldom.
    PART: str
    IDENTITY: tuple
    RATE_MILLIHZ: int
    SERVICE: str
    # The part's numbers are so coarse that at rest it repeats them.
    REST_REPEATS = False
    HAS_GYROSCOPE = True
    WATERMARK = 26
    # How many samples its FIFO holds.
    FIFO_SAMPLES: int

    def __init__(self, i2c, address, block_samples):
        self._i2c = i2c
        self._address = address
        self._one = bytearray(1)
        self._lost = 0
        self.samples = array("h", bytes(12 * block_samples + 24))
        self.first_index = self.next_index = self.looked_us = 0
        self.overruns = self.waiting = self.watermark = 0
        register, expected = self.IDENTITY
        found = self._read(register)
        if found != expected:
            raise WrongPart(
                "%s expected at 0x%02x: register 0x%02x reads 0x%02x there, found 0x%02x; check the board file's IMU"
                % (self.PART, address, register, expected, found)
            )

    def _read(self, register):
        self._i2c.readfrom_mem_into(self._address, register, self._one)
        return self._one[0]

    def _write(self, register, value):
        self._one[0] = value
        self._i2c.writeto_mem(self._address, register, self._one)

    def lost_samples(self):
        """Samples found to be missing since the last call; advances the running number."""
        lost = self._lost
        self._lost = 0
        self.next_index += lost
        return lost
