"""Stands in for micropython-lib's aioble where that cannot be installed: the part that Retrostep uses.

Names, arguments, defaults and failures follow aioble's documentation; the code is our own. Put the real library in
its place with RETROSTEP_AIOBLE=<folder that holds aioble/>. Peripheral and GATT server only, one module each as
there.
"""

from .core import GattError, config, log_error, log_info, log_warn, stop
from .device import Device, DeviceConnection, DeviceDisconnectedError, DeviceTimeout
from .peripheral import advertise
from .server import BufferedCharacteristic, Characteristic, Service, register_services

ADDR_PUBLIC = 0
ADDR_RANDOM = 1
