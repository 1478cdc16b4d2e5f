"""Settings that count at once. Loaded when they are read or have changed, and not kept."""

from firmware import load_seldom


def apply(device, names):
    """Tell whoever keeps one of these settings (but those of setting_rules.AT_START). device: a Device (app.py)."""
    settings = device.settings
    device._cues.strength = 0 if settings["cues_off"] else settings["motor_percent"]
    if "plan" in names:
        if settings["plan"]:
            from firmware.plan import Plan

            device._plan = Plan(settings, device.clock)
        else:
            device._plan = None
    if "mounting" in names:
        mountings = load_seldom("mountings")
        device._mounting = mountings.mounting_of(settings["mounting"])
        device._doubt_clip(False)
        mountings.renew_pipeline(device)
