"""Figures of the product: how fast, how small, how steady. `make bench` prints them, docs/performance.md keeps them.

figure.py     one figure: name, value, unit, limit
product.py    speed, log, sync and report on synthetic walks; what depends on this computer
stages.py     x86 instructions and wasm fuel that the device's code spends on a sample and on a step
memory.py     heap by module, sizes of the compiled modules
esp32.py      what that comes to on an ESP32, an estimate by published benchmark scores
baseline.py   the exact ones as they were, to find what got worse
document.py   docs/performance.md
wasm.py       a 32-bit MicroPython, also for tests
scripts/      what runs in MicroPython, to be counted
"""
