"""Runs one test function: runner.py DEVICE_ROOT MODULE FUNCTION full|sample. Prints PASSED as its last line."""

import sys

root, module, function = sys.argv[1:4]
sys.path[:0] = [root, root + "/lib"]
result = getattr(__import__(module), function)()
if result is not None:
    import asyncio

    asyncio.run(result)
print("PASSED")
