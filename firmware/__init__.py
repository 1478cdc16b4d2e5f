"""The application that runs on the device."""

VERSION = "0.1.0"
