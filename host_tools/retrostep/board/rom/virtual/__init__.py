"""Parts of the virtual board that have no counterpart on a device: clock, control channel, flash, chips, REPL."""
