"""For boards without a vibration motor: the interface of pwm_motor.py, and nothing is felt."""


class NoMotor:
    """Takes what a motor takes."""

    def run(self, percent):
        """Nothing to run."""

    def stop(self):
        """Nothing to stop."""

    def standby(self):
        """Nothing to put to sleep."""

    def deinit(self):
        """Nothing to give back."""
